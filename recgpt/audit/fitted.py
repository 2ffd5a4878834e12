"""Keeps a passport honest where the judge's thresholds were fitted on the labels it is audited with.

A cut chosen on some rows divides those rows better than any others, the more so the fewer they are. So the verdicts of
such a criterion are given anew for the audit, each by a cut fitted on the rows of other folds: what is measured is what
a threshold fitted on such labels is worth on rows that it never saw. Folds are by a hash of the row, the same in every
audit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isclose
from typing import Final

from judges import Threshold, fit
from recgpt.audit.figures import Rated
from recgpt.labels.store import LabelRow
from recgpt.stages.work import digest

FOLDS: Final = 5


def fitted(own: Sequence[LabelRow], thresholds: Mapping[tuple[str, str], Threshold]) -> tuple[str, ...]:
    """The criteria whose labels are held against a threshold from the store."""
    return tuple(
        sorted(
            {
                row.criterion
                for row in own
                if row.p_yes is not None
                and row.threshold is not None
                and (cut := thresholds.get((row.criterion, row.prompt_version))) is not None
                and isclose(cut.value, row.threshold)
            }
        )
    )


def out_of_sample(rated: Sequence[Rated], criteria: Sequence[str]) -> list[Rated]:
    """The cases, those of these criteria with the verdict that a threshold fitted on the other folds gives.

    A verdict stays as it is where it has no P(yes), or where the other folds have a truth of one class.
    """
    found = [one for one in rated if one.criterion not in criteria or one.p_yes is None]
    for criterion in criteria:
        cases = [(one, one.p_yes) for one in rated if one.criterion == criterion and one.p_yes is not None]
        for fold in range(FOLDS):
            cut = _cut([(p, one.truth) for one, p in cases if _fold(one) != fold])
            for one, p in cases:
                if _fold(one) == fold:
                    found.append(one if cut is None else replace(one, verdict=p >= cut))
    return sorted(found, key=lambda one: (one.target, one.criterion))


def _cut(known: Sequence[tuple[float, bool]]) -> float | None:
    truth = [right for _, right in known]
    return fit([p for p, _ in known], truth).value if len(set(truth)) == 2 else None


def _fold(one: Rated) -> int:
    return int(digest("fold", one.target).removeprefix("sha256:")[:8], 16) % FOLDS
