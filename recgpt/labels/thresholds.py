"""Thresholds fitted on labelled rows, kept in the store: the P(yes) from which a judge's answer counts as yes.

`fit` holds what a judge said against what people said of the same rows, and keeps the cut of each criterion that
divides them best. `judge run` uses the newest; the labels that the judge has left already are read anew with it, so no
label in the store is held against a threshold of before. A passport made from the very rows that a threshold was fitted
on is better than the judge is: label more before the next audit.

The reviewer's threshold is kept beside them: the mean P(yes), over all criteria, from which a row without a defect is
S. It is fitted on the rows that the judge finds no defect in, so that S tells those that people find none in either
from those that merely passed.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Final

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from judges import REVIEWER, Threshold, Verdict, confidence
from judges import fit as fit_cut
from recgpt.errors import ConfigError
from recgpt.labels.learnt import learnt
from recgpt.labels.store import Key, LabelRow, add, each
from recgpt.stages.work import digest
from recgpt.store.tables import JudgeThreshold, Label
from recgpt.store.tables import now as moment
from recgpt.words import JudgeKind, Task

LEAST: Final = 10  # rows with a truth
LEAST_OF_EACH: Final = 3  # ... and of either answer


@dataclass(frozen=True)
class Fitting:
    """What was fitted, by criterion (and REVIEWER), and why the others were not."""

    fitted: Mapping[str, Threshold]
    left_out: Mapping[str, str]
    changed: int  # labels whose verdict is another one now


def newest(store: Engine, judge: str, task: Task) -> dict[tuple[str, str], Threshold]:
    """The thresholds of a judge by criterion and its version; REVIEWER's by `reviewed`."""
    query = select(JudgeThreshold).where(JudgeThreshold.judge == judge, JudgeThreshold.task == task)
    with Session(store) as session:
        rows = session.scalars(query.order_by(JudgeThreshold.id))
        return {(row.criterion, row.prompt_version): _threshold(row) for row in rows}


def reviewed(versions: Mapping[str, str]) -> str:
    """The version under which a reviewer's threshold is kept: of the criteria's versions, by their names."""
    return digest(sorted(versions.items()))


def fit(store: Engine, task: Task, judge: str, *, against: str | None = None) -> Fitting:
    """Fit and keep a judge's thresholds on a task.

    Args:
        against: the judge whose labels are the truth, instead of what most people say.

    Raises:
        ConfigError: the judge has no labels on the task, or is a person.
    """
    seen = learnt(store, task, judge)
    rows = [row for row in each(store, task) if row.target_id not in seen or row.judge == judge]
    own = [row for row in rows if row.judge == judge]
    if not own or own[0].kind == JudgeKind.HUMAN:
        said = (
            "is a person, whose word needs none" if own else f"has no labels on {task}: run 'recgpt judge run {task}'"
        )
        raise ConfigError(f"no threshold can be fitted for {judge}: it {said}")
    truth = truths(rows, judge, against)
    versions = {row.criterion: row.prompt_version for row in own}  # oldest first: the last one stays
    own = [row for row in own if row.prompt_version == versions[row.criterion]]
    cuts, left_out = {}, {}
    with Session(store) as session, session.begin():
        for criterion, version in sorted(versions.items()):
            mine = [row for row in own if row.criterion == criterion]
            cases = [
                _Case(row.target_id, row.p_yes, truth[row.target_id, criterion])
                for row in mine
                if row.p_yes is not None and (row.target_id, criterion) in truth
            ]
            found = _fitted(cases)
            if isinstance(found, str):
                left_out[criterion] = found if mine[-1].p_yes is not None else "the judge gives no P(yes)"
            else:
                cuts[criterion] = found
                _keep(session, _row(judge, task, criterion, version, found, cases))
        held = [row for row in own if row.criterion in cuts]
        changed = _read_anew(session, held, cuts)
        now = [_held(row, cuts) for row in own]
        cases = _passed(now, truth, versions)
        found = _fitted(cases)
        if isinstance(found, str):
            left_out[REVIEWER] = f"{found} that the judge finds no defect in"
        else:
            cuts[REVIEWER] = found
            _keep(session, _row(judge, task, REVIEWER, reviewed(versions), found, cases))
    return Fitting(cuts, left_out, changed)


def truths(rows: Sequence[LabelRow], judge: str, against: str | None = None) -> dict[Key, bool]:
    """What most of the people say (where as many say yes as no there is no truth), or what `against` says."""
    said: dict[Key, dict[str, bool]] = defaultdict(dict)
    for row in rows:
        if row.judge == against if against else row.kind == JudgeKind.HUMAN and row.judge != judge:
            said[row.target_id, row.criterion][row.judge] = row.verdict
    yes = {key: (sum(given.values()), len(given)) for key, given in said.items()}
    return {key: 2 * n > of for key, (n, of) in yes.items() if 2 * n != of}


@dataclass(frozen=True)
class _Case:
    target_id: int
    p_yes: float
    truth: bool


def _fitted(cases: Sequence[_Case]) -> Threshold | str:
    """The threshold, or why there is none."""
    yes = sum(one.truth for one in cases)
    if len(cases) < LEAST or min(yes, len(cases) - yes) < LEAST_OF_EACH:
        return (
            f"{LEAST} labelled rows are needed, {LEAST_OF_EACH} of either answer, and there are {yes} yes and "
            f"{len(cases) - yes} no"
        )
    return fit_cut([one.p_yes for one in cases], [one.truth for one in cases])


def _passed(now: Sequence[LabelRow], truth: Mapping[Key, bool], versions: Mapping[str, str]) -> list[_Case]:
    """The rows without a defect by the judge, each with its confidence, and whether it has none by the truth either."""
    by_target: dict[int, dict[str, LabelRow]] = defaultdict(dict)
    for row in now:
        by_target[row.target_id][row.criterion] = row
    cases = []
    for target_id, found in sorted(by_target.items()):
        told = [truth.get((target_id, criterion)) for criterion in versions]
        known = False if False in told else None if None in told else True
        if known is not None and set(found) == set(versions) and all(row.verdict for row in found.values()):
            cases.append(_Case(target_id, confidence({name: verdict_of(row) for name, row in found.items()}), known))
    return cases


def verdict_of(row: LabelRow) -> Verdict:
    return Verdict(row.verdict, row.p_yes, row.threshold, row.evidence, row.votes)


def _held(row: LabelRow, cuts: Mapping[str, Threshold]) -> LabelRow:
    """A label held against its new threshold, if there is one."""
    cut = cuts.get(row.criterion)
    if cut is None or row.p_yes is None:
        return row
    return replace(row, verdict=row.p_yes >= cut.value, threshold=cut.value)


def _read_anew(session: Session, rows: Sequence[LabelRow], cuts: Mapping[str, Threshold]) -> int:
    """Put labels with their new thresholds in the place of the old ones; gives how many say something else now."""
    moved = [(row, _held(row, cuts)) for row in rows]
    moved = [(old, new) for old, new in moved if old.threshold != new.threshold]
    add(session, [_copy(session.get_one(Label, old.id), new) for old, new in moved])
    return sum(old.verdict != new.verdict for old, new in moved)


def _copy(row: Label, new: LabelRow) -> Label:
    kept = {column.name: getattr(row, column.name) for column in Label.__table__.columns if column.name != "id"}
    return Label(**{**kept, "verdict": new.verdict, "threshold": new.threshold, "created_at": moment()})


def _row(
    judge: str, task: Task, criterion: str, version: str, found: Threshold, cases: Sequence[_Case]
) -> JudgeThreshold:
    return JudgeThreshold(
        judge=judge, task=task, criterion=criterion, prompt_version=version, value=found.value, auc=found.auc,
        sensitivity=found.sensitivity, specificity=found.specificity, cases=found.cases,
        fitted_on=digest(sorted(astuple(one) for one in cases)),
    )  # fmt: skip


def _keep(session: Session, row: JudgeThreshold) -> None:
    """Keep a threshold, unless it is the newest one already."""
    same = (JudgeThreshold.judge == row.judge, JudgeThreshold.task == row.task)
    query = select(JudgeThreshold).where(
        *same, JudgeThreshold.criterion == row.criterion, JudgeThreshold.prompt_version == row.prompt_version
    )
    last = session.scalars(query.order_by(JudgeThreshold.id.desc()).limit(1)).first()
    if last is None or (last.fitted_on, last.value) != (row.fitted_on, row.value):
        session.add(row)


def _threshold(row: JudgeThreshold) -> Threshold:
    return Threshold(row.value, row.auc, row.sensitivity, row.specificity, row.cases)
