"""What any model must beat: popularity, and item neighbours with a history that fades.

Both take the events learnt from and give scores (B, N) for blocks of users; ranking and leaving out is the caller's.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Array = npt.NDArray[Any]
Scores = npt.NDArray[np.float32]


class Popularity:
    """Every user gets the same: items by how many events they have."""

    def __init__(self, items: Array, n_items: int) -> None:
        self.counts: Scores = np.bincount(items, minlength=n_items).astype(np.float32)

    def scores(self, history: sp.csr_array) -> Scores:
        """(B, N) for the users of `history` (B, N)."""
        return np.broadcast_to(self.counts, (history.shape[0], len(self.counts))).copy()


class ItemNeighbours:
    """score(u, i) = sum_h w_uh sim(h, i),   sim(i, j) = c_ij / (sqrt(c_i c_j) + shrinkage),   sim(i, i) = 0

    c_ij counts the users who had both, c_i those who had i. Only the `neighbours` most similar of each item count.
    The weights w of a user's history are the caller's (see `fading_history`).
    Source: Sarwar et al. 2001; shrinkage as in Bell and Koren 2007.
    """

    def __init__(
        self, users: Array, items: Array, n_users: int, n_items: int, *, shrinkage: float = 1.0, neighbours: int = 200
    ) -> None:
        had = sp.csr_array((np.ones(len(users), np.float32), (users, items)), shape=(n_users, n_items))
        had.data[:] = 1.0  # a repeat is still one user
        both = (had.T @ had).tocoo()  # (N, N)
        counts: Array = np.asarray(had.sum(axis=0)).ravel()
        apart = both.row != both.col
        row, col, data = both.row[apart], both.col[apart], both.data[apart]
        similar = data / (np.sqrt(counts[row] * counts[col]) + shrinkage)
        keep = _largest_in_rows(row, similar, neighbours)
        self.similar = sp.csr_array(
            (similar[keep].astype(np.float32), (row[keep], col[keep])), shape=(n_items, n_items)
        )

    def scores(self, history: sp.csr_array) -> Scores:
        """(B, N) for the users of `history` (B, N), whose entries are weights."""
        return np.asarray((history @ self.similar).toarray(), dtype=np.float32)


def fading_history(users: Array, items: Array, n_users: int, n_items: int, half_life: float) -> sp.csr_array:
    """(U, N) weights 0.5 ** (place / half_life), where a user's newest event has place 0; an item counts at its newest.

    Each user's events stand from the oldest to the newest.
    """
    order = np.argsort(users, kind="stable")
    users, items = users[order], items[order]
    sizes = np.bincount(users, minlength=n_users)
    place = np.cumsum(sizes)[users] - 1 - np.arange(len(users))
    weights = 0.5 ** (place / half_life)
    # Newest first, so that the first of the repeats is the newest.
    pairs = (users.astype(np.int64) * n_items + items)[::-1]
    _, first = np.unique(pairs, return_index=True)
    kept = len(users) - 1 - first
    return sp.csr_array((weights[kept].astype(np.float32), (users[kept], items[kept])), shape=(n_users, n_items))


def _largest_in_rows(row: Array, values: Array, k: int) -> Array:
    """Places of the k largest values of each row, ties by the order in which they stand."""
    order = np.lexsort((-values, row))
    sizes = np.bincount(row)
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(len(row)) - starts[row[order]]
    return np.asarray(order[rank < k])
