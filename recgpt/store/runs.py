"""The record of a run: opened before the first unit, closed with its counts however it ends.

A run that is still `running` in SQL with no process behind it was killed; what its units committed is kept, and the
same command goes on from there.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from recgpt.config import Config
from recgpt.store.tables import Run, now
from recgpt.words import RunState


@dataclass
class RunRecord:
    """What a stage fills in while it runs. `counts` is stored as JSON when the run ends."""

    id: int
    counts: dict[str, Any] = field(default_factory=dict)


@contextmanager
def recorded(store: Engine, config: Config, stage: str, night: date, parent: int | None = None) -> Iterator[RunRecord]:
    """Record one run around a block: done, failed (with the error's message) or stopped (by a person or a signal)."""
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
    state, message = RunState.FAILED, ""
    try:
        yield record
        state = RunState.DONE
    except (KeyboardInterrupt, asyncio.CancelledError):
        state, message = RunState.STOPPED, "interrupted; the same command goes on from here"
        raise
    except BaseException as error:
        message = f"{type(error).__name__}: {error}"
        raise
    finally:
        with Session(store) as session:
            stored = session.get_one(Run, record.id)
            stored.state, stored.message, stored.counts, stored.ended_at = state, message, record.counts, now()
            session.commit()
