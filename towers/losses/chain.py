"""Behaviours that follow one another: P(purchase) = P(purchase | click) P(click)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from towers.losses.rows import in_fp32, weighted_mean


def chain(logits: Tensor) -> tuple[Tensor, Tensor]:
    """(log P_k, log(1 - P_k)), (..., K) each, from the logits (..., K) of each step given the one before.

        P_k = prod_{j <= k} sigma(s_j)
        1 - P_k = (1 - P_{k-1}) + P_{k-1} (1 - sigma(s_k))        not here, because not before, or only not now

    Both are sums of what is positive, so nothing cancels however near to 0 or 1 a probability is.
    """
    reached = F.logsigmoid(logits).cumsum(-1)  # (..., K)
    missed = [F.logsigmoid(-logits[..., 0])]
    for k in range(1, logits.shape[-1]):
        missed.append(torch.logaddexp(missed[-1], reached[..., k - 1] + F.logsigmoid(-logits[..., k])))
    return reached, torch.stack(missed, dim=-1)


@in_fp32
def chain_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of each step reached or not, over all rows, the mean over rows of the sum over steps.

        L = sum_i w_i sum_k -( y_ik log P_ik + (1 - y_ik) log(1 - P_ik) ) / sum_i w_i,    P_k = prod_{j <= k} sigma(s_j)

    The step from click to purchase has no loss of its own on clicked rows only: it is learnt through P(purchase) on all
    rows, so neither is it biased by who clicks nor does it starve where clicks are few.

    Inputs: logits (B, K), step k given step k - 1, in the order of the chain; labels (B, K) in [0, 1], 1 where the step
    was reached (then all before it were too); weights (B,) not negative.
    Source: ESMM, Ma et al., SIGIR 2018, arXiv 1804.07931 (two steps: click, purchase).
    """
    reached, missed = chain(logits)  # (B, K) each
    losses = -(labels * reached + (1 - labels) * missed).sum(1)  # (B,)
    return weighted_mean(losses, weights)
