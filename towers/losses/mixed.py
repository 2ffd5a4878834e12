"""Mixed negatives: those of the batch, which are popular, and some drawn evenly from the whole catalogue."""

import math

import torch
from torch import Tensor

from towers.losses.rows import in_fp32
from towers.losses.sampled_softmax import sampled_softmax


def log_mixture(log_q: Tensor, batch: int, drawn: int, catalogue: int) -> Tensor:
    """log of an item's share among B items of the batch and S drawn evenly from N, from its share Q in the batch.

    Q'_j = (B Q_j + S / N) / (B + S): (M,) -> (M,).
    """
    from_batch = log_q + math.log(batch / (batch + drawn))
    evenly = math.log(drawn / (batch + drawn) / catalogue) if drawn else -math.inf
    return torch.logaddexp(from_batch, torch.full_like(from_batch, evenly))


def drawn_hits(item_keys: Tensor, drawn_keys: Tensor) -> Tensor:
    """(B, S) bool: drawn items that are no negatives, because they are the row's own item."""
    return item_keys[:, None] == drawn_keys


@in_fp32
def mixed_softmax(
    queries: Tensor,
    items: Tensor,
    drawn: Tensor,
    log_q: Tensor,
    hits: Tensor,
    catalogue: int,
    temperature: float | Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Softmax over the batch's items and drawn ones, with the logQ of the mixture, the mean over rows.

        s_ij = <q_i, v_j> / t - log Q'_j,    Q'_j = (B Q_j + S / N) / (B + S)       j over B + S items
        L = -sum_i w_i log( exp s_ii / sum_{j not in hits_i} exp s_ij ) / sum_i w_i

    In-batch negatives alone never show an item without events, so nothing keeps its score down; drawn ones do.

    Inputs: queries (B, D), items (B, D) their positives, drawn (S, D) drawn evenly from N = `catalogue` items, log_q
    (B + S,) log of each one's share among the positives (`log_frequency`), hits (B, B + S) bool places left out
    (`accidental_hits` beside `drawn_hits`), weights (B,) not negative. With S = 0 it is `sampled_softmax`.
    Source: Yang et al., WWW 2020 companion (mixed negative sampling).
    """
    shares = log_mixture(log_q, len(items), len(drawn), catalogue)  # (B + S,)
    return sampled_softmax(queries, torch.cat([items, drawn]), shares, hits, temperature, weights)
