"""Targets: rows of interests, tags and explanations as whoever judges them reads them.

A target is a `claim` (an interest's name, a tag, a line) beside what it is held against, `given`, in the words of the
criteria's own cases. What comes from the logs in it is cleaned, and is data. A criterion that asks about the time of
the year is shown the season of the night that made the row; one that asks how an interest came about is shown on how
many days, from when to when, and what was done.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from judges import Criterion
from recgpt.config import Config
from recgpt.rendering.clean import clean
from recgpt.rendering.environment import season
from recgpt.sources.logs import Logs
from recgpt.stages.texts import evidence_rows, product, product_line
from recgpt.store.tables import Explanation, Interest, Tag
from recgpt.words import State, Task

TABLES: Final[dict[Task, Any]] = {
    Task.INTERESTS: Interest,
    Task.TAGS: Tag,
    Task.EXPLANATIONS: Explanation,
}
SHOWN: Final = 5  # items of an interest that a judge is shown
PAGE: Final = 500  # rows in one query


@dataclass(frozen=True)
class Target:
    """A row to be judged. `user_id` is None for an explanation, which belongs to all whom its interest fits."""

    task: Task
    id: int
    given: str
    claim: str
    user_id: str | None = None
    interest: str = ""  # the name of the interest that the row is, or is for
    season: str = ""
    request_hash: str | None = None  # of the call that made the row
    course: str = ""  # of an interest: when its evidence is from, and of what kind

    def given_for(self, criterion: Criterion) -> str:
        """What is given when this criterion is asked: with the season or the course, if it asks about that."""
        given = self.given
        if criterion.course and self.course:
            given += f"\n{self.course}"
        if criterion.season and self.season:
            given += ". " if self.task == Task.TAGS else "\n"
            given += f"Season: {self.season}"
        return given


def target(config: Config, logs: Logs, session: Session, row: Interest | Tag | Explanation) -> Target:
    """A row as it is shown. The session must be that of the row: a tag's interest is looked up in it."""
    catalogue = logs.catalogue
    when = season(row.since_night, config.environment.hemisphere)
    if isinstance(row, Interest):
        rows = evidence_rows(catalogue, row.evidence)[:SHOWN]
        given = "\n".join(product_line(catalogue, one) for one in rows)
        done = course(config, row)
        return Target(Task.INTERESTS, row.id, given, row.name, row.user_id, row.name, when, row.request_hash, done)
    if isinstance(row, Tag):
        name = session.get_one(Interest, row.interest_id).name
        return Target(Task.TAGS, row.id, name, row.tag, row.user_id, name, when, row.request_hash)
    item = catalogue.row_of(row.item_id)
    shown = product(catalogue, item) if item is not None else "no longer sold"
    given = f"Interest: {row.interest}\nProduct: {shown}"
    return Target(Task.EXPLANATIONS, row.id, given, row.text, None, row.interest, when, row.request_hash)


def course(config: Config, row: Interest) -> str:
    """`On 3 days from 2026-03-02 to 2026-05-09: viewed x4, bought x1`."""
    days = sorted({event["timestamp"][:10] for event in row.evidence})
    counts = Counter(_word(config, event) for event in row.evidence)
    done = ", ".join(f"{word} x{count}" for word, count in counts.most_common())
    if len(days) < 2:
        return f"On {days[0]} only: {done}" if days else ""
    return f"On {len(days)} days from {days[0]} to {days[-1]}: {done}"


def _word(config: Config, event: dict[str, Any]) -> str:
    kind = config.behaviours.get(event.get("behaviour", ""))
    return clean(kind.word, 40) if kind is not None else "seen"


def active(store: Engine, task: Task) -> Iterator[list[int]]:
    """The ids of the rows that hold, in their order, a page at a time."""
    table, last = TABLES[task], 0
    while True:
        query = select(table.id).where(table.state == State.ACTIVE, table.id > last).order_by(table.id).limit(PAGE)
        with Session(store) as session:
            ids = list(session.scalars(query))
        if not ids:
            return
        last = ids[-1]
        yield ids


def load_targets(store: Engine, logs: Logs, config: Config, task: Task, ids: Collection[int]) -> Iterator[Target]:
    """The rows of these ids that there are, retired ones too, by id. Read page by page, and no transaction stays open
    while they are looked at."""
    table, ordered = TABLES[task], sorted(ids)
    for start in range(0, len(ordered), PAGE):
        with Session(store) as session:
            rows = session.scalars(select(table).where(table.id.in_(ordered[start : start + PAGE])).order_by(table.id))
            targets = [target(config, logs, session, row) for row in rows]
        yield from targets
