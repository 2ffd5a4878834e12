"""Exact top-k of a matrix product, in blocks of rows.

The whole (Q, N) product never exists; the result is that of sorting it row by row. Equal scores stand in the order of
their rows, so the same input gives the same output on every machine with the same arithmetic.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

BLOCK = 1 << 24  # scores held at once: 64 MB of float32


def top_k(
    queries: Tensor,
    items: Tensor,
    k: int,
    *,
    exclude: Sequence[npt.NDArray[Any]] | None = None,
) -> tuple[Tensor, Tensor]:
    """The k best items of each query by dot product.

    queries (Q, D), items (N, D); exclude: for each query the rows of items it must not get (-1 is passed over).
    Returns scores (Q, k) float32 and rows (Q, k) int64, best first, ties by lower row. Where fewer than k items are
    left, the rest has score -inf and row -1. k may be larger than N.
    """
    n, width = len(items), min(k, len(items))
    scores = torch.full((len(queries), k), -torch.inf)
    rows = torch.full((len(queries), k), -1)
    if not width:
        return scores, rows
    step = max(1, BLOCK // max(n, 1))
    for start in range(0, len(queries), step):
        block = (queries[start : start + step] @ items.T).float()  # (b, N)
        if exclude is not None:
            _leave_out(block, exclude[start : start + step])
        best, found = stable_top(block, width)
        found[best == -torch.inf] = -1
        scores[start : start + step, :width] = best
        rows[start : start + step, :width] = found
    return scores, rows


def _leave_out(block: Tensor, exclude: Sequence[npt.NDArray[Any]]) -> None:
    lengths = np.fromiter((len(e) for e in exclude), dtype=np.int64, count=len(exclude))
    if not lengths.sum():
        return
    columns = np.concatenate([np.asarray(e, dtype=np.int64) for e in exclude])
    places = np.repeat(np.arange(len(exclude)), lengths)[columns >= 0], columns[columns >= 0]
    block[torch.from_numpy(places[0]), torch.from_numpy(places[1])] = -torch.inf


def stable_top(block: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Scores and columns (b, k) of the k best of each row of block (b, N), k <= N; ties by lower column.

    torch.topk alone picks any of the tied.
    """
    if k == block.shape[1]:
        best, found = block.sort(dim=1, descending=True, stable=True)
        return best, found
    best, found = block.topk(k + 1, dim=1)  # one more, to see whether the cut goes through a tie
    tied = torch.nonzero(best[:, k - 1] == best[:, k]).flatten()
    best, found = best[:, :k], found[:, :k]
    # Order by column, then stably by score: tied scores end up in the order of their columns.
    found, order = found.sort(dim=1)
    best, order = best.gather(1, order).sort(dim=1, descending=True, stable=True)
    found = found.gather(1, order)
    if len(tied):
        whole, columns = block[tied].sort(dim=1, descending=True, stable=True)
        best[tied], found[tied] = whole[:, :k], columns[:, :k]
    return best, found
