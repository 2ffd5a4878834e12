"""The record of a run: opened before the first unit, closed with its counts however it ends.

A run that is `running` in SQL with no process behind it was killed; what its units committed is kept, and the same
command goes on from there. Since a night holds the store's lock, the next one knows that nobody is behind it, and
says so in the record.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from recgpt.config import Config
from recgpt.errors import Stopped
from recgpt.store.tables import Run, now
from recgpt.words import RunState

NIGHT: Final = "night"  # the stage of a record that holds others


@dataclass
class RunRecord:
    """What a stage fills in while it runs. `counts` is stored as JSON when the run ends."""

    id: int
    counts: dict[str, Any] = field(default_factory=dict)


@contextmanager
def recorded(store: Engine, config: Config, stage: str, night: date, parent: int | None = None) -> Iterator[RunRecord]:
    """Record one run around a block: done, failed (with the error's message) or stopped (see `ending`)."""
    with Session(store) as session:
        row = Run(
            stage=stage,
            night=night,
            state=RunState.RUNNING,
            config_hash=config.fingerprint(),
            parent_id=parent,
        )
        session.add(row)
        session.commit()
        record = RunRecord(row.id)
    state, message = RunState.DONE, ""
    try:
        yield record
    except BaseException as error:
        state, message = ending(error)
        raise
    finally:
        with Session(store) as session:
            stored = session.get_one(Run, record.id)
            stored.state, stored.message, stored.counts, stored.ended_at = state, message, record.counts, now()
            session.commit()


def ending(error: BaseException) -> tuple[RunState, str]:
    """The state and the message of a run that this ended: a person, a signal and a spent budget stop it, all else is a
    failure."""
    if isinstance(error, Stopped):
        return RunState.STOPPED, str(error)
    if isinstance(error, (KeyboardInterrupt, asyncio.CancelledError)):
        return RunState.STOPPED, "interrupted; the same command goes on from here"
    return RunState.FAILED, f"{type(error).__name__}: {error}"


def close_killed(store: Engine) -> None:
    """End the records of killed runs. Only for who holds the store's lock: nobody else is at work then."""
    message = "killed: its process ended without a word; what was committed is kept, and the same command goes on"
    with store.begin() as connection:
        killed = update(Run).where(Run.state == RunState.RUNNING)
        connection.execute(killed.values(state=RunState.FAILED, message=message))


def latest(store: Engine, limit: int) -> list[dict[str, Any]]:
    """The last runs of `nightly` and of single stages, newest first: how each ended, and what it did and cost."""
    query = select(Run).where(Run.stage == NIGHT).order_by(Run.id.desc()).limit(limit)
    with Session(store) as session:
        return [_line(row) for row in session.scalars(query)]


def _line(row: Run) -> dict[str, Any]:
    stages = row.counts.get("stages", [])
    usage = row.counts.get("usage", {})
    return {
        "run": row.id,
        "night": row.night.isoformat(),
        "stages": [one["stage"] for one in stages],
        "state": row.state,
        "started_at": row.started_at.isoformat(timespec="seconds"),
        "seconds": None if row.ended_at is None else round((row.ended_at - row.started_at).total_seconds(), 1),
        "coverage": row.counts.get("coverage"),
        "asked": usage.get("asked", 0),
        "replayed": usage.get("replayed", 0),
        "tokens_in": usage.get("tokens_in", 0),
        "tokens_out": usage.get("tokens_out", 0),
        "message": row.message,
    }
