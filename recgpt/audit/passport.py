"""Passports: what a judge's labels are worth, measured against people and kept in the store.

What is held against what is said in `cases`; a tuned judge is measured on what it did not learn from (`labels.learnt`).
An audit of unchanged labels gives the passport that is there. `trusted` says whether a judge may be learnt from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from recgpt.audit.agreement import labellers
from recgpt.audit.cases import Truth, answers_of, newest, pairs_of, rate, swapped, truth_of
from recgpt.audit.drift import changes
from recgpt.audit.figures import ROUNDS, SEED, Rated, measure, self_agreement, tokens
from recgpt.audit.fitted import fitted, out_of_sample
from recgpt.audit.report import ALL, PEOPLE, RANDOM, Drift, Figure, Group, Report
from recgpt.audit.swaps import Swapped, measure_pairs
from recgpt.errors import ConfigError, DataError
from recgpt.labels.learnt import learnt
from recgpt.labels.store import LabelRow, labelled, labels
from recgpt.labels.thresholds import newest as newest_thresholds
from recgpt.stages.work import digest
from recgpt.store.tables import Label, Passport, Preference
from recgpt.words import JudgeKind, Task

_CASES: Final = "cases"  # in a passport's figures, beside the report: what it was measured on
_ENDS: Final = {(True, True): "tp", (False, True): "fp", (True, False): "fn", (False, False): "tn"}  # truth, verdict


class Bar(Protocol):
    """What a passport must show; the section [judge] of the config is one."""

    @property
    def min_kappa(self) -> float: ...

    @property
    def min_specificity(self) -> float: ...


@dataclass(frozen=True)
class Refusal:
    """Why a judge's labels must not be learnt from; as text, with the remedy."""

    judge: str
    task: Task
    why: str

    def __str__(self) -> str:
        return (
            f"the labels of {self.judge} on {self.task} are refused: {self.why}. Label more and run 'recgpt judge "
            f"audit {self.task}', take another judge, or pass --force"
        )


def judges(store: Engine, task: Task) -> list[str]:
    """All that left labels or pairs on a task, but for people."""
    found = labelled(store, task)
    with Session(store) as session:
        found |= set(session.scalars(select(Preference.judge).where(Preference.task == task).distinct()))
    return sorted(name for name in found if not _is(name, JudgeKind.HUMAN))


def audit(
    store: Engine, task: Task, judge: str, *, against: str | None = None, rounds: int = ROUNDS, seed: int = SEED
) -> Passport:
    """Measure a judge on a task, and keep what was measured; what was kept already is given back as it is.

    Args:
        against: the judge whose labels stand for the truth, instead of people's.

    Raises:
        ConfigError: the judge has no labels and no pairs on the task, or is held against itself.
        DataError: there is no truth at all, or a library is missing.
    """
    if judge == against:
        raise ConfigError(f"{judge} can't be held against itself: name another judge in --against")
    seen = learnt(store, task, judge)
    rows = [row for row in labels(store, task) if row.target_id not in seen]
    own = newest([row for row in rows if row.judge == judge])
    pairs = [one for one in pairs_of(store, task, judge) if not {one.left_target, one.right_target} & seen]
    if not own and not pairs:
        others = ", ".join(judges(store, task)) or "nobody has"
        where = f"{task} of held-out users" if seen else task
        raise ConfigError(f"{judge} has no labels on {where} (there are: {others}); 'recgpt judge run' makes them")
    answers = answers_of([row for row in rows if row.kind == JudgeKind.HUMAN])
    truth = truth_of(rows, judge, against)
    known = truth.tied | truth.verdicts.keys()
    if not known:
        what = (
            f"{against} has no labels on {task}"
            if against
            else f"no {'other ' if _is(judge, JudgeKind.HUMAN) else ''}person has labelled {task}"
        )
        raise DataError(
            f"{what}: run 'recgpt judge label {task}', import labels, or name the judge to hold it against in --against"
        )
    cut = fitted(own, newest_thresholds(store, judge, task))
    rated = out_of_sample(rate(own, truth), cut)
    turned = [swapped(pair, truth) for pair in pairs]
    people = tuple(sorted({name for given in answers.values() for name in given}))
    versions = {
        **{pair.criterion: pair.prompt_version for pair in pairs},
        **{row.criterion: row.prompt_version for row in own},
    }
    made_of = [
        [asdict(one) for one in rated], [asdict(one) for one in turned], sorted(truth.random), sorted(truth.tied),
        [[row.target_id, row.criterion, row.tokens, row.votes, row.p_yes] for row in own],
        sorted([key, sorted(given.items())] for key, given in answers.items()), versions, against, rounds, seed,
    ]  # fmt: skip
    labels_hash = digest(made_of)
    last = _last(store, task, judge, against)
    if last is not None and last.labels_hash == labels_hash:
        return last
    report = Report(
        task=task,
        judge=judge,
        against=against or PEOPLE,
        people=people,
        prompt_versions=versions,
        cross_fitted=cut,
        labels_hash=labels_hash,
        rounds=rounds,
        seed=seed,
        groups=_groups(rated, own, turned, truth, rounds, seed),
        labellers=labellers(answers, rounds=rounds, seed=seed),
        drift=None if last is None else _drift(last, rated, versions, rounds, seed),
        tied=sum((row.target_id, row.criterion) in truth.tied for row in own),
        unmatched=sum((row.target_id, row.criterion) not in known for row in own),
    )
    return _keep(store, report, rated)


def report_of(passport: Passport) -> Report:
    """What a stored passport says."""
    return Report.model_validate({name: value for name, value in passport.figures.items() if name != _CASES})


def trusted(
    store: Engine, judge: str, task: Task, bar: Bar, *, asked: Mapping[str, str] | None = None
) -> Refusal | None:
    """None if a judge's labels on a task may be learnt from: its newest passport, measured against people or imported
    labels, reaches the bar and is of the criteria that its labels are by. People are trusted as they are.

    Args:
        asked: versions of the criteria that it is about to be asked, instead of those that its labels are by.
    """
    if _is(judge, JudgeKind.HUMAN):
        return None
    with Session(store) as session:
        rows = session.scalars(
            select(Passport).where(Passport.task == task, Passport.judge == judge).order_by(Passport.id.desc())
        )
        passport = next((row for row in rows if _is_gold(row.figures["against"])), None)
    if passport is None:
        return Refusal(judge, task, "it has no passport from an audit against people")
    outdated = _outdated(passport, asked or {}, _versions(store, task, judge) if asked is None else asked)
    if outdated:
        return Refusal(judge, task, outdated)
    for name, value, least in (
        ("kappa", passport.kappa, bar.min_kappa),
        ("specificity", passport.specificity, bar.min_specificity),
    ):
        if value is None:
            why = report_of(passport).groups[ALL].figures[name].why
            return Refusal(judge, task, f"its passport has no {name} ({why})")
        if value < least:
            return Refusal(
                judge, task, f"its {name} is {value:.2f} over {passport.n} cases, and {least:g} is the least"
            )
    return None


def _outdated(passport: Passport, asked: Mapping[str, str], versions: Mapping[str, str]) -> str:
    """Why a passport is of other criteria than these, if it is."""
    known = passport.prompt_versions
    missing = sorted(set(asked) - set(known))
    if missing:
        return f"its passport says nothing of {', '.join(missing)}"
    changed = sorted(name for name, version in versions.items() if known.get(name, version) != version)
    return f"{', '.join(changed)} has changed since its passport was made" if changed else ""


def _is(judge: str, kind: JudgeKind) -> bool:
    return judge.startswith(f"{kind}:")


def _is_gold(against: str) -> bool:
    return against == PEOPLE or _is(against, JudgeKind.HUMAN) or _is(against, JudgeKind.IMPORT)


def _versions(store: Engine, task: Task, judge: str) -> dict[str, str]:
    """The newest version of each criterion that a judge's labels are by."""
    by_version = (
        select(Label.criterion, Label.prompt_version)
        .where(Label.task == task, Label.judge == judge, Label.superseded.is_(False))
        .group_by(Label.criterion, Label.prompt_version)
        .order_by(func.max(Label.id))
    )
    with Session(store) as session:
        return {row.criterion: row.prompt_version for row in session.execute(by_version)}


def _groups(
    rated: Sequence[Rated], own: Sequence[LabelRow], pairs: Sequence[Swapped], truth: Truth, rounds: int, seed: int
) -> dict[str, Group]:
    def group(criterion: str | None) -> Group:
        cases = [one for one in rated if criterion in (None, one.criterion)]
        rows = [one for one in own if criterion in (None, one.criterion)]
        agreed = measure(cases, rounds=rounds, seed=seed)
        conduct: dict[str, Figure] = {
            **measure_pairs([one for one in pairs if criterion in (None, one.criterion)], rounds=rounds, seed=seed),
            "self_agreement": self_agreement(
                [(row.votes, row.p_yes) for row in rows if row.votes and row.p_yes is not None]
            ),
            "tokens": tokens([row.tokens for row in rows]),
        }
        return agreed.model_copy(update={"figures": {**agreed.figures, **conduct}})

    groups = {ALL: group(None)}
    chance = [one for one in rated if (one.target, one.criterion) in truth.random]
    if 0 < len(chance) < len(rated):
        groups[RANDOM] = measure(chance, rounds=rounds, seed=seed)
    for criterion in sorted({one.criterion for one in own} | {one.criterion for one in pairs}):
        groups[criterion] = group(criterion)
    return groups


def _last(store: Engine, task: Task, judge: str, against: str | None) -> Passport | None:
    query = select(Passport).where(Passport.task == task, Passport.judge == judge).order_by(Passport.id.desc())
    with Session(store) as session:
        return next((row for row in session.scalars(query) if row.figures["against"] == (against or PEOPLE)), None)


def _drift(last: Passport, rated: Sequence[Rated], versions: Mapping[str, str], rounds: int, seed: int) -> Drift:
    before = [
        Rated(target, criterion, truth, verdict)
        for criterion, ends in last.figures[_CASES].items()
        for (truth, verdict), end in _ENDS.items()
        for target in ends[end]
    ]
    return Drift(
        since=last.created_at.isoformat(timespec="minutes"),
        passport=last.id,
        new_targets=len({one.target for one in rated} - {one.target for one in before}),
        criteria_changed=tuple(
            sorted(name for name, version in last.prompt_versions.items() if versions.get(name, version) != version)
        ),
        groups=changes(rated, before, rounds=rounds, seed=seed),
    )


def _keep(store: Engine, report: Report, rated: Sequence[Rated]) -> Passport:
    cases: dict[str, dict[str, list[int]]] = {}
    for one in rated:
        cases.setdefault(one.criterion, {end: [] for end in _ENDS.values()})[_ENDS[one.truth, one.verdict]].append(
            one.target
        )
    figures: dict[str, Any] = {**report.model_dump(mode="json"), _CASES: cases}
    measured = report.groups[ALL]
    passport = Passport(
        task=report.task,
        judge=report.judge,
        prompt_versions=report.prompt_versions,
        labels_hash=report.labels_hash,
        figures=figures,
        kappa=measured.figures["kappa"].value,
        specificity=measured.figures["specificity"].value,
        n=measured.cases,
    )
    with Session(store, expire_on_commit=False) as session:
        session.add(passport)
        session.commit()
    return passport
