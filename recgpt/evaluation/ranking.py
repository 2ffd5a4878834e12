"""What every offline comparison shares: a log as arrays, the questions asked of it, and one ranking for all models.

A model is a function from users (B,) to scores (B, N). Whoever it is, its scores go through `rank`, so that what is
left out and how ties fall is the same for all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from recgpt.evaluation.metrics import Wanted

Array = npt.NDArray[Any]
Scores = npt.NDArray[np.float32]
Scorer = Callable[[Array], Scores]  # users (B,) -> (B, N), the caller's to write into; -inf: never shown
BLOCK = 1 << 25  # scores held at once: 128 MB


@dataclass(frozen=True)
class Log:
    """E events of U users on N items; a user's events stand from the oldest to the newest.

    `ages` says how far back an event lies from the moment of the question, in the user's own events (`places`) or days.
    """

    users: Array  # (E,)
    items: Array  # (E,)
    ages: Array  # (E,) from 0
    n_users: int
    n_items: int

    def counts(self) -> sp.csr_array:
        """(U, N) how often each user had each item."""
        ones = np.ones(len(self.users), np.float32)
        return sp.csr_array(sp.coo_array((ones, (self.users, self.items)), shape=(self.n_users, self.n_items)))

    def newest(self, half_life: float) -> sp.csr_array:
        """(U, N) weights 0.5 ** (age / half_life) of each item's newest event; inf: 1 for whatever the user had."""
        order = np.argsort(-self.ages, kind="stable")  # the newest last
        pairs = (self.users.astype(np.int64) * self.n_items + self.items)[order][::-1]
        _, first = np.unique(pairs, return_index=True)
        return self._weighed(order[::-1][first], half_life)

    def faded_counts(self, half_life: float) -> sp.csr_array:
        """(U, N) sums of 0.5 ** (age / half_life) over all of a user's events on an item."""
        return self._weighed(np.arange(len(self.users)), half_life)

    def _weighed(self, kept: Array, half_life: float) -> sp.csr_array:
        weights = (0.5 ** (self.ages[kept] / half_life)).astype(np.float32)
        places = (self.users[kept], self.items[kept])
        return sp.csr_array(sp.coo_array((weights, places), shape=(self.n_users, self.n_items)))


def places(users: Array) -> Array:
    """(E,) how many events of the same user stand after each; `users` may interleave."""
    order = np.argsort(users, kind="stable")
    grouped = np.asarray(users)[order]
    ends = np.cumsum(np.bincount(grouped)) if len(grouped) else np.zeros(0, np.int64)
    out = np.zeros(len(grouped), dtype=np.int64)
    out[order] = ends[grouped] - 1 - np.arange(len(grouped))
    return out


class Show(StrEnum):
    """Which items a user may be shown."""

    NEW = "new"  # what they never had
    REPEATS = "repeats"  # what they had before
    ALL = "all"


@dataclass(frozen=True)
class Questions:
    """Whom to rank for and what they wanted. Weights may read `learnt`, histories `live`, and nothing else."""

    learnt: Log
    live: Log
    users: Array  # (Q,) each once
    wanted: Wanted  # (Q,) rows, or one array of rows a user
    show: Show = Show.NEW
    catalogue: npt.NDArray[np.bool_] | None = None  # (N,) the only items that may be shown; None: all


def rank(score: Scorer, asked: Questions, k: int) -> Array:
    """(Q, k) rows of the best items, best first, ties by lower row; -1 where nothing more may be shown."""
    n_items = asked.live.n_items
    had, width = asked.live.counts(), min(k, n_items)
    found = np.full((len(asked.users), k), -1, dtype=np.int64)
    step = max(1, BLOCK // max(n_items, 1))
    for start in range(0, len(asked.users), step):
        who = asked.users[start : start + step]
        scores = score(who)  # (b, N)
        mine = had[who].tocoo()
        if asked.show is Show.NEW:
            scores[mine.row, mine.col] = -np.inf
        elif asked.show is Show.REPEATS:
            kept = scores[mine.row, mine.col]
            scores = np.full_like(scores, -np.inf)
            scores[mine.row, mine.col] = kept
        if asked.catalogue is not None:
            scores[:, ~asked.catalogue] = -np.inf
        best, rows = best_columns(scores, width)
        found[start : start + step, :width] = np.where(best > -np.inf, rows, -1)
    return found


def best_columns(scores: Scores, k: int) -> tuple[Scores, Array]:
    """Scores and columns (b, k) of the k best of each row of scores (b, N), k <= N; ties by lower column."""
    block = torch.from_numpy(scores)
    best, columns = block.topk(min(k + 1, block.shape[1]), dim=1)  # one more, to see whether the cut goes through a tie
    tied = torch.nonzero(best[:, k - 1] == best[:, -1]).flatten() if k < block.shape[1] else torch.zeros(0).long()
    best, columns = best[:, :k], columns[:, :k]
    # Order by column, then stably by score: tied scores end up in the order of their columns.
    columns, order = columns.sort(dim=1)
    best, order = best.gather(1, order).sort(dim=1, descending=True, stable=True)
    columns = columns.gather(1, order)
    if len(tied):
        whole, ordered = block[tied].sort(dim=1, descending=True, stable=True)
        best[tied], columns[tied] = whole[:, :k], ordered[:, :k]
    return best.numpy(), columns.numpy()
