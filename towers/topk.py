"""Exact top-k of a matrix product, in blocks that stay in a processor's cache.

The whole (Q, N) product never exists; the result is that of sorting it row by row. Equal scores stand in the order of
their rows, so the same input gives the same output on every machine with the same arithmetic.

How, for a block of queries and one block of items after the other:

1. The block of scores S (b, n), small enough to be read again before it leaves the cache.
2. The maxima of groups of 32 neighbours in S. In the first block the k-th best maximum is a lower bound of the query's
   k-th best score: k groups hold a score at least as high. In later blocks the k-th best score so far is one, and a
   score must be above it, for an equal one comes later in the order.
3. Only groups whose maximum passes the bound are looked into; with unit vectors in general position little more than
   k scores pass. They join the best so far as integers that hold score and row, whose order is the wanted order
   (`packed`), and one sort of integers keeps k.

Blocks of queries are spread over as many threads as torch has. CUDA tensors take the way of `towers.topk_cuda`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from towers.config import TowersError
from towers.topk_cuda import top_k_rescored
from towers.topk_order import NOTHING, Excluded, packed, unpacked

ROWS: Final = 256  # queries of a block
COLUMNS: Final = 8192  # items of a block, about
GROUP: Final = 32

Array = npt.NDArray[Any]


def top_k(
    queries: Tensor,
    items: Tensor,
    k: int,
    *,
    exclude: Sequence[Array] | None = None,
) -> tuple[Tensor, Tensor]:
    """The k best items of each query by dot product.

    queries (Q, D), items (N, D) on one device; exclude: for each query the rows of items it must not get (-1 is passed
    over). Returns scores (Q, k) float32 and rows (Q, k) int64, best first, ties by lower row. Where fewer than k items
    are left, the rest has score -inf and row -1. k may be larger than N.

    Raises:
        TowersError: a score is not a number.
    """
    queries, items = queries.detach(), items.detach()
    if items.is_cuda:
        return top_k_rescored(queries, items, k, exclude=exclude)
    queries, items = queries.float().contiguous(), items.float().contiguous()
    best = np.full((len(queries), k), NOTHING)  # packed
    blocks = _blocks(items)
    threads = torch.get_num_threads()
    rows = max(1, min(ROWS, -(-len(queries) // threads)))

    def search(start: int) -> None:
        block = slice(start, start + rows)
        found = None if exclude is None else Excluded(exclude[block])
        for first, n, part in blocks:
            _improve(best[block], queries[block], first, n, part, found)

    starts = range(0, len(queries), rows)
    if threads == 1 or len(starts) == 1:
        for start in starts:
            search(start)
    else:
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                list(pool.map(search, starts))
        finally:
            torch.set_num_threads(threads)
    return unpacked(torch.from_numpy(best))


def _blocks(items: Tensor) -> list[tuple[int, int, Tensor]]:
    """(first row, how many, their vectors) of blocks of items; the last is filled up with zeros to whole groups."""
    n = len(items) // max(1, round(len(items) / COLUMNS)) // GROUP * GROUP + GROUP
    blocks = []
    for first in range(0, len(items), n):
        part = items[first : first + n]
        lacking = -len(part) % GROUP
        blocks.append((first, len(part), F.pad(part, (0, 0, 0, lacking)) if lacking else part))
    return blocks


def _improve(best: Array, queries: Tensor, first: int, n: int, items: Tensor, excluded: Excluded | None) -> None:
    """Put into best (b, k), packed and sorted, whatever of a block of items belongs there."""
    (b, k), width = best.shape, len(items)
    scores = product(queries, items)  # (b, width)
    scores[:, n:] = -torch.inf
    if excluded is not None:
        excluded.leave_out(scores, first, n)
    # Groups must be at least twice as many as places, or their k-th best maximum says little.
    group = GROUP if width // GROUP >= 2 * k else 1
    flat = scores.view(-1, group).numpy()  # (b groups, group)
    maxima = scores.view(b, -1, group).amax(2).numpy() if group > 1 else scores.numpy()  # (b, groups)
    if np.isnan(maxima.max(initial=-np.inf)):
        raise TowersError("a score is not a number: the vectors hold NaN, so they must be made again")
    bound = unpacked(torch.from_numpy(best[:, -1:]))[0].numpy()  # (b, 1)
    if first == 0 and maxima.shape[1] >= k:
        place = maxima.shape[1] - k
        kth = np.partition(maxima, place, axis=1)[:, place, None]  # (b, 1)
        bound = np.maximum(bound, np.nextafter(kth, np.float32(-np.inf)))
    groups = np.flatnonzero(maxima > bound)  # (G,) of flat
    rows = groups // maxima.shape[1]  # (G,) of the block's queries, ascending
    inside = torch.from_numpy(flat).index_select(0, torch.from_numpy(groups)).numpy()  # (G, group)
    found = np.flatnonzero(inside > bound[rows])  # (C,)
    at = found // group  # (C,) of G
    rows, columns = rows[at], (groups[at] % maxima.shape[1]) * group + found % group
    counts = np.bincount(rows, minlength=b)
    joined = np.full((b, k + counts.max(initial=0)), NOTHING)
    joined[:, :k] = best
    place = k + np.arange(len(rows)) - (counts.cumsum() - counts)[rows]
    joined[rows, place] = packed(torch.from_numpy(inside.reshape(-1)[found]), torch.from_numpy(columns + first)).numpy()
    joined.sort(axis=1)
    best[:] = joined[:, :k]


def product(queries: Tensor, items: Tensor) -> Tensor:
    """queries (b, D) times items (n, D) transposed, (b, n) float32.

    By oneDNN where torch was built with it: with AVX-512 it was twice as fast as torch.mm (387 against 180 GFLOP/s on 2
    cores of an AMD EPYC), whose library is another.
    """
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        scores: Tensor = torch.ops.mkldnn._linear_pointwise(queries, items, None, "none", [], "")
        return scores
    return queries @ items.T
