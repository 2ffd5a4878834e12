"""What any model must beat, a few lines each.

Every one is fitted on users' histories and scores a history: `scores` takes (B, N), sparse, one row a user, whose
entries say how much an item of the past still counts (see `ranking.Log`), and gives (B, N). Ranking and leaving out is
the caller's.
"""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.linalg import lapack

from recgpt.errors import DataError
from recgpt.evaluation.ranking import Scores, best_columns

Array = npt.NDArray[Any]
BLOCK = 1 << 24  # likenesses of items held at once: 64 MB


class Baseline(Protocol):
    def scores(self, history: sp.csr_array) -> Scores:
        """(B, N) for the users of `history` (B, N); -inf: never shown."""


class Popularity:
    """score(u, i) = how many events i has, the same for everybody."""

    def __init__(self, counts: sp.csr_array) -> None:
        self.events: Scores = np.asarray(counts.sum(axis=0), dtype=np.float32).ravel()  # (N,)

    def scores(self, history: sp.csr_array) -> Scores:
        return np.broadcast_to(self.events, history.shape).copy()


class CategoryPopularity:
    """score(u, i) = how many events the items of i's category have: what is left of popularity for an item without any.

    With `own`, the user's own events in the category come first: counts of the history, then the events of everybody.
    """

    def __init__(self, counts: sp.csr_array, categories: Array, *, own: bool = False) -> None:
        n_items = counts.shape[1]
        self.member = sp.csr_array((np.ones(n_items, np.float32), (np.arange(n_items), categories)))  # (N, C)
        events = np.asarray(counts.sum(axis=0), dtype=np.float32).ravel() @ self.member  # (C,)
        self.events: Scores = np.asarray(self.member @ events, dtype=np.float32)  # (N,)
        self.own = own

    def scores(self, history: sp.csr_array) -> Scores:
        if not self.own:
            return np.broadcast_to(self.events, history.shape).copy()
        mine = (history @ self.member) @ self.member.T  # (B, N), sparse
        return np.asarray(mine.toarray() + self.events / (self.events.max() + 1.0), dtype=np.float32)


class OwnCounts:
    """score(u, i) = what the history says of i: with faded counts, what was had often and lately. For repeats."""

    def scores(self, history: sp.csr_array) -> Scores:
        return np.asarray(history.toarray(), dtype=np.float32)


class ItemNeighbours:
    """score(u, i) = sum_h w_uh sim(h, i),   sim(i, j) = c_ij / (sqrt(c_i c_j) + shrinkage),   sim(i, i) = 0

    c_ij counts the users who had both, c_i those who had i. Only the `neighbours` most similar of each item h count.
    Source: Sarwar et al. 2001; shrinkage as in Bell and Koren 2007.
    """

    def __init__(self, counts: sp.csr_array, shrinkage: float = 1.0, neighbours: int = 200) -> None:
        had = counts.sign()  # a repeat is still one user
        users = np.asarray(had.sum(axis=0)).ravel()  # (N,)
        n_items = had.shape[1]
        by_item, width = had.T.tocsr(), min(neighbours, n_items)
        step = max(1, BLOCK // max(n_items, 1))
        rows, columns, values = [], [], []
        for start in range(0, n_items, step):
            block = by_item[start : start + step]  # (b, U)
            both = (block @ had).tocoo()  # (b, N)
            similar = np.zeros(both.shape, np.float32)
            of = users[both.row + start] * users[both.col]
            similar[both.row, both.col] = both.data / (np.sqrt(of) + shrinkage)
            similar[np.arange(len(similar)), np.arange(start, start + len(similar))] = 0.0
            best, nearest = best_columns(similar, width)
            row, place = np.nonzero(best > 0)
            rows.append(row + start)
            columns.append(nearest[row, place])
            values.append(best[row, place])
        where = (np.concatenate(rows), np.concatenate(columns))
        self.similar = sp.csr_array(sp.coo_array((np.concatenate(values), where), shape=(n_items, n_items)))

    def scores(self, history: sp.csr_array) -> Scores:
        return np.asarray((history @ self.similar).toarray(), dtype=np.float32)


class Ease:
    """score(u, .) = w_u B,   B = I - P diag(P)^-1,   P = (X^T X + penalty I)^-1,   so that diag(B) = 0

    X (U, N) is 1 where a user had an item. It takes N^2 floats twice while it is fitted and N^3 operations, so at most
    the `most` items with the most users are known to it; the others are never shown.
    Source: Steck, Embarrassingly Shallow Autoencoders for Sparse Data, arXiv 1905.03375.
    """

    def __init__(self, counts: sp.csr_array, penalty: float, most: int | None = None) -> None:
        had = counts.sign().astype(np.float32)
        self.n_items = had.shape[1]
        users = np.asarray(had.sum(axis=0)).ravel()
        order = np.argsort(-users, kind="stable")[:most]
        self.known: Array = np.sort(order)  # (M,) rows of the items known
        known = had[:, self.known]
        gram = (known.T @ known).toarray(order="F")  # (M, M)
        gram[np.diag_indices_from(gram)] += penalty
        factor, fault = lapack.spotrf(gram, lower=True, overwrite_a=True)
        if fault:
            raise DataError(f"the items' counts are too near to singular for a penalty of {penalty:g}: raise it")
        inverse, _ = lapack.spotri(factor, lower=True, overwrite_c=True)  # its lower half
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        self.weights: Scores = inverse / -np.diag(inverse)  # (M, M), column j by P_jj
        self.weights[np.diag_indices_from(self.weights)] = 0.0

    def scores(self, history: sp.csr_array) -> Scores:
        found: Scores = history[:, self.known] @ self.weights  # (B, M)
        if len(self.known) == self.n_items:
            return found
        out = np.full((history.shape[0], self.n_items), -np.inf, np.float32)
        out[:, self.known] = found
        return out


class Als:
    """score(u, i) = x_u . y_i, which minimise   sum_ui c_ui (p_ui - x_u . y_i)^2 + regularisation (|x|^2 + |y|^2)

    with c = 1 + alpha r and p = 1 where r > 0. A history is folded in: x_u is solved for it with the items fixed.
    Source: Hu, Koren and Volinsky 2008; solved by the package `implicit`.
    """

    def __init__(
        self,
        counts: sp.csr_array,
        regularisation: float,
        *,
        factors: int = 256,
        alpha: float = 10.0,
        iterations: int = 15,
        seed: int = 0,
    ) -> None:
        try:
            from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415  an extra
            from threadpoolctl import threadpool_limits  # noqa: PLC0415  which comes with it
        except ImportError as error:
            raise DataError("ALS needs the package implicit: pip install 'recgpt[evaluate]'") from error
        self.alpha = alpha
        with threadpool_limits(1, "blas"):  # its own threads and those of BLAS would fight for the cores
            self.model = AlternatingLeastSquares(
                factors=factors, regularization=regularisation, iterations=iterations, random_state=seed
            )
            self.model.fit(self._confidence(counts), show_progress=False)

    def scores(self, history: sp.csr_array) -> Scores:
        people = self.model.recalculate_user(np.arange(history.shape[0]), self._confidence(history))  # (B, D)
        return np.asarray(people @ self.model.item_factors.T, dtype=np.float32)

    def _confidence(self, counts: sp.csr_array) -> sp.csr_matrix:
        weighed = sp.csr_matrix(counts, dtype=np.float32, copy=True)
        weighed.data = 1.0 + self.alpha * weighed.data
        return weighed
