"""Self-supervision by feature corruption: two masked views of one row must find each other among all rows."""

import torch
from torch import Tensor

from towers.losses.rows import in_fp32
from towers.losses.sampled_softmax import sampled_softmax


def masked_views(fields: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Two views of the field vectors (B, F, D), each with about `share` of every row's fields set to zero.

    Both views lose round(share F) fields, at least one and at most F - 1, drawn anew for each row. Up to a half
    the two lose different ones, so together they show all; above it, some are lost by both.
    """
    n_rows, n_fields = fields.shape[:2]
    lost = min(max(round(share * n_fields), 1), n_fields - 1)
    places = torch.rand(n_rows, n_fields, device=fields.device).argsort(1)  # (B, F): each row a random order
    first, second = places >= lost, places < n_fields - lost  # (B, F) bool, what each view keeps
    return fields * first[:, :, None], fields * second[:, :, None]


@in_fp32
def info_nce(first: Tensor, second: Tensor, temperature: float | Tensor, weights: Tensor | None = None) -> Tensor:
    """Each row's first view must find its second view among those of all rows, the mean over rows.

        L = -sum_i w_i log( exp <z_i, z'_i> / t / sum_j exp <z_i, z'_j> / t ) / sum_i w_i

    Rows that few events teach gain most: their fields must say the same thing in two ways.

    Inputs: first and second (B, D) unit vectors of the two views, each row once (rows of one item would be negatives of
    each other), weights (B,) not negative.
    Source: Yao et al., CIKM 2021, arXiv 2007.12865. There fields are masked by how much they say about each other; here
    at random.
    """
    nothing = torch.zeros(len(first), len(first), dtype=torch.bool, device=first.device)  # (B, B)
    return sampled_softmax(first, second, first.new_zeros(len(first)), nothing, temperature, weights)
