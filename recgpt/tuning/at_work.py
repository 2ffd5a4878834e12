"""A tuning command at work on a project: alone on its store, stoppable, on one night's logs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from recgpt.config import Config
from recgpt.errors import disk_faults
from recgpt.sources.prepare import prepare
from recgpt.stages.night import Night, Progress
from recgpt.stopping import Stopping, stoppable
from recgpt.store.lock import alone
from recgpt.store.runs import NIGHT, close_killed
from recgpt.store.session import bring_up, open_store
from recgpt.store.tables import Run


@contextmanager
def at_work(
    config: Config, command: str, day: date | None = None, progress: Callable[[Progress], None] = lambda _: None
) -> Iterator[tuple[Night, Stopping]]:
    """Hold the store's lock for a block, with the night to work on.

    Args:
        command: as another one is told of it: "recgpt tune evaluate".
        day: the night's date; by default the last one that was run, so that its answers are there to be replayed.

    Raises:
        LockedError: another command is at work on the store.
        Stopped: a signal came.
    """
    store = open_store(config, migrate=False)
    with disk_faults(), alone(store, command):
        bring_up(store)
        close_killed(store)
        with stoppable() as stopping:
            yield Night(config, store, prepare(config), day or _last(store), progress=progress), stopping


def _last(store: Engine) -> date:
    with Session(store) as session:
        last = session.scalar(select(func.max(Run.night)).where(Run.stage == NIGHT))
    return last or datetime.now(UTC).date()
