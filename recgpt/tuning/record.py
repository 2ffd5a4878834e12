"""The record of a tuning: opened before anything is learnt, closed with what came of it however it ends."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from recgpt.store.runs import ending
from recgpt.store.tables import TuningRun, now
from recgpt.words import RunState


@dataclass
class Record:
    """What a tuning fills in while it runs."""

    id: int
    version: str | None = None  # of what came of it
    result: dict[str, Any] = field(default_factory=dict)  # JSON


@contextmanager
def recorded(store: Engine, kind: str, task: str, config: Mapping[str, Any], data_hash: str = "") -> Iterator[Record]:
    """Record one tuning around a block: done, stopped, or failed with the error's message.

    Only for who holds the store's lock. One that is found running has nobody behind it: it was killed, and says so from
    now on.
    """
    with Session(store) as session:
        killed = update(TuningRun).where(TuningRun.state == RunState.RUNNING)
        message = "killed: its process ended without a word; the same command goes on"
        session.execute(killed.values(state=RunState.FAILED, result={"message": message}))
        row = TuningRun(kind=kind, task=task, state=RunState.RUNNING, config=dict(config), data_hash=data_hash)
        session.add(row)
        session.commit()
        record = Record(row.id)
    state, message = RunState.DONE, ""
    try:
        yield record
    except BaseException as error:
        state, message = ending(error)
        raise
    finally:
        with Session(store) as session:
            stored = session.get_one(TuningRun, record.id)
            stored.state, stored.version, stored.ended_at = state, record.version, now()
            stored.result = {**record.result, **({"message": message} if message else {})}
            session.commit()
