"""Sampled softmax over the batch: the loss of both the user-item and the tag-item channel."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from towers.losses.rows import in_fp32, weighted_mean


def accidental_hits(query_keys: Tensor, item_keys: Tensor) -> Tensor:
    """(B, B) bool: places off the diagonal that are no negatives.

    Row i asks with query_keys[i] (a user, a tag) for item_keys[i]. Column j is not its negative if it is the same item,
    or if it is the positive of another row with the same query.
    """
    same = (query_keys[:, None] == query_keys) | (item_keys[:, None] == item_keys)  # (B, B)
    return same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)


@in_fp32
def sampled_softmax(
    queries: Tensor,
    items: Tensor,
    log_q: Tensor,
    hits: Tensor,
    temperature: float | Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Softmax over the items at hand with the logQ correction, the mean over rows.

        s_ij = <q_i, v_j> / t - log Q_j
        L = -sum_i w_i log( exp s_ii / sum_{j not in hits_i} exp s_ij ) / sum_i w_i

    Items enter a batch as often as they are popular, so without -log Q_j the popular ones are pushed down as negatives
    far too often; with it the sum is an unbiased estimate (up to a constant) of the sum over the whole catalogue.

    Inputs: queries (B, D), items (M, D) of which the first B are the rows' positives, in order (in-batch: M = B),
    log_q (M,) log of each item's share among what is sampled, hits (B, M) bool places left out of the sum (never the
    diagonal), weights (B,) not negative.
    Needs: rows drawn independently; batches large against the number of distinct queries.
    Source: Bengio and Senecal, 2008 (adaptive importance sampling); Yi et al., RecSys 2019 (in-batch).
    """
    logits = queries @ items.T / temperature - log_q  # (B, M)
    own = torch.arange(len(logits), device=logits.device)  # (B,)
    losses = F.cross_entropy(logits.masked_fill(hits, -torch.inf), own, reduction="none")  # (B,)
    return weighted_mean(losses, weights)


@in_fp32
def shared_softmax(
    queries: Tensor,
    rows: Tensor,
    items: Tensor,
    log_q: Tensor,
    hits: Tensor,
    temperature: float | Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Softmax where several rows ask with the same query, at the cost of one sum for each query.

        Z_q = 1 / M sum_{j not in hits_q} exp(<q_q, v_j> / t - log Q_j)
        L = sum_i w_i log( 1 + Z_q(i) / exp(<q_q(i), v_i> / t) ) / sum_i w_i

    Z is an estimate of the sum over the catalogue without what the query wants, which is not sampled and so has no
    correction; `sampled_softmax` corrects its positive too, as if it had come by chance.

    Inputs: queries (Q, D), rows (B,) the query of each row, items (M, D) of which the first B are the rows' positives,
    log_q (M,), hits (Q, M) bool places left out of the sum, among them all that the query wants, weights (B,).
    Source of the uncorrected positive: Khrylchenko et al., arXiv 2507.09331.
    """
    logits = queries @ items.T / temperature - log_q  # (Q, M)
    sums = logits.masked_fill(hits, -torch.inf).logsumexp(1) - math.log(len(items))  # (Q,)
    own = (queries[rows] * items[: len(rows)]).sum(1) / temperature  # (B,)
    return weighted_mean(F.softplus(sums[rows] - own), weights)


def log_frequency(keys: Tensor, size: int) -> Tensor:
    """(size,) log of each key's share among `keys` (E,); a key that never occurs counts as half an occurrence."""
    counts = torch.bincount(keys, minlength=size).clamp(min=0.5)
    return torch.log(counts / max(len(keys), 1))
