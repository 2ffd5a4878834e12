import asyncio
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from recgpt.config import Config
from recgpt.errors import EngineError
from recgpt.store.runs import recorded
from recgpt.store.session import open_store
from recgpt.store.tables import Run
from recgpt.words import RunState

NIGHT = date(2026, 10, 31)


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return open_store(Config(folder=tmp_path))


def only_run(store: Engine) -> Run:
    with Session(store, expire_on_commit=False) as session:
        (run,) = session.query(Run).all()
        return run


def test_a_run_ends_done_with_its_counts(store: Engine, tmp_path: Path) -> None:
    with recorded(store, Config(folder=tmp_path), "tags", NIGHT) as record:
        assert only_run(store).state == RunState.RUNNING
        record.counts["units"] = 3
    run = only_run(store)
    assert (run.state, run.counts, run.night) == (RunState.DONE, {"units": 3}, NIGHT)
    assert run.ended_at is not None


def test_an_error_is_kept_as_the_message_and_still_raised(store: Engine, tmp_path: Path) -> None:
    def fail() -> None:
        with recorded(store, Config(folder=tmp_path), "tags", NIGHT) as record:
            record.counts["units"] = 1
            raise EngineError("no server")

    with pytest.raises(EngineError):
        fail()
    run = only_run(store)
    assert run.state == RunState.FAILED
    assert "no server" in run.message
    assert run.counts == {"units": 1}


@pytest.mark.parametrize("signal", [KeyboardInterrupt, asyncio.CancelledError])
def test_an_interrupted_run_is_stopped_not_failed(store: Engine, tmp_path: Path, signal: type[BaseException]) -> None:
    with pytest.raises(signal), recorded(store, Config(folder=tmp_path), "tags", NIGHT):
        raise signal
    assert only_run(store).state == RunState.STOPPED
