"""The server is killed with -9 while `recgpt interests` runs: what was answered is kept, and asked for once."""

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, delete, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool
from vllm_server import VllmServer

from recgpt.sources.demo import make_shop
from recgpt.store.tables import Answer, Base, Interest, Memory, Unit
from recgpt.words import Stage

NIGHT = date(2026, 10, 31)
USERS = 24
IN_FLIGHT = 4
ANSWERED = 'POST /v1/chat/completions HTTP/1.1" 200'
SOME = 8  # answers, after which the server is killed


class Shop:
    """A project of a few users, the command that names their interests, and what its ledger holds."""

    def __init__(self, folder: Path, server: VllmServer) -> None:
        self.folder, self.server = folder, server
        self.file = folder / "work" / "recgpt.sqlite"
        self.store = create_engine(f"sqlite:///{self.file}", poolclass=NullPool)
        make_shop(folder, users=USERS, seed=5, until=NIGHT)

    def run(self, retries: int) -> "subprocess.Popen[str]":
        settings = self.server.settings(in_flight=IN_FLIGHT, retries=retries)
        (self.folder / "recgpt.toml").write_text(settings, encoding="utf-8")
        command = [Path(sys.executable).with_name("recgpt"), "interests", "--config", self.folder, "--date", str(NIGHT)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def answers(self) -> dict[str, datetime]:
        """The answers in the ledger: the request's hash and when it was written."""
        return dict(self.read(select(Answer.request_hash, Answer.created_at)))

    @property
    def units(self) -> int:
        return len(self.read(select(Unit.key).where(Unit.stage == Stage.INTERESTS)))

    def interests(self) -> list[Any]:
        return sorted(self.read(select(Interest.user_id, Interest.name, Interest.state)))

    def forget(self, *tables: type[Base]) -> None:
        """Empty these tables."""
        with self.store.begin() as connection:
            for table in tables:
                connection.execute(delete(table))

    def read(self, query: Any) -> list[Any]:
        if not self.file.exists():
            return []
        try:
            with self.store.connect() as connection:
                return [tuple(row) for row in connection.execute(query)]
        except OperationalError:  # the tables are being made
            return []

    def sent(self) -> int:
        """Answers that the server has sent in all its lives, by its own log."""
        return self.server.log.read_text("utf-8", "replace").count(ANSWERED)


@pytest.fixture
def shop(tmp_path: Path, server: VllmServer) -> Shop:
    return Shop(tmp_path / "shop", server)


def until(true: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 300
    while not true():
        assert process.poll() is None, f"the run ended too early:\n{process.communicate()[0]}"
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def test_killed_and_away_then_killed_and_back(server: VllmServer, shop: Shop) -> None:
    # It stays away: the run ends soon, with exit code 1 and the remedy, and what was answered is kept.
    before = shop.sent()
    run = shop.run(retries=2)
    until(lambda: len(shop.answers()) >= SOME, run)
    server.kill()
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 1, said
    assert "nothing answers there" in said
    assert "recgpt engine serve" in said
    assert "Traceback" not in said
    first = shop.answers()
    assert len(first) >= SOME

    # It is back: the same command goes on, lives through another death of the server, and comes to its end.
    server.start()
    run = shop.run(retries=40)
    until(lambda: len(shop.answers()) >= len(first) + SOME, run)
    server.kill()
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(timeout=5)  # it waits for the server
    second = shop.answers()
    server.start()
    said, _ = run.communicate(timeout=900)
    assert run.returncode == 0, said
    assert shop.units == USERS

    # No answer was bought twice: each row is as it was written first, and what the server sent in all its lives beyond
    # the rows is at most what it was sending when it died.
    last = shop.answers()
    assert first.items() <= second.items() <= last.items()
    assert 0 <= shop.sent() - before - len(last) <= 2 * IN_FLIGHT, (shop.sent() - before, len(last))

    # Again, and then without the notes of what is done: nothing is asked, the answers alone make the same interests.
    sent, made = shop.sent(), shop.interests()
    assert made
    for forgotten in ((), (Unit, Memory, Interest)):
        shop.forget(*forgotten)
        run = shop.run(retries=2)
        said, _ = run.communicate(timeout=300)
        assert run.returncode == 0, said
        assert shop.interests() == made
        assert shop.sent() == sent
        assert shop.answers() == last
