"""A queue of made-up interests, and sittings over it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from judges import Criterion, load_criteria
from recgpt.labelling.session import Sitting
from recgpt.labels.queue import Queued
from recgpt.labels.store import add
from recgpt.labels.targets import Target
from recgpt.store.tables import Label
from recgpt.words import Task

ALL = {one.name: one for one in load_criteria("interests")}
TWO = {name: ALL[name] for name in ("grounded", "specific")}
GIVEN = "- astronomy: refractor telescope\n- astronomy: star chart"


def queued(*claims: str, why: str = "disagreement", criteria: Iterable[str] = tuple(TWO)) -> list[Queued]:
    """Interests of these names, numbered from 1."""
    return [
        Queued(Target(Task.INTERESTS, number, GIVEN, claim), tuple(criteria), why, 1.0)
        for number, claim in enumerate(claims, 1)
    ]


@dataclass
class Room:
    """A store, and who sits down at it."""

    store: Engine
    folder: Path

    def sit(self, queue: list[Queued], name: str = "eva", **options: Any) -> Sitting:
        return Sitting(self.store, Task.INTERESTS, name, iter(queue), ALL, **options)

    def labels(self, name: str | None = None, superseded: bool = False) -> list[Label]:
        """As stored, in the order of their making."""
        query = select(Label).where(Label.superseded.is_(superseded)).order_by(Label.id)
        with Session(self.store, expire_on_commit=False) as session:
            return list(session.scalars(query if name is None else query.where(Label.judge == f"human:{name}")))

    def said(self, name: str | None = None) -> list[tuple[int, str, bool]]:
        return [(row.target_id, row.criterion, row.verdict) for row in self.labels(name)]

    def judged(self, target: int, criterion: Criterion, verdict: bool, judge: str = "small@r1", **columns: Any) -> None:
        """A judge's label."""
        row = Label(
            task=Task.INTERESTS, target_id=target, criterion=criterion.name, verdict=verdict, judge=judge,
            prompt_version=criterion.version, **columns,
        )  # fmt: skip
        with Session(self.store) as session, session.begin():
            add(session, [row])
