"""Whether a judge agrees better or worse than at its last audit, or just looks so.

Both audits' cases are drawn by target from the targets of either: a target that both have brings its cases of both,
which cancels what makes it easy or hard, and one that only one has counts in that one. So the interval is right whether
the labels are the old ones judged anew, all new ones, or the old ones and some more.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from recgpt.audit.figures import ROUNDS, SEED, Floats, Rated, counts, draw, interval, rates
from recgpt.audit.report import ALL, Change, Word

_HALVES: Final = (slice(0, 4), slice(4, 8))  # of a row of both audits' counts
WATCHED: Final = ("kappa", "specificity", "recall", "accuracy")


def changes(
    now: Sequence[Rated], before: Sequence[Rated], *, rounds: int = ROUNDS, seed: int = SEED
) -> dict[str, dict[str, Change]]:
    """Of all cases, and of each criterion that either audit has."""
    groups = {ALL: (now, before)}
    for criterion in sorted({one.criterion for one in (*now, *before)}):
        groups[criterion] = (_of(now, criterion), _of(before, criterion))
    return {name: compare(*cases, rounds=rounds, seed=seed) for name, cases in groups.items()}


def compare(
    now: Sequence[Rated], before: Sequence[Rated], *, rounds: int = ROUNDS, seed: int = SEED
) -> dict[str, Change]:
    """The changes of what is watched: real where the interval of the difference leaves out 0."""
    targets = sorted({one.target for one in (*now, *before)})
    table = np.hstack([counts(now, targets), counts(before, targets)])  # (T, 8)
    points = [rates(table[:, half].sum(0)[None]) for half in _HALVES]
    sums = draw(table, rounds, seed) if targets else np.full((rounds, 8), np.nan)
    drawn = [rates(sums[:, half]) for half in _HALVES]
    return {name: _change(*(one[name] for one in (*points, *drawn))) for name in WATCHED}


def _change(now: Floats, before: Floats, drawn_now: Floats, drawn_before: Floats) -> Change:
    point = float(now[0] - before[0])
    if np.isnan(point):
        which = " and ".join(name for name, value in (("now", now[0]), ("then", before[0])) if np.isnan(value))
        return Change(difference=None, word="can't be told", why=f"there is no figure {which}")
    low, high, why = interval(drawn_now - drawn_before)
    if low is None or high is None:
        return Change(difference=point, word="can't be told", why=why)
    word: Word = "better" if low > 0 else "worse" if high < 0 else "no real change"
    return Change(difference=point, low=low, high=high, word=word)


def _of(cases: Sequence[Rated], criterion: str) -> list[Rated]:
    return [one for one in cases if one.criterion == criterion]
