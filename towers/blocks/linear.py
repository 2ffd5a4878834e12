"""Linear maps in parallel: one of its own for each field, or for each task."""

import math

import torch
from torch import Tensor, nn


class ParallelLinear(nn.Module):
    """y_g = W_g x_g + b_g for each of G groups, in one batched product: (B, G, n_in) -> (B, G, n_out)."""

    def __init__(self, groups: int, n_in: int, n_out: int, bias: bool = True) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_in)  # as nn.Linear begins
        self.weight = nn.Parameter(torch.empty(groups, n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(groups, n_out).uniform_(-bound, bound)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("bgi,gio->bgo", x, self.weight)  # (B, G, n_out)
        return y if self.bias is None else y + self.bias
