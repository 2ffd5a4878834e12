import pytest
import torch
from torch import Tensor

from towers.losses.rows import in_fp32, weighted_mean


def test_weighted_mean():
    losses = torch.tensor([1.0, 2.0, 6.0])
    assert weighted_mean(losses, None).item() == 3.0
    assert weighted_mean(losses, torch.tensor([3.0, 0.0, 1.0])).item() == pytest.approx(9 / 4)
    assert weighted_mean(losses, torch.zeros(3)).item() == 0.0
    assert weighted_mean(losses[:0], None).item() == 0.0


def test_narrow_tensors_are_widened_and_wide_ones_left():
    @in_fp32
    def both(x: Tensor, *, y: Tensor, flag: Tensor, factor: float) -> Tensor:
        assert flag.dtype == torch.bool
        assert factor == 2.0
        return torch.stack([x, y]).sum()

    flag = torch.tensor(True)
    for narrow in (torch.bfloat16, torch.float16):
        x = torch.ones((), dtype=narrow)
        assert both(x, y=x, flag=flag, factor=2.0).dtype == torch.float32
    wide = torch.ones((), dtype=torch.float64)
    assert both(wide, y=wide, flag=flag, factor=2.0).dtype == torch.float64


def test_autocast_is_off_within():
    @in_fp32
    def product(x: Tensor) -> Tensor:
        return x @ x

    x = torch.full((2, 2), 1.0 + 2**-9)  # which bf16 rounds to 1
    with torch.autocast("cpu", torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        assert product(x).dtype == torch.float32
        assert torch.equal(product(x), torch.full((2, 2), 2 * (1 + 2**-9) ** 2))
    assert product.__name__ == "product"
