"""How far a judge's verdicts agree with a truth: figures with bootstrap intervals, worked out from cases alone.

Points are scikit-learn's. Intervals are percentile bootstraps that draw whole targets, so that the criteria of one
target, which fail together, stay together; a draw is four sums, so its figures are formulas over those sums rather than
a thousand calls of the library (the tests hold the two against each other). The same seed gives the same interval.

Where a figure is not defined (no cases, a truth of one class, a judge that never says yes) there is no value, and the
reason in words. Sources: Cohen 1960 (kappa); Guo et al. 2017 (ECE, `BINS` bins of equal width); Efron and Tibshirani
1993 (bootstrap).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recgpt.audit.report import Bin, Figure, Group
from recgpt.errors import DataError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

ROUNDS: Final = 1000
SEED: Final = 0
BINS: Final = 10
UNDEFINED: Final = 0.05  # of the draws; with more there is no interval


@dataclass(frozen=True)
class Rated:
    """A judge's verdict on one criterion of one target, beside the truth."""

    target: int
    criterion: str
    truth: bool
    verdict: bool
    p_yes: float | None = None


def measure(rated: Sequence[Rated], *, rounds: int = ROUNDS, seed: int = SEED) -> Group:
    """All figures of agreement over these cases."""
    truth = np.array([one.truth for one in rated], bool)
    said = np.array([one.verdict for one in rated], bool)
    drawn = rates(draw(counts(rated), rounds, seed)) if rated else {}
    figures = {}
    for name, value in _points(truth, said).items():
        figures[name] = figure(value, len(rated), drawn.get(name))
    known = [(one.p_yes, one.truth) for one in rated if one.p_yes is not None]
    p_yes, right = np.array([p for p, _ in known]), np.array([t for _, t in known], bool)
    bins = calibration(p_yes, right)
    figures["ece"] = figure(_ece(bins), len(known))
    figures["auc"] = figure(_auc(p_yes, right), len(known))
    return Group(
        cases=len(rated), targets=len({one.target for one in rated}), figures=figures, bins=bins if known else ()
    )


def figure(value: float | str, n: int, drawn: Floats | None = None) -> Figure:
    """A value, or the reason for none, with the interval of its draws."""
    if isinstance(value, str):
        return Figure(value=None, n=n, why=value)
    if drawn is None:
        return Figure(value=value, n=n)
    low, high, why = interval(drawn)
    return Figure(value=value, n=n, low=low, high=high, why=why)


def interval(drawn: Floats) -> tuple[float | None, float | None, str]:
    """The 2.5th and 97.5th percentile of the draws that are defined, or why they say too little."""
    known = drawn[~np.isnan(drawn)]
    missing = 1.0 - len(known) / len(drawn)
    if missing > UNDEFINED:
        return None, None, f"no interval: too few cases, {missing:.0%} of the draws don't have the figure"
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high), ""


def counts(rated: Sequence[Rated], targets: Sequence[int] | None = None) -> Floats:
    """(T, 4) a target's true yes, false yes, false no and true no; of these targets in this order, or of all it has."""
    named = sorted({one.target for one in rated}) if targets is None else targets
    place = {target: n for n, target in enumerate(named)}
    table = np.zeros((len(named), 4))
    for one in rated:
        table[place[one.target], 2 * (not one.verdict) + (not one.truth)] += 1
    return table


def draw(table: Floats, rounds: int, seed: int) -> Floats:
    """(R, C) the sums over T rows drawn with replacement from a table (T, C), R times."""
    rng = np.random.default_rng(seed)
    return np.array([table[rng.integers(0, len(table), len(table))].sum(0) for _ in range(rounds)])


def rates(sums: Floats) -> dict[str, Floats]:
    """Every figure of (R, 4) sums, NaN where it is not defined."""
    tp, fp, fn, tn = sums.T
    n, yes, no, said = sums.sum(1), tp + fn, fp + tn, tp + fp
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = (said * yes + (n - said) * no) / n**2
        agreed = (tp + tn) / n
        kappa = (agreed - chance) / (1.0 - chance)
        return {
            "base_rate": yes / n,
            "yes_rate": said / n,
            "accuracy": agreed,
            "precision": tp / said,
            "recall": tp / yes,
            "specificity": tn / no,
            "f1": np.where(yes > 0, 2 * tp / (2 * tp + fp + fn), np.nan),
            "kappa": np.where((yes > 0) & (no > 0), kappa, np.nan),
        }


def calibration(p_yes: Floats, truth: Bools) -> tuple[Bin, ...]:
    """How many of the cases with such a P(yes) are a yes, in `BINS` bins of equal width."""
    place = np.minimum((p_yes * BINS).astype(np.int64), BINS - 1)
    sizes, sums, yes = (np.bincount(place, weights, BINS) for weights in (None, p_yes, truth.astype(np.float64)))
    return tuple(
        Bin(
            low=n / BINS,
            high=(n + 1) / BINS,
            n=int(sizes[n]),
            p_yes=float(sums[n] / sizes[n]) if sizes[n] else None,
            share=float(yes[n] / sizes[n]) if sizes[n] else None,
        )
        for n in range(BINS)
    )


def self_agreement(votes: Sequence[tuple[int, float]]) -> Figure:
    """How often two answers of a judge to the very same question agree, over labels of (votes, share of yes).

    Of n answers, k of them yes, (k(k-1) + (n-k)(n-k-1)) / (n(n-1)) of the pairs agree.
    """
    asked = [(n, round(n * share)) for n, share in votes if n > 1]
    if not asked:
        return Figure(value=None, n=0, why="no question was asked more than once")
    agreed = [(k * (k - 1) + (n - k) * (n - k - 1)) / (n * (n - 1)) for n, k in asked]
    return Figure(value=float(np.mean(agreed)), n=len(agreed))


def tokens(spent: Sequence[int | None]) -> Figure:
    """Mean tokens a verdict, over those whose engine counted."""
    known = [one for one in spent if one is not None]
    if not known:
        return Figure(value=None, n=0, why="no label says what it took")
    return Figure(value=float(np.mean(known)), n=len(known))


def _points(truth: Bools, said: Bools) -> dict[str, float | str]:
    """Each figure's value, or why it has none."""
    if not len(truth):
        return dict.fromkeys(_LIBRARY, "no case has both a verdict and a truth")
    never_yes = "" if truth.any() else "the truth is never yes"
    never_no = "" if not truth.all() else "the truth is never no"
    reasons = {
        "precision": "" if said.any() else "the judge never says yes",
        "recall": never_yes,
        "f1": never_yes,
        "specificity": never_no,
        "kappa": never_yes or never_no,
    }
    metrics = library()
    return {name: reasons.get(name) or float(measured(metrics, truth, said)) for name, measured in _LIBRARY.items()}


_LIBRARY: Final[Mapping[str, Callable[[Any, Bools, Bools], float]]] = {
    "base_rate": lambda _, truth, said: truth.mean(),
    "yes_rate": lambda _, truth, said: said.mean(),
    "accuracy": lambda metrics, truth, said: metrics.accuracy_score(truth, said),
    "precision": lambda metrics, truth, said: metrics.precision_score(truth, said),
    "recall": lambda metrics, truth, said: metrics.recall_score(truth, said),
    "specificity": lambda metrics, truth, said: metrics.recall_score(truth, said, pos_label=False),
    "f1": lambda metrics, truth, said: metrics.f1_score(truth, said),
    "kappa": lambda metrics, truth, said: metrics.cohen_kappa_score(truth, said, labels=[False, True]),
}


def _ece(bins: Sequence[Bin]) -> float | str:
    """The mean distance of P(yes) from the share of yes, bins weighted by their cases."""
    n = sum(one.n for one in bins)
    if not n:
        return "the judge gives no P(yes)"
    return (
        sum(one.n * abs(one.p_yes - one.share) for one in bins if one.p_yes is not None and one.share is not None) / n
    )


def _auc(p_yes: Floats, truth: Bools) -> float | str:
    """The chance that a yes has a higher P(yes) than a no, ties counted half."""
    if not len(p_yes):
        return "the judge gives no P(yes)"
    if truth.all() or not truth.any():
        return f"the truth is never {'no' if truth.all() else 'yes'} where there is a P(yes)"
    return float(library().roc_auc_score(truth, p_yes))


def library() -> Any:
    """scikit-learn's metrics, loaded when they are first needed.

    Raises:
        DataError: it is not installed.
    """
    try:
        from sklearn import metrics  # noqa: PLC0415  an extra, and slow to load
    except ImportError as error:
        raise DataError("a passport needs scikit-learn: pip install 'recgpt[audit]'") from error
    return metrics
