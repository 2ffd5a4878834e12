"""What is stored is found again, once, and what can't be stored is said."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine as Store
from sqlalchemy import event, make_url, select
from sqlalchemy.orm import Session

from recgpt.engine.ledger import Ledger
from recgpt.engine.requests import Reply, Request, resolve
from recgpt.errors import StoreError
from recgpt.store import session as opening
from recgpt.store.tables import Answer, PromptVersion
from recgpt.store.tables import Request as RequestRow
from recgpt.words import Outcome


def ask(text: str) -> Request:
    return resolve(
        task="interests", prompt_version="sha256:p", model="m", revision="r", schema={}, max_tokens=5,
        messages=[{"role": "user", "content": text}],
    )  # fmt: skip


def answered(text: str, content: str = "yes", **more: Any) -> Reply:
    return Reply(ask(text), Outcome.OK, content, "stop", seconds=0.5, attempts=1, **more)


def test_a_stored_answer_comes_back_whole(store: Store) -> None:
    probabilities = [{"token": "yes", "logprob": -0.1, "top_logprobs": []}]
    reply = answered("a", logprobs=probabilities, tokens_in=3, tokens_out=1, tokens_cached=2)
    Ledger(store).store([reply])
    found = Ledger(store).lookup([ask("a"), ask("b")])
    assert list(found) == [reply.request.hash]
    back = found[reply.request.hash]
    assert back.replayed
    assert back == Reply(**{**reply.__dict__, "request": reply.request, "replayed": True})


def test_the_first_answer_stays(store: Store) -> None:
    ledger = Ledger(store)
    ledger.store([answered("a", "first"), answered("b")])
    Ledger(store).store([answered("a", "second")])
    assert ledger.lookup([ask("a")])[ask("a").hash].content == "first"


def test_only_answers_are_kept(store: Store) -> None:
    Ledger(store).store(
        [Reply(ask("a"), Outcome.UNAVAILABLE, reason="x"), Reply(ask("b"), Outcome.INVALID, reason="y")]
    )
    with Session(store) as session:
        assert session.scalars(select(RequestRow)).all() == []


def test_a_prompt_is_kept_with_its_first_answer_once(store: Store, prompt: Any) -> None:
    ledger = Ledger(store)
    ledger.register(prompt)
    with Session(store) as session:
        assert session.scalars(select(PromptVersion)).all() == []
    for text in ("a", "b"):
        ledger.register(prompt)
        ledger.store([answered(text)])
    other = Ledger(store)
    other.register(prompt)
    other.store([answered("c")])
    with Session(store) as session:
        (kept,) = session.scalars(select(PromptVersion)).all()
        assert (kept.version, kept.task, kept.text) == (prompt.version, prompt.task, prompt.text)


def test_more_hashes_than_one_query_takes_are_counted_once_each(store: Store) -> None:
    ledger = Ledger(store)
    ledger.store([answered(str(i)) for i in range(1200)])
    requests = [ask(str(i)) for i in range(1500)]
    assert ledger.known([request.hash for request in requests * 2]) == {request.hash for request in requests[:1200]}
    assert len(ledger.lookup(requests)) == 1200


def test_a_full_disk_stops_the_run_and_keeps_what_was_there(store: Store, tmp_path: Path) -> None:
    Ledger(store).store([answered("a")])
    small = opening.connect(make_url(f"sqlite:///{tmp_path}/store.sqlite"))

    @event.listens_for(small, "connect")
    def no_growth(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA max_page_count=1")  # SQLite's own way to run out of room

    with pytest.raises(StoreError, match="the disk is full: make room"):
        Ledger(small).store([answered("b", "x" * 1_000_000)])
    assert Ledger(store).known([ask("a").hash, ask("b").hash]) == {ask("a").hash}
    with Session(store) as session:
        assert len(session.scalars(select(Answer)).all()) == 1


def test_a_locked_file_stops_the_run(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "BUSY_TIMEOUT_MS", 100)
    impatient = opening.connect(make_url(f"sqlite:///{tmp_path}/store.sqlite"))
    other = sqlite3.connect(tmp_path / "store.sqlite")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process holds it locked"):
        Ledger(impatient).store([answered("a")])
    other.rollback()
    Ledger(impatient).store([answered("a")])
    other.close()


def test_another_database_is_refused() -> None:
    class Elsewhere:
        class dialect:
            name = "mysql"

    with pytest.raises(StoreError, match="SQLite or PostgreSQL"):
        Ledger(Elsewhere())  # type: ignore[arg-type]
