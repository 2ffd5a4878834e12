"""The cases of an audit, as the store has them: a judge's labels and pairs beside the truth.

The truth of a criterion of a target is what most of the people say who labelled it; where as many say yes as no there
is none. Another judge may stand in the people's place. A judge is never held against itself. Of a judge's own labels
those by the newest version of each criterion count, since another version is another judge; a person's newest label on
a criterion counts whatever the version.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from recgpt.audit.agreement import Answers
from recgpt.audit.figures import Rated
from recgpt.audit.swaps import Swapped
from recgpt.labels.store import Key, LabelRow
from recgpt.labels.thresholds import truths
from recgpt.store.tables import Preference
from recgpt.words import JudgeKind, Task


@dataclass(frozen=True)
class Truth:
    verdicts: Mapping[Key, bool]
    tied: frozenset[Key]
    random: frozenset[Key]  # that people were given by chance


def answers_of(rows: Sequence[LabelRow]) -> Answers:
    """What each person says now."""
    found: dict[Key, dict[str, bool]] = defaultdict(dict)
    for row in rows:
        found[row.target_id, row.criterion][row.judge] = row.verdict
    return found


def truth_of(rows: Sequence[LabelRow], judge: str, against: str | None) -> Truth:
    """What the people but for `judge`, or what `against`, says."""
    verdicts = truths(rows, judge, against)
    asked = [row for row in rows if _speaks(row, judge, against)]
    keys = {(row.target_id, row.criterion) for row in asked}
    random = frozenset((row.target_id, row.criterion) for row in asked if row.queued == "random")
    return Truth(verdicts, frozenset(keys - verdicts.keys()), random)


def newest(rows: Sequence[LabelRow]) -> list[LabelRow]:
    """Those by the newest version of their criterion."""
    versions = {row.criterion: row.prompt_version for row in rows}  # oldest first: the last one stays
    return [row for row in rows if row.prompt_version == versions[row.criterion]]


def rate(own: Sequence[LabelRow], truth: Truth) -> list[Rated]:
    found = []
    for row in own:
        right = truth.verdicts.get((row.target_id, row.criterion))
        if right is not None:
            found.append(Rated(row.target_id, row.criterion, right, row.verdict, row.p_yes))
    return sorted(found, key=lambda one: (one.target, one.criterion))


def pairs_of(store: Engine, task: Task, judge: str) -> list[Preference]:
    """The last judgement of each pair by the newest version of its criterion."""
    query = select(Preference).where(Preference.task == task, Preference.judge == judge).order_by(Preference.id)
    with Session(store) as session:
        rows = list(session.scalars(query))
    versions = {row.criterion: row.prompt_version for row in rows}
    held = {
        (row.criterion, row.input_hash, row.left, row.right): row
        for row in rows
        if row.prompt_version == versions[row.criterion]
    }
    return list(held.values())


def swapped(pair: Preference, truth: Truth) -> Swapped:
    """A text that the criterion is true of is better than one that it is not."""
    left, right = (
        None if target is None else truth.verdicts.get((target, pair.criterion))
        for target in (pair.left_target, pair.right_target)
    )
    better = None if left is None or right is None or left == right else "left" if left else "right"
    return Swapped(pair.input_hash, pair.criterion, pair.first, pair.second, better)


def _speaks(row: LabelRow, judge: str, against: str | None) -> bool:
    return row.judge == against if against else row.kind == JudgeKind.HUMAN and row.judge != judge
