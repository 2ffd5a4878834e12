"""Softmax over the whole catalogue, where it is small enough to be encoded at each step."""

from typing import Any

import torch
from torch import Tensor

from towers.losses.rows import in_fp32

# Logits that are held at once. On a CPU a block stays in the cache (4 MiB); a GPU wants large products.
BLOCK = {"cpu": 1 << 20, "cuda": 1 << 27}
LEAST_ROWS = 32


@in_fp32
def full_softmax(
    queries: Tensor, items: Tensor, targets: Tensor, temperature: float | Tensor, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy of each row's item against all others, the mean over rows.

        L = -sum_i w_i log( exp s_iy / sum_j exp s_ij ) / sum_i w_i,    s_ij = <q_i, v_j> / t,   y = targets[i]

    No sampling, so no correction. The logits (B, N) are made in blocks of rows and forgotten: the gradients of a block
    are taken while its logits are there, so memory is that of a block and of the inputs, whatever B and N are.

    Inputs: queries (B, D), items (N, D) the whole catalogue, targets (B,) int64 rows of it, weights (B,) not negative.
    """
    shares = torch.ones_like(queries[:, 0]) if weights is None else weights.to(queries.dtype)  # (B,)
    shares = shares / shares.sum().clamp(min=1e-12)
    loss: Tensor = _WeighedSum.apply(queries / temperature, items, targets, shares)  # type: ignore[no-untyped-call]
    return loss


class _WeighedSum(torch.autograd.Function):
    """sum_i w_i ( log sum_j exp <q_i, v_j> - <q_i, v_y> ), with p_ij the softmax of <q_i, v_j> over j:

    d q_i = w_i ( sum_j p_ij v_j - v_y ),    d v_j = sum_i w_i p_ij q_i - sum_{i: y = j} w_i q_i
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, items: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        with_grad = any(ctx.needs_input_grad[:2])
        own = items[targets]  # (B, D)
        losses = -(queries * own).sum(1)  # (B,)
        d_queries, d_items = torch.empty_like(queries), torch.zeros_like(items)
        rows = max(LEAST_ROWS, BLOCK.get(items.device.type, BLOCK["cpu"]) // max(len(items), 1))
        block = items.new_empty(min(rows, len(queries)), len(items))  # one buffer for all blocks
        for start in range(0, len(queries), rows):
            asked = queries[start : start + rows]  # (b, D)
            p = torch.mm(asked, items.T, out=block[: len(asked)])  # (b, N) logits, and in place what they become
            most = p.amax(1, keepdim=True)  # (b, 1)
            sums = p.sub_(most).exp_().sum(1, keepdim=True)  # (b, 1)
            losses[start : start + rows] += (most + sums.log())[:, 0]
            if with_grad:
                scale = weights[start : start + rows, None] / sums  # (b, 1): scale * p is w_i times the softmax
                torch.mm(p, items, out=d_queries[start : start + rows]).mul_(scale)
                d_items.addmm_(p.T, asked * scale)
        if with_grad:
            d_queries.addcmul_(own, weights[:, None], value=-1)
            d_items.index_add_(0, targets, queries * weights[:, None], alpha=-1)
            ctx.save_for_backward(d_queries, d_items)
        return losses @ weights

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        d_queries, d_items = ctx.saved_tensors
        return grad * d_queries, grad * d_items, None, None
