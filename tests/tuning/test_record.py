"""The record of a tuning says how it ended, whatever ended it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from recgpt.config import Config
from recgpt.errors import BudgetSpent, Stopped
from recgpt.store.session import open_store
from recgpt.store.tables import TuningRun
from recgpt.tuning.record import recorded


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    engine = open_store(Config(folder=tmp_path))
    yield engine
    engine.dispose()


def rows(store: Engine) -> list[TuningRun]:
    with Session(store, expire_on_commit=False) as session:
        return list(session.scalars(select(TuningRun).order_by(TuningRun.id)))


def test_one_that_is_done_has_its_version_and_result(store: Engine) -> None:
    with recorded(store, "sft", "tags", {"seed": 1}, "sha256:d") as record:
        [running] = rows(store)
        assert (running.state, running.ended_at) == ("running", None)
        record.version, record.result = "sha256:v", {"steps": 3}
    [done] = rows(store)
    assert (done.kind, done.task, done.config, done.data_hash) == ("sft", "tags", {"seed": 1}, "sha256:d")
    assert (done.state, done.version, done.result) == ("done", "sha256:v", {"steps": 3})
    assert done.ended_at is not None


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (Stopped("stopped; go on"), "stopped", "stopped; go on"),
        (KeyboardInterrupt(), "stopped", "interrupted"),
        (BudgetSpent("the budget is spent"), "stopped", "the budget is spent"),
        (RuntimeError("no memory"), "failed", "RuntimeError: no memory"),
    ],
)
def test_one_that_is_cut_short_says_by_what(store: Engine, error: BaseException, state: str, message: str) -> None:
    def tune() -> None:
        with recorded(store, "dpo", "tags", {}) as record:
            record.result = {"steps": 1}
            raise error

    with pytest.raises(type(error)):
        tune()
    [row] = rows(store)
    assert (row.state, row.version, row.result["steps"] if row.result else None) == (state, None, 1)
    assert message in (row.result or {})["message"]


def test_one_that_was_killed_is_found_by_the_next(store: Engine) -> None:
    with Session(store) as session:
        session.add(TuningRun(kind="sft", task="tags", state="running", config={}))
        session.commit()
    with recorded(store, "sft", "tags", {}):
        pass
    killed, done = rows(store)
    assert (killed.state, "killed" in (killed.result or {})["message"]) == ("failed", True)
    assert (done.state, done.result) == ("done", {})
