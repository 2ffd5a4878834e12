"""The temperature that dot products of unit vectors are divided by, fixed or learnt."""

import math

import torch
from torch import Tensor, nn


class Temperature(nn.Module):
    """t = exp(a), low <= t <= high: a scalar. Learnt, a is a parameter that begins at log(start); fixed, a buffer.

    Learning a and not t keeps t above 0 and makes a step a share of it. The parameter itself is put back between the
    bounds before it is read, so its gradient goes on at a bound and the next step may lead away from it. Leave it out
    of weight decay, which would draw t towards 1.
    Source: CLIP, Radford et al., arXiv 2103.00020.
    """

    def __init__(self, start: float, learnt: bool = False, low: float = 0.01, high: float = 1.0) -> None:
        super().__init__()
        if not 0 < low <= start <= high:
            raise ValueError(f"a temperature of {start} is not within its bounds, {low} and {high}")
        self.low, self.high = math.log(low), math.log(high)
        log = torch.tensor(math.log(start))
        if learnt:
            self.log = nn.Parameter(log)
        else:
            self.register_buffer("log", log)

    def forward(self) -> Tensor:
        with torch.no_grad():
            self.log.clamp_(self.low, self.high)
        return self.log.exp()
