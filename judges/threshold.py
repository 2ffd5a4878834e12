"""Fits the P(yes) above which a judge's answer counts as yes, on cases whose right answer is known.

A small model says no, or yes, to nearly everything; its P(yes) may still rank right above wrong. So "yes > no" is
replaced by the cut that divides the known cases best. How well it does so is reported beside it: a judge whose AUC is
near 0.5 can't tell the cases apart, and no cut makes it a judge.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Threshold:
    """`value`: yes when P(yes) >= it. `sensitivity` and `specificity` are those on the cases it was fitted on."""

    value: float
    auc: float  # chance that a yes case ranks above a no case, ties counted half; 0.5 is no judge
    sensitivity: float
    specificity: float
    cases: int


def fit(p_yes: Sequence[float], truth: Sequence[bool]) -> Threshold:
    """The cut with the greatest Youden index, half-way between the two neighbouring cases.

    Of several equally good cuts the one in the widest gap is taken: it is the least likely to be an accident. Cuts
    outside the cases (always yes, always no) are never chosen while a cut between two of them exists.

    Args:
        p_yes: P(yes) of each case, in [0, 1].
        truth: its right answer.

    Raises:
        ValueError: the lengths differ, a value is no probability, or one of the two answers is not among the cases.
    """
    if len(p_yes) != len(truth):
        raise ValueError(f"{len(p_yes)} probabilities for {len(truth)} cases")
    if not all(0.0 <= p <= 1.0 for p in p_yes):  # also refuses NaN
        raise ValueError("every P(yes) must lie between 0 and 1")
    yes = [p for p, right in zip(p_yes, truth, strict=True) if right]
    no = [p for p, right in zip(p_yes, truth, strict=True) if not right]
    if not yes or not no:
        raise ValueError("a threshold needs known cases of both answers")
    auc = sum((a > b) + 0.5 * (a == b) for a in yes for b in no) / (len(yes) * len(no))
    values = sorted(set(p_yes))
    # With all cases at one value there is no cut between two of them: yes from there on, which is "always yes".
    cuts = [((low + high) / 2.0, high - low) for low, high in pairwise(values)] or [(values[0], 0.0)]

    def worth(cut: tuple[float, float]) -> tuple[float, float]:
        sensitivity, specificity = _rates(yes, no, cut[0])
        # Rounded, so that two equal sums of fractions are equal and the gap decides.
        return round(sensitivity + specificity, 9), cut[1]

    value = max(cuts, key=worth)[0]
    sensitivity, specificity = _rates(yes, no, value)
    return Threshold(value, auc, sensitivity, specificity, len(p_yes))


def _rates(yes: Sequence[float], no: Sequence[float], value: float) -> tuple[float, float]:
    return sum(p >= value for p in yes) / len(yes), sum(p < value for p in no) / len(no)


def kappa(said: Sequence[bool], truth: Sequence[bool]) -> float:
    """Cohen's kappa of two series of answers: agreement beyond what their shares of yes give by chance.

    NaN where chance alone already agrees in full (both always say the same), or nothing was said.
    """
    if len(said) != len(truth):
        raise ValueError(f"{len(said)} answers for {len(truth)} cases")
    n = len(said)
    if n == 0:
        return math.nan
    agreed = sum(a == b for a, b in zip(said, truth, strict=True)) / n
    a, b = sum(said) / n, sum(truth) / n
    chance = a * b + (1 - a) * (1 - b)
    return math.nan if chance == 1.0 else (agreed - chance) / (1.0 - chance)
