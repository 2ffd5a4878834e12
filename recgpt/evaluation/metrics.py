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
    users, items = _pairs(wanted)
    width = int(max(ranking.max(initial=-1), items.max(initial=-1))) + 2  # from -1
    asked = np.arange(len(ranking))[:, None] * width + ranking  # (U, R), the number of a pair
    return np.asarray(np.isin(asked, users * width + items) & (ranking >= 0))


def recall(ranking: Array, wanted: Wanted, k: int) -> Floats:
    """(U,) share of the wanted items among the first k. With one wanted item it is the hit rate."""
    return _divide(hits(ranking[:, :k], wanted).sum(1), _sizes(wanted))


def hit_rate(ranking: Array, wanted: Wanted, k: int) -> Floats:
    """(U,) 1 if any of the first k was wanted, else 0."""
    found = hits(ranking[:, :k], wanted).any(1).astype(np.float64)
    return np.where(_sizes(wanted) > 0, found, np.nan)


def ndcg(ranking: Array, wanted: Wanted, k: int) -> Floats:
    """(U,) sum over hits of 1 / log2(1 + place), divided by that of the best order: min(k, wanted) hits first."""
    gains = 1.0 / np.log2(np.arange(2, k + 2))
    got = hits(ranking[:, :k], wanted) @ gains[: ranking.shape[1]]
    ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(_sizes(wanted), k)]
    return _divide(got, ideal)


def mrr(ranking: Array, wanted: Wanted, k: int) -> Floats:
    """(U,) 1 / place of the first hit among the first k, 0 without one."""
    found = hits(ranking[:, :k], wanted)
    first = np.where(found.any(1), 1.0 / (found.argmax(1) + 1), 0.0)
    return np.where(_sizes(wanted) > 0, first, np.nan)


def coverage(ranking: Array, n_items: int, k: int) -> float:
    """Share of the catalogue that anyone is shown among the first k."""
    shown = np.unique(ranking[:, :k])
    return float((shown >= 0).sum() / n_items)


def novelty(ranking: Array, users_of: Array, n_users: int, k: int) -> Floats:
    """(U,) mean self-information, in bits, of the first k shown: the mean of -log2(users_of[i] / n_users).

    users_of (N,): how many of the n_users had each item; one that nobody had counts as one user's. NaN: nothing shown.
    Source: Zhou et al. 2010, Solving the apparent diversity-accuracy dilemma of recommender systems.
    """
    shown = ranking[:, :k] >= 0
    bits = -np.log2(np.maximum(users_of, 1) / n_users)
    return _divide((bits[ranking[:, :k]] * shown).sum(1), shown.sum(1))


def diversity(ranking: Array, vectors: npt.NDArray[np.float32], k: int) -> Floats:
    """(U,) 1 - mean cosine over the pairs of the first k shown: 0 is k times the same, 1 nothing in common.

    vectors (N, D) of unit length, the same for every model that is compared: of a sentence encoder, or one-hot
    categories, whose value is the share of pairs of different categories. NaN: fewer than two are shown.
    Source: Ziegler et al. 2005, Improving recommendation lists through topic diversification.
    """
    shown = ranking[:, :k] >= 0
    sums: Floats = np.zeros((len(ranking), vectors.shape[1]))
    for place in range(shown.shape[1]):
        sums += vectors[ranking[:, place]] * shown[:, place, None]
    many = shown.sum(1)
    # |sum of k unit vectors|^2 = k + the cosines of all ordered pairs.
    return 1.0 - _divide((sums**2).sum(1) - many, many * (many - 1))


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
    low, high = np.percentile(_bootstrap_means(known, rounds, seed), [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """Of two models over the same users; NaN where no user has a value of both."""

    mean: float  # of the first less the second
    low: float  # of the 95 % interval
    high: float
    above: float  # share of the draws in which it is above 0
    users: int


def difference(ours: Floats, theirs: Floats, *, rounds: int = 1000, seed: int = 0) -> Difference:
    """Paired bootstrap of mean(ours - theirs) over the users (U,) that have a value of both.

    A user drawn brings both values, so what makes a user easy for either cancels. Source: Efron and Tibshirani 1993.
    """
    apart = ours - theirs
    known = apart[~np.isnan(apart)]
    if not len(known):
        return Difference(*(float("nan"),) * 4, users=0)
    means = _bootstrap_means(known, rounds, seed)
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(float(known.mean()), float(low), float(high), float((means > 0).mean()), len(known))


def _bootstrap_means(values: Floats, rounds: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    return np.array([values[rng.integers(0, len(values), len(values))].mean() for _ in range(rounds)])


def _pairs(wanted: Wanted) -> tuple[Array, Array]:
    """Places of users and item rows, each wanted pair once."""
    if isinstance(wanted, np.ndarray):
        return np.arange(len(wanted)), wanted
    sets = [np.unique(np.atleast_1d(np.asarray(one))) for one in wanted]
    sizes = np.fromiter((len(one) for one in sets), np.int64, count=len(sets))
    items = np.concatenate([np.zeros(0, np.int64), *sets]).astype(np.int64)
    return np.repeat(np.arange(len(sets)), sizes), items


def _sizes(wanted: Wanted) -> Array:
    return np.bincount(_pairs(wanted)[0], minlength=len(wanted))


def _divide(values: Array, sizes: Array) -> Floats:
    out: Floats = np.full(len(values), np.nan)
    np.divide(values, sizes, out=out, where=sizes > 0)
    return out
