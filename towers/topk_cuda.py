"""Top-k on an accelerator: a coarse product in bfloat16, and an exact order of the few that it brings.

The coarse scores only choose 2 k + 64 candidates a query; these are scored again in float32 and put in the order of
`towers.topk`. A score is off by about 2e-4 in bfloat16 at 64 unit dimensions, and a few items lie so near the k-th, so
the result is that of float32 in all but a few places of ten thousand. No step waits for the accelerator: every shape is
known beforehand. Runs on any device, so that it can be tested on a processor; its speed on CUDA was not measured.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from towers.topk_order import NOTHING, Excluded, packed, unpacked

ROWS: Final = 2048  # queries of a block
COLUMNS: Final = 1 << 16  # items of a block
GROUP: Final = 32


def top_k_rescored(
    queries: Tensor,
    items: Tensor,
    k: int,
    *,
    exclude: Sequence[npt.NDArray[Any]] | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> tuple[Tensor, Tensor]:
    """As `towers.topk.top_k`, up to what `dtype` loses among the candidates; the result lies on the items' device."""
    coarse = items.to(dtype)
    keys = torch.full((len(queries), k), NOTHING, device=items.device)
    for start in range(0, len(queries), ROWS):
        block = slice(start, start + ROWS)
        left_out = None if exclude is None else Excluded(exclude[block])
        rows = _candidates(queries[block].to(coarse), coarse, 2 * k + 64, left_out)  # (b, c), -1: nothing
        vectors = items[rows.clamp(min=0)].float()  # (b, c, D)
        scores = (vectors @ queries[block].to(vectors)[:, :, None]).squeeze(2)  # (b, c)
        found = packed(scores, rows).masked_fill(rows < 0, NOTHING).sort(dim=1).values[:, :k]
        keys[block, : found.shape[1]] = found
    return unpacked(keys)


def _candidates(queries: Tensor, items: Tensor, c: int, left_out: Excluded | None) -> Tensor:
    """(b, <= c) rows of the best items by the coarse product, in no certain order, -1 for nothing."""
    b = len(queries)
    best = queries.new_full((b, 0), -torch.inf)
    rows = torch.zeros((b, 0), dtype=torch.int64, device=queries.device)
    for first in range(0, len(items), COLUMNS):
        part = items[first : first + COLUMNS]
        n = len(part)
        scores = queries @ F.pad(part, (0, 0, 0, -n % GROUP)).T  # (b, width)
        scores[:, n:] = -torch.inf
        if left_out is not None:
            left_out.leave_out(scores, first, n)
        found, columns = _grouped_top(scores, min(c, n))
        best, rows = torch.cat([best, found], 1), torch.cat([rows, columns + first], 1)
        best, kept = best.topk(min(c, best.shape[1]), dim=1)
        rows = rows.gather(1, kept)
    return rows.masked_fill(best == -torch.inf, -1)


def _grouped_top(scores: Tensor, c: int) -> tuple[Tensor, Tensor]:
    """The c best scores of each row and their columns, (b, c): they all lie in the c groups of the highest maxima."""
    grouped = scores.view(len(scores), -1, GROUP)  # (b, w, GROUP)
    groups = grouped.amax(2).topk(min(c, grouped.shape[1]), dim=1).indices  # (b, g)
    inside = grouped.gather(1, groups[:, :, None].expand(-1, -1, GROUP)).flatten(1)  # (b, g GROUP)
    best, places = inside.topk(c, dim=1)
    return best, groups.gather(1, places // GROUP) * GROUP + places % GROUP
