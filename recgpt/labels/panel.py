"""Panels: several judges, and what they say together.

A panel of small judges of different families agrees better with people than one large judge. Each member leaves labels
of its own; the panel's, under `panel:RULE:MEMBERS` (a hash of who they are), are worked out from them and ask nothing.
A member that gave no answer has no voice; a panel of which no more than half spoke says nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from judges import Threshold, Verdict
from recgpt.labels.store import LabelRow, add, labels
from recgpt.labels.thresholds import newest, verdict_of
from recgpt.stages.work import digest
from recgpt.store.tables import Label
from recgpt.words import JudgeKind, Task

Rule = Literal["majority", "mean"]
PAGE: Final = 500  # rows judged together in one transaction


def panel(verdicts: Sequence[Verdict], how: Rule, threshold: float | None = None) -> Verdict | None:
    """One verdict of several judges; None if there is none, or as many say yes as no and there is no threshold.

    Args:
        how: `majority` takes the share of yes; `mean` that of P(yes), each stretched so that its own threshold is at
            one half, since the raw ones of two judges are no numbers of one kind. A judge without P(yes) is sure.
        threshold: from which on it is a yes; None: one half, and of a majority more than that.
    """
    if not verdicts:
        return None
    parts = [float(one.verdict) if how == "majority" else level(one) for one in verdicts]
    p_yes = sum(parts) / len(parts)
    if threshold is None and how == "majority" and p_yes == 0.5:
        return None
    cut = 0.5 if threshold is None else threshold
    verdict = p_yes >= cut
    return Verdict(verdict, p_yes, cut, next((one.evidence for one in verdicts if one.verdict == verdict), ""))


def level(verdict: Verdict) -> float:
    """P(yes) stretched on each side of its threshold, so that the threshold comes to one half."""
    if verdict.p_yes is None or verdict.threshold is None:
        return float(verdict.verdict)
    p, cut = verdict.p_yes, verdict.threshold
    if p >= cut:
        return 1.0 if cut >= 1.0 else 0.5 + 0.5 * (p - cut) / (1.0 - cut)
    return 0.5 * p / cut


def panel_id(members: Collection[str], how: Rule) -> str:
    return f"{JudgeKind.PANEL}:{how}:{digest(sorted(members)).removeprefix('sha256:')[:12]}"


def sit(
    store: Engine, task: Task, members: Mapping[str, Collection[str]], versions: Mapping[str, str], how: Rule,
    targets: Sequence[int], run_id: int | None = None,
) -> int:  # fmt: skip
    """Keep what a panel says of these rows, from the labels its members have left; gives how many are new or other.

    Args:
        members: the criteria that each judge is asked, by its id.
        versions: of the criteria, by name; labels by another version are answers to another question.
    """
    name, written = panel_id(members, how), 0
    kept = newest(store, name, task)
    cuts = {criterion: kept.get((criterion, version)) for criterion, version in versions.items()}
    for start in range(0, len(targets), PAGE):
        page = labels(store, task, judges=[*members, name], targets=targets[start : start + PAGE])
        said: dict[tuple[int, str], dict[str, LabelRow]] = defaultdict(dict)
        for row in page:
            if row.prompt_version == versions.get(row.criterion):
                said[row.target_id, row.criterion][row.judge] = row
        rows, stale = [], []
        for (target_id, criterion), given in said.items():
            before = given.pop(name, None)
            asked = [member for member, criteria in members.items() if criterion in criteria]
            voices = [given[member] for member in asked if member in given]
            verdict = _of(voices, len(asked), how, cuts[criterion])
            if before is not None and verdict_of(before) == verdict:
                continue
            if verdict is not None:
                rows.append(_label(task, target_id, criterion, versions[criterion], name, verdict, voices, run_id))
            elif before is not None:
                stale.append(before.id)
        with Session(store) as session:
            add(session, rows)
            session.execute(update(Label).where(Label.id.in_(stale)).values(superseded=True))
            session.commit()
        written += len(rows)
    return written


def _of(voices: Sequence[LabelRow], members: int, how: Rule, cut: Threshold | None) -> Verdict | None:
    if 2 * len(voices) <= members:
        return None
    return panel([verdict_of(row) for row in voices], how, None if cut is None else cut.value)


def _label(
    task: Task, target_id: int, criterion: str, version: str, name: str, verdict: Verdict, voices: Sequence[LabelRow],
    run_id: int | None,
) -> Label:  # fmt: skip
    spent = [row.tokens for row in voices]
    return Label(
        task=task, target_id=target_id, criterion=criterion, prompt_version=version, judge=name, kind=JudgeKind.PANEL,
        verdict=verdict.verdict, p_yes=verdict.p_yes, threshold=verdict.threshold, evidence=verdict.evidence,
        tokens=None if None in spent else sum(one or 0 for one in spent), run_id=run_id,
    )  # fmt: skip
