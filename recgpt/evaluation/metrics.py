"""Ranking metrics: found rows and wanted rows in, one number a user out.

A ranking is an integer array (U, R), best first, where -1 is an empty place; `wanted` is either one item row a user
(U,) or a list of arrays, one set a user. Every function gives one value per user, so that a caller can average, compare
pairs or draw intervals; a user who wants nothing has NaN, never 0, and `mean` says how many users it is over.

Source of the definitions: Järvelin and Kekäläinen 2002 (NDCG, binary gains); RecTools' metrics for the conventions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Wanted = Array | Sequence[Array]


def hits(ranking: Array, wanted: Wanted) -> npt.NDArray[np.bool_]:
    """(U, R) bool: is the item at this place one of those the user wanted?"""
    if len(wanted) != len(ranking):
        raise ValueError(f"{len(ranking)} rankings but {len(wanted)} users' wanted items")
    found = np.zeros(ranking.shape, dtype=bool)
    for n, row in enumerate(ranking):
        found[n] = np.isin(row, _wanted(wanted, n)) & (row >= 0)
    return found


def recall(ranking: Array, wanted: Wanted, k: int) -> Floats:
    """(U,) share of the wanted items among the first k. With one wanted item it is the hit rate."""
    return _divide(hits(ranking[:, :k], wanted).sum(1), _sizes(wanted, len(ranking)))


def hit_rate(ranking: Array, wanted: Wanted, k: int) -> Floats:
    """(U,) 1 if any of the first k was wanted, else 0."""
    found = hits(ranking[:, :k], wanted).any(1).astype(np.float64)
    return np.where(_sizes(wanted, len(ranking)) > 0, found, np.nan)


def ndcg(ranking: Array, wanted: Wanted, k: int) -> Floats:
    """(U,) sum over hits of 1 / log2(1 + place), divided by that of the best order: min(k, wanted) hits first."""
    gains = 1.0 / np.log2(np.arange(2, k + 2))
    got = hits(ranking[:, :k], wanted) @ gains[: ranking.shape[1]]
    ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(_sizes(wanted, len(ranking)), k)]
    return _divide(got, ideal)


def mrr(ranking: Array, wanted: Wanted, k: int) -> Floats:
    """(U,) 1 / place of the first hit among the first k, 0 without one."""
    found = hits(ranking[:, :k], wanted)
    first = np.where(found.any(1), 1.0 / (found.argmax(1) + 1), 0.0)
    return np.where(_sizes(wanted, len(ranking)) > 0, first, np.nan)


def coverage(ranking: Array, n_items: int, k: int) -> float:
    """Share of the catalogue that anyone is shown among the first k."""
    shown = np.unique(ranking[:, :k])
    return float((shown >= 0).sum() / n_items)


@dataclass(frozen=True)
class Mean:
    value: float  # NaN if no user could be measured
    users: int  # measured
    of: int  # asked


def mean(values: Floats) -> Mean:
    """Mean over the users that have a value, and how many they are."""
    known = values[~np.isnan(values)]
    return Mean(float(known.mean()) if len(known) else float("nan"), len(known), len(values))


def interval(values: Floats, *, rounds: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the mean of users' values (U,), NaN left out; drawn over users.

    NaN, NaN where no user has a value. Source: Efron and Tibshirani 1993.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    means = [known[rng.integers(0, len(known), len(known))].mean() for _ in range(rounds)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _wanted(wanted: Wanted, n: int) -> Array:
    return np.unique(np.atleast_1d(np.asarray(wanted[n])))


def _sizes(wanted: Wanted, n_users: int) -> Array:
    return np.array([len(_wanted(wanted, n)) for n in range(n_users)])


def _divide(values: Array, sizes: Array) -> Floats:
    out: Floats = np.full(len(values), np.nan)
    np.divide(values, sizes, out=out, where=sizes > 0)
    return out
