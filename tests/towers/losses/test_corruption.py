import math

import pytest
import torch

from towers.losses.corruption import info_nce, masked_views

F64 = torch.float64


def kept(view):
    return (view != 0).all(2) & (view == 1).all(2)


@pytest.mark.parametrize(
    ("fields", "share", "lost"),
    [(5, 0.4, 2), (5, 0.1, 1), (5, 0.0, 1), (5, 0.99, 4), (2, 0.4, 1), (4, 0.5, 2), (1, 0.4, 0)],
)
def test_views_lose_so_many_fields_and_together_show_all_they_can(fields, share, lost):
    torch.manual_seed(0)
    first, second = masked_views(torch.ones(200, fields, 3), share)
    for view in (first, second):
        assert ((view == 0).all(2) | (view == 1).all(2)).all()  # a field is there or not, as it was
        assert ((view == 0).all(2).sum(1) == lost).all()
    both = (first == 0).all(2) & (second == 0).all(2)
    assert (both.sum(1) == max(2 * lost - fields, 0)).all()


def test_every_row_loses_fields_of_its_own_and_every_field_its_turn():
    torch.manual_seed(0)
    first, second = masked_views(torch.ones(3000, 4, 1), 0.25)
    for view in (first, second):
        shares = (view[:, :, 0] == 0).float().mean(0)
        assert torch.allclose(shares, torch.full((4,), 0.25), atol=0.04)
    assert masked_views(torch.ones(0, 4, 2), 0.4)[0].shape == (0, 4, 2)


def test_values_and_gradients_pass_where_a_field_is_kept():
    fields = torch.randn(6, 3, 2, requires_grad=True)
    first, _ = masked_views(fields, 0.4)
    there = (first != 0).all(2, keepdim=True).expand_as(fields)
    assert torch.equal(first[there], fields[there])
    first.sum().backward()
    assert torch.equal(fields.grad, there.float())


def test_formula_by_hand():
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=F64)
    second = torch.tensor([[0.8, 0.6], [1.0, 0.0]], dtype=F64)
    # s at t = .5: row 0: 1.6, 2; row 1: 1.2, 0
    one = -math.log(math.exp(1.6) / (math.exp(1.6) + math.exp(2)))
    two = -math.log(1 / (math.exp(1.2) + 1))
    assert info_nce(first, second, 0.5).item() == pytest.approx((one + two) / 2)
    weights = torch.tensor([3.0, 1.0], dtype=F64)
    assert info_nce(first, second, 0.5, weights).item() == pytest.approx((3 * one + two) / 4)


def test_gradients_and_bf16():
    torch.manual_seed(0)
    views = [torch.randn(4, 3, dtype=F64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda a, b: info_nce(a, b, 0.5), views)
    narrow = [view.detach().bfloat16() for view in views]
    got = info_nce(*narrow, 0.5)
    assert got.dtype == torch.float32
    assert got.item() == info_nce(*(view.float() for view in narrow), 0.5).item()
