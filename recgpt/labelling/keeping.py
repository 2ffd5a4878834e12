"""What a person says, written to SQL: labels and skips, each in a short transaction of its own.

A label is never deleted: one that is taken back, or given anew, is `superseded`. Several people, and one person in
several windows, may write at the same time; each row names its judge, and the newest of one person's holds.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, case, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from judges import Criterion
from recgpt.labels.store import add
from recgpt.labels.targets import Target
from recgpt.store.tables import Label, PromptVersion, Skip, now
from recgpt.words import JudgeKind

TRIES: Final = 5


@dataclass(frozen=True)
class Agreement:
    """How often two people said the same of what both labelled."""

    judge: str
    common: int
    same: int


class Keeper:
    """The labels and skips of one judge, a person."""

    def __init__(self, store: Engine, judge: str) -> None:
        self.judge = judge
        self._store = store
        self._texts_kept: set[str] = set()
        with Session(store) as session:
            rows = session.scalars(select(Skip).where(Skip.judge == judge))
            self._skipped = {(row.task, row.target_id, row.criterion): row.created_at for row in rows}

    def is_labelled(self, target: Target, criterion: Criterion) -> bool:
        with Session(self._store) as session:
            return session.scalar(select(Label.id).where(*self._held(target, criterion))) is not None

    def keep(self, target: Target, criterion: Criterion, verdict: bool, note: str, queued: str) -> int:
        """Store a verdict, in the place of this person's last one on the same question. Gives the label's id."""
        self._keep_text(criterion)
        for left in reversed(range(TRIES)):
            try:
                with Session(self._store) as session, session.begin():
                    # First what takes SQLite's write lock.
                    session.execute(delete(Skip).where(*self._skip(target, criterion)))
                    label = Label(
                        **_of(target, criterion), kind=JudgeKind.HUMAN, judge=self.judge, verdict=verdict,
                        prompt_version=criterion.version, rationale=note, queued=queued,
                    )  # fmt: skip
                    add(session, [label])
                    session.flush()
                    number = label.id
            except IntegrityError:  # this person, in another window, at this very moment: now theirs is superseded
                if not left:
                    raise
            else:
                self._skipped.pop((target.task, target.id, criterion.name), None)
                return number
        raise AssertionError

    def take_back(self, label_id: int) -> None:
        with Session(self._store) as session, session.begin():
            session.execute(update(Label).where(Label.id == label_id).values(superseded=True))

    def skip(self, target: Target, criterion: Criterion) -> None:
        moment = now()
        try:
            with Session(self._store) as session, session.begin():
                session.execute(delete(Skip).where(*self._skip(target, criterion)))
                session.add(Skip(**_of(target, criterion), judge=self.judge, created_at=moment))
        except IntegrityError:  # this person, in another window, at this very moment
            pass
        self._skipped[target.task, target.id, criterion.name] = moment

    def unskip(self, target: Target, criterion: Criterion) -> None:
        with Session(self._store) as session, session.begin():
            session.execute(delete(Skip).where(*self._skip(target, criterion)))
        self._skipped.pop((target.task, target.id, criterion.name), None)

    def skipped_at(self, target: Target, criterion: Criterion) -> datetime | None:
        """When this person skipped the question last, if it is still open."""
        return self._skipped.get((target.task, target.id, criterion.name))

    def total(self, task: str) -> int:
        """How many labels of this person hold."""
        with Session(self._store) as session:
            query = select(func.count()).where(Label.task == task, Label.judge == self.judge, ~Label.superseded)
            return session.scalar(query) or 0

    def agreements(self, task: str) -> list[Agreement]:
        """With each other person who answered something that this one did, by name."""
        mine, theirs = aliased(Label), aliased(Label)
        query = (
            select(theirs.judge, func.count(), func.sum(case((mine.verdict == theirs.verdict, 1), else_=0)))
            .join(
                theirs,
                (mine.task == theirs.task)
                & (mine.target_id == theirs.target_id)
                & (mine.criterion == theirs.criterion)
                & (mine.prompt_version == theirs.prompt_version),
            )
            .where(mine.task == task, mine.judge == self.judge, ~mine.superseded)
            .where(theirs.kind == JudgeKind.HUMAN, theirs.judge != self.judge, ~theirs.superseded)
            .group_by(theirs.judge)
            .order_by(theirs.judge)
        )
        with Session(self._store) as session:
            return [Agreement(*row) for row in session.execute(query)]

    def _held(self, target: Target, criterion: Criterion) -> tuple[ColumnElement[bool], ...]:
        return (
            Label.task == target.task,
            Label.target_id == target.id,
            Label.criterion == criterion.name,
            Label.judge == self.judge,
            Label.prompt_version == criterion.version,
            ~Label.superseded,
        )

    def _skip(self, target: Target, criterion: Criterion) -> tuple[ColumnElement[bool], ...]:
        return (
            Skip.task == target.task,
            Skip.target_id == target.id,
            Skip.criterion == criterion.name,
            Skip.judge == self.judge,
        )

    def _keep_text(self, criterion: Criterion) -> None:
        """Keep the criterion's file under its version, so that a label's question can be printed later."""
        if criterion.version in self._texts_kept:
            return
        try:
            with Session(self._store) as session, session.begin():
                if session.get(PromptVersion, criterion.version) is None:
                    session.add(PromptVersion(version=criterion.version, task=criterion.task, text=criterion.text))
        except IntegrityError:  # somebody else kept it just now
            pass
        self._texts_kept.add(criterion.version)


def _of(target: Target, criterion: Criterion) -> dict[str, Any]:
    return {"task": target.task, "target_id": target.id, "criterion": criterion.name}
