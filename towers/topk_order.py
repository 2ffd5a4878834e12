"""The order of a top-k, as one integer a score, and the places that are left out of it."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

NOTHING: Final = np.iinfo(np.int64).max  # packed: a place that is not taken; it sorts behind every score


def packed(scores: Tensor, rows: Tensor) -> Tensor:
    """int64 whose ascending order is: higher score first, equal scores by lower row.

    scores float32, rows int64 in [0, 2^32), same shape. The bits of a float, read as an integer, grow with it if it is
    positive and fall if it is negative; the latter are flipped. Adding 0 makes -0.0 equal to 0.0.
    """
    bits = (scores + 0.0).view(torch.int32)
    ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (~ascending).long() << 32 | rows


def unpacked(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and rows; -inf and -1 of NOTHING."""
    ascending = ~(keys >> 32).int()
    scores = (ascending ^ ((ascending >> 31) & 0x7FFFFFFF)).view(torch.float32)
    nothing = keys == NOTHING
    return scores.masked_fill(nothing, -torch.inf), (keys & 0xFFFFFFFF).masked_fill(nothing, -1)


class Excluded:
    """Rows of items that each of a block's queries must not get, sorted once for all blocks of items."""

    def __init__(self, rows: Sequence[npt.NDArray[Any]]) -> None:
        columns = np.concatenate([np.zeros(0, np.int64), *(np.asarray(one, dtype=np.int64) for one in rows)])
        queries = np.repeat(np.arange(len(rows)), [len(one) for one in rows])
        order = np.argsort(columns, kind="stable")
        self._columns, self._queries = columns[order], queries[order]

    def leave_out(self, scores: Tensor, first: int, n: int) -> None:
        """Set to -inf what is left out of scores (b, >= n), whose columns are the items from row `first` on."""
        begin, end = np.searchsorted(self._columns, (first, first + n))
        queries, columns = self._queries[begin:end], self._columns[begin:end] - first
        scores[torch.from_numpy(queries).to(scores.device), torch.from_numpy(columns).to(scores.device)] = -torch.inf
