"""What all losses do alike: they compute in fp32, and return the weighted mean over rows."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor

P = ParamSpec("P")


def in_fp32(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """`loss` computed in fp32: bf16 and fp16 tensors are widened, and autocast is off within. fp64 stays fp64."""

    @wraps(loss)
    def widened(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        device = next(arg.device.type for arg in (*args, *kwargs.values()) if isinstance(arg, Tensor))
        with torch.autocast(device, enabled=False):
            return loss(*map(_widen, args), **{name: _widen(arg) for name, arg in kwargs.items()})  # type: ignore[arg-type]

    return widened


def _widen(arg: object) -> object:
    narrow = isinstance(arg, Tensor) and arg.dtype in {torch.bfloat16, torch.float16}
    return arg.float() if narrow and isinstance(arg, Tensor) else arg


def weighted_mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    """sum_i w_i L_i / sum_i w_i over rows (B,), weights not negative: without weights the mean, over nothing 0."""
    if weights is None:
        weights = torch.ones_like(losses)
    return (losses * weights).sum() / weights.sum().clamp(min=1e-12)
