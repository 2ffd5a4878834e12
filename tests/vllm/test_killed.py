"""The server is killed with -9 while `recgpt interests` runs: what was answered is kept, and asked for once."""

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import OperationalError
from vllm_server import VllmServer

from recgpt.sources.demo import make_shop
from recgpt.store.tables import Answer, Unit
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
        make_shop(folder, users=USERS, seed=5, until=NIGHT)

    def run(self, retries: int) -> "subprocess.Popen[str]":
        settings = self.server.settings(in_flight=IN_FLIGHT, retries=retries)
        (self.folder / "recgpt.toml").write_text(settings, encoding="utf-8")
        command = [Path(sys.executable).with_name("recgpt"), "interests", "--config", self.folder, "--date", str(NIGHT)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    @property
    def answers(self) -> int:
        return self.count(select(func.count()).select_from(Answer))

    @property
    def units(self) -> int:
        return self.count(select(func.count()).select_from(Unit).where(Unit.stage == Stage.INTERESTS))

    def count(self, query: Any) -> int:
        file = self.folder / "work" / "recgpt.sqlite"
        if not file.exists():
            return 0
        store = create_engine(f"sqlite:///{file}")
        try:
            with store.connect() as connection:
                return int(connection.scalar(query))
        except OperationalError:  # the tables are being made
            return 0
        finally:
            store.dispose()

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
    # It stays away: the run ends soon, with exit code 1 and the remedy.
    before = shop.sent()
    run = shop.run(retries=2)
    until(lambda: shop.answers >= SOME, run)
    server.kill()
    said, _ = run.communicate(timeout=120)
    assert run.returncode == 1, said
    assert "nothing answers there" in said
    assert "recgpt engine serve" in said
    assert "Traceback" not in said
    kept = shop.answers
    assert SOME <= kept <= shop.sent() - before <= kept + IN_FLIGHT  # those it was sending when it died may be lost

    # It is back: the same command goes on, asks only for the rest, and lives through another death of the server.
    server.start()
    before, kept_before = shop.sent(), kept
    run = shop.run(retries=40)
    until(lambda: shop.answers >= kept_before + SOME, run)
    server.kill()
    time.sleep(5)  # what had been received is written
    kept, sent = shop.answers, shop.sent()
    assert kept - kept_before <= sent - before <= kept - kept_before + IN_FLIGHT
    assert run.poll() is None
    server.start()
    said, _ = run.communicate(timeout=600)
    assert run.returncode == 0, said
    assert shop.units == USERS
    assert shop.sent() - sent == shop.answers - kept  # in its last life it was asked for what was missing, once each

    # And again: nothing is asked.
    sent = shop.sent()
    run = shop.run(retries=2)
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 0, said
    assert shop.sent() == sent
