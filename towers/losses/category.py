"""Category contrast: what shares a category is drawn together, what does not apart."""

import torch
from torch import Tensor
from torch.nn import functional as F

from towers.losses.rows import in_fp32, weighted_mean


@in_fp32
def category_contrast(
    anchors: Tensor,
    items: Tensor,
    anchor_categories: Tensor,
    item_categories: Tensor,
    log_q: Tensor,
    hits: Tensor,
    temperature: float | Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Sampled softmax of each item of the anchor's category against the items of others, the mean over such items.

        s_ij = <a_i, v_j> / t - log Q_j,    P_i: j of the category of i,    N_i: j of another category
        L_i = -1/|P_i| sum_{p in P_i} log( exp s_ip / (exp s_ip + sum_{n in N_i} exp s_in) )
        L = sum_i w_i L_i / sum_i w_i       over the rows that have both

    An item of the same category is never a negative. Rows without a positive or without a negative count for nothing.

    Inputs: anchors (B, D) of tags or items, items (M, D), their categories (B,) and (M,) int64, below 0 where unknown
    (such an item is neither, such an anchor has neither), log_q (M,) log of each item's share among what is sampled,
    hits (B, M) bool places left out (an anchor's own item), weights (B,) not negative.
    Source: L_cate of RecGPT, arXiv 2507.22879, which gives the sets and no formula for several positives; the mean
    outside the logarithm is that of Khosla et al., arXiv 2004.11362.
    """
    logits = anchors @ items.T / temperature - log_q  # (B, M)
    usable = (anchor_categories[:, None] >= 0) & (item_categories >= 0) & ~hits  # (B, M)
    same = anchor_categories[:, None] == item_categories  # (B, M)
    positive, negative = usable & same, usable & ~same
    counted = positive.any(1) & negative.any(1)  # (B,)
    logits, positive, negative = logits[counted], positive[counted], negative[counted]  # (C, M) each
    others = logits.masked_fill(~negative, -torch.inf).logsumexp(1, keepdim=True)  # (C, 1)
    # -log(e^s / (e^s + e^o)) = log(1 + e^(o - s))
    each = F.softplus(others - logits).masked_fill(~positive, 0.0)  # (C, M)
    losses = each.sum(1) / positive.sum(1)  # (C,)
    return weighted_mean(losses, None if weights is None else weights[counted])
