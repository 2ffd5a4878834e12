"""Labels in SQL: the one way in, and the one way out.

A judge is known by text: `MODEL@REVISION` (with `#said` or `#examples` behind it where it was asked in that form: the
same model then answers another question), `human:NAME`, `panel:NAME`, `import:NAME`. Of one judge, one row and one
version of a criterion, the last label holds; `add` supersedes the ones before it, and `labels` never shows them.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final

from sqlalchemy import Engine, Select, select, update
from sqlalchemy.orm import Session

from recgpt.store.tables import Label
from recgpt.words import JudgeKind, Task

PAGE: Final = 5_000  # rows in one query
Key = tuple[int, str]  # a target's id and a criterion


@dataclass(frozen=True)
class LabelRow:
    """A label that holds, apart from any session."""

    id: int
    task: Task
    target_id: int
    criterion: str
    verdict: bool
    p_yes: float | None
    threshold: float | None
    votes: int | None
    evidence: str
    rationale: str
    kind: JudgeKind
    judge: str
    revision: str
    prompt_version: str
    tokens: int | None
    request_hash: str | None
    queued: str  # why a person was asked, if one was: disagreement, random, unlabelled
    created_at: datetime


def judge_id(model: str, revision: str, form: str) -> str:
    """What a model's labels are known by."""
    return f"{model}@{revision}" + ("" if form == "verdict" else f"#{form}")


def labels(
    store: Engine,
    task: Task,
    *,
    judges: Collection[str] | None = None,
    criteria: Collection[str] | None = None,
    targets: Collection[int] | None = None,
) -> list[LabelRow]:
    """The labels that hold, oldest first; only those of these judges, criteria, targets where they are given."""
    return list(each(store, task, judges=judges, criteria=criteria, targets=targets))


def each(
    store: Engine,
    task: Task,
    *,
    judges: Collection[str] | None = None,
    criteria: Collection[str] | None = None,
    targets: Collection[int] | None = None,
) -> Iterator[LabelRow]:
    """As `labels`, a page at a time: no list of all of them is made, and no transaction stays open."""
    query = select(Label).where(Label.task == task, Label.superseded.is_(False)).order_by(Label.id).limit(PAGE)
    if judges is not None:
        query = query.where(Label.judge.in_(judges))
    if criteria is not None:
        query = query.where(Label.criterion.in_(criteria))
    if targets is not None:
        query = query.where(Label.target_id.in_(targets))
    last = 0
    while rows := _page(store, query.where(Label.id > last)):
        yield from rows
        last = rows[-1].id


def matrix(store: Engine, task: Task) -> dict[Key, dict[str, LabelRow]]:
    """What each judge said, by target and criterion: of several versions of a criterion, the latest label."""
    found: dict[Key, dict[str, LabelRow]] = {}
    for row in each(store, task):
        found.setdefault((row.target_id, row.criterion), {})[row.judge] = row
    return found


def labelled(store: Engine, task: Task) -> set[str]:
    """The judges that have labels on a task."""
    with Session(store) as session:
        return set(session.scalars(select(Label.judge).where(Label.task == task, ~Label.superseded).distinct()))


def add(session: Session, rows: Sequence[Label]) -> None:
    """Add labels; those of the same judge, target and version of a criterion before them hold no longer.

    No two of `rows` may be such a pair.
    """
    session.flush()
    ordered = sorted(rows, key=_owner)
    for (task, target_id, judge), group in groupby(ordered, key=_owner):
        asked = list(group)
        session.execute(
            update(Label)
            .where(
                Label.task == task,
                Label.target_id == target_id,
                Label.judge == judge,
                Label.criterion.in_([row.criterion for row in asked]),
                Label.prompt_version.in_([row.prompt_version for row in asked]),
                Label.superseded.is_(False),
            )
            .values(superseded=True),
            execution_options={"synchronize_session": False},
        )
    session.add_all(rows)


def _owner(row: Label) -> tuple[str, int, str]:
    return row.task, row.target_id, row.judge


def _page(store: Engine, query: Select[Label]) -> list[LabelRow]:
    with Session(store) as session:
        return [_row(one) for one in session.scalars(query)]


def _row(row: Label) -> LabelRow:
    return LabelRow(
        id=row.id,
        task=Task(row.task),
        target_id=row.target_id,
        criterion=row.criterion,
        verdict=row.verdict,
        p_yes=row.p_yes,
        threshold=row.threshold,
        votes=row.votes,
        evidence=row.evidence,
        rationale=row.rationale,
        kind=JudgeKind(row.kind),
        judge=row.judge,
        revision=row.revision,
        prompt_version=row.prompt_version,
        tokens=row.tokens,
        request_hash=row.request_hash,
        queued=row.queued,
        created_at=row.created_at,
    )
