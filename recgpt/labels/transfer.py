"""Labels out to a file and in from one: CSV or JSON Lines, by the file's name, one label a row.

`export` writes the labels that hold; the same file comes in again as it went out. `read_file` takes labels of any tool
that can write a table: a row needs the target's id, the criterion and the verdict, and may say more. Each row is looked
at by itself. One that says what can't be is left out and reported with its line and the reason, and the others come in:
a wrong cell costs a row, never the file.

Who gave an imported label: a person stays one (`human:NAME`); everything else becomes `import:NAME`, since no request
in the ledger stands behind it. A label that is no newer than what this store has from the same judge changes nothing,
so a file may be imported twice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from judges import Criterion, is_quoted, load_criteria
from recgpt.config import Config
from recgpt.errors import DataError
from recgpt.labels.files import FIELDS, Gate, Wrong, kind_of, rows_of, writer
from recgpt.labels.store import LabelRow, add, each
from recgpt.labels.targets import Target, load_targets
from recgpt.sources.logs import Logs
from recgpt.store.tables import Label
from recgpt.words import Task

TEXTS: Final = ("given", "claim")  # what was judged, where it is asked for
Row = tuple[int, Label, bool]  # its line, and whether it says when it was given
Criteria = Mapping[Task, Mapping[str, Criterion]]
BATCH: Final = 500  # rows in one transaction


@dataclass(frozen=True)
class Bad:
    """A row that was left out."""

    line: int
    reason: str


@dataclass
class Imported:
    """What came of a file."""

    added: int = 0
    known: int = 0  # no newer than what is here
    bad: list[Bad] = field(default_factory=list)
    judges: dict[str, int] = field(default_factory=dict)  # labels added, by judge

    def as_dict(self) -> dict[str, Any]:
        return {
            "added": self.added, "known": self.known, "judges": self.judges,
            "bad": [{"line": one.line, "reason": one.reason} for one in self.bad],
        }  # fmt: skip


def export(
    store: Engine, tasks: Sequence[Task], file: Path, *, judges: Sequence[str] | None = None,
    shown: Callable[[Task, Sequence[int]], Iterator[Target]] | None = None,
) -> int:  # fmt: skip
    """Write the labels that hold, by task and age; gives how many. The file is there whole or not at all.

    Args:
        judges: only those of these.
        shown: reads targets, where the file is to have what was judged as well.

    Raises:
        ConfigError: the file's name says neither CSV nor JSON Lines.
    """
    names = (*FIELDS, *TEXTS) if shown else FIELDS
    kind = kind_of(file)
    part = file.with_name(file.name + ".part")
    count = 0
    with part.open("w", encoding="utf-8", newline="") as out:
        write = writer(out, kind, names)
        for task in tasks:
            for rows in _batches(each(store, task, judges=judges)):
                texts = {one.id: one for one in shown(task, [row.target_id for row in rows])} if shown else {}
                for row in rows:
                    write(_cells(row, texts.get(row.target_id)))
                    count += 1
    part.replace(file)
    return count


def read_file(
    store: Engine, logs: Logs, config: Config, file: Path,
    *, name: str | None = None, task: Task | None = None,
) -> Imported:  # fmt: skip
    """Bring in the labels of a file.

    Args:
        name: all labels are by `import:NAME`, whatever the rows say.
        task: of the rows that don't name theirs.

    Raises:
        ConfigError: the file's name says neither CSV nor JSON Lines.
        DataError: it can't be read at all, or a table has not the columns that are needed.
    """
    found = Imported()
    criteria = {one: {criterion.name: criterion for criterion in load_criteria(one)} for one in Task}
    gate = Gate(criteria, name, task)
    batch: list[Row] = []
    bring_in = partial(_bring_in, store, logs, config, criteria, found)
    try:
        for line, cells in rows_of(file):
            try:
                if isinstance(cells, Wrong):
                    raise cells
                batch.append((line, *gate.label(cells)))
            except Wrong as wrong:
                found.bad.append(Bad(line, str(wrong)))
            if len(batch) >= BATCH:
                bring_in(batch)
                batch = []
    except OSError as error:
        raise DataError(f"{file} can't be read ({error.strerror}): correct its name or its rights") from None
    bring_in(batch)
    found.bad.sort(key=lambda one: one.line)
    return found


def _bring_in(
    store: Engine, logs: Logs, config: Config, criteria: Criteria, found: Imported, batch: Sequence[Row]
) -> None:
    """Store what of a batch is about rows that there are, quotes what they say, and is news."""
    targets: dict[tuple[str, int], Target] = {}
    for task in sorted({row.task for _, row, _ in batch}):
        ids = {row.target_id for _, row, _ in batch if row.task == task}
        targets |= {(task, one.id): one for one in load_targets(store, logs, config, Task(task), ids)}
    with Session(store) as session, session.begin():
        news: dict[tuple[object, ...], Label] = {}
        for line, row, dated in batch:
            target = targets.get((row.task, row.target_id))
            if target is None:
                found.bad.append(Bad(line, f"there is no row {row.target_id} in {row.task}"))
            elif row.evidence and not is_quoted(row.evidence, _shown(target, criteria, row)):
                found.bad.append(Bad(line, f"the evidence {row.evidence[:80]!r} is not in what was judged"))
            else:
                key = (row.task, row.target_id, row.criterion, row.judge, row.prompt_version)
                held = news.get(key) or _held(session, row)
                if held is not None and _is_known(row, held, dated=dated):
                    found.known += 1
                else:
                    news[key] = row
        for row in news.values():
            found.judges[row.judge] = found.judges.get(row.judge, 0) + 1
        found.added += len(news)
        add(session, list(news.values()))


def _shown(target: Target, criteria: Criteria, row: Label) -> tuple[str, str]:
    return target.given_for(criteria[target.task][row.criterion]), target.claim


def _held(session: Session, row: Label) -> Label | None:
    """The label that a row would take the place of."""
    return session.scalar(
        select(Label).where(
            Label.task == row.task, Label.target_id == row.target_id, Label.criterion == row.criterion,
            Label.judge == row.judge, Label.prompt_version == row.prompt_version, ~Label.superseded,
        )
    )  # fmt: skip


def _is_known(row: Label, held: Label, *, dated: bool) -> bool:
    """Whether a row is no newer than what is there; one without a time is news if it says something else."""
    if dated:
        return row.created_at <= held.created_at
    said = [(one.verdict, one.p_yes, one.evidence, one.rationale) for one in (row, held)]
    return said[0] == said[1]


def _cells(row: LabelRow, target: Target | None) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name in FIELDS:
        value = row.created_at.isoformat() if name == "time" else getattr(row, name)
        cells[name] = str(value) if isinstance(value, StrEnum) else value
    cells["verdict"] = "yes" if row.verdict else "no"
    return cells if target is None else {**cells, "given": target.given, "claim": target.claim}


def _batches(rows: Iterator[LabelRow]) -> Iterator[list[LabelRow]]:
    while batch := list(islice(rows, BATCH)):
        yield batch
