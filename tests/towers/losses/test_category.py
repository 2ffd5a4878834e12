import math

import pytest
import torch

from towers.losses.category import category_contrast

F64 = torch.float64
ANCHORS = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=F64)
ITEMS = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, -0.8]], dtype=F64)
EVEN = torch.zeros(4, dtype=F64)
NONE = torch.zeros(2, 4, dtype=torch.bool)


def loss(of, items, hits=NONE, log_q=EVEN, weights=None, t=0.5):
    return category_contrast(ANCHORS, ITEMS, torch.tensor(of), torch.tensor(items), log_q, hits, t, weights).item()


def one(positive, *negatives):
    return -math.log(math.exp(positive) / (math.exp(positive) + sum(map(math.exp, negatives))))


# s at t = .5: row 0: 2, 1.6, 0, 1.2; row 1: 0, 1.2, 2, -1.6
FIRST = (one(2, 0, 1.2) + one(1.6, 0, 1.2)) / 2  # of category 1: items 0 and 1
SECOND = (one(2, 0, 1.2) + one(-1.6, 0, 1.2)) / 2  # of category 2: items 2 and 3


def test_formula_by_hand():
    assert loss([1, 2], [1, 1, 2, 2]) == pytest.approx((FIRST + SECOND) / 2)
    weights = torch.tensor([3.0, 1.0], dtype=F64)
    assert loss([1, 2], [1, 1, 2, 2], weights=weights) == pytest.approx((3 * FIRST + SECOND) / 4)


def test_log_q_is_taken_off_every_score():
    log_q = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=F64).log()
    a, b, c, d = (s - q for s, q in zip((2, 1.6, 0, 1.2), log_q.tolist(), strict=True))
    assert loss([1, 9], [1, 1, 2, 2], log_q=log_q) == pytest.approx((one(a, c, d) + one(b, c, d)) / 2)


def test_hits_are_neither_positive_nor_negative():
    hits = NONE.clone()
    hits[0, 0] = hits[0, 2] = True
    assert loss([1, 9], [1, 1, 2, 2], hits) == pytest.approx(one(1.6, 1.2))


def test_an_unknown_category_is_neither():
    assert loss([1, 9], [1, -1, 2, -1]) == pytest.approx(one(2, 0))
    assert loss([1, -1], [1, 1, -1, 2]) == pytest.approx((one(2, 1.2) + one(1.6, 1.2)) / 2)
    assert loss([0, -1], [0, 1, -1, -1]) == pytest.approx(one(2, 1.6))  # 0 is known


def test_rows_without_a_positive_or_a_negative_count_for_nothing():
    assert loss([1, 7], [1, 1, 2, 2]) == pytest.approx(FIRST)  # no item of category 7
    weights = torch.tensor([2.0, 5.0], dtype=F64)
    assert loss([1, 7], [1, 1, 2, 2], weights=weights) == pytest.approx(FIRST)
    hits = NONE.clone()
    hits[1, :2] = True
    assert loss([1, 2], [1, 1, 2, 2], hits) == pytest.approx(FIRST)  # row 1 has no negative left


def test_nothing_to_compare_is_a_loss_of_zero_that_can_be_learnt_from():
    anchors, items = ANCHORS.clone().requires_grad_(), ITEMS.clone().requires_grad_()
    same = torch.ones(4, dtype=torch.int64)
    nothing = category_contrast(anchors, items, same[:2], same, EVEN, NONE, 0.5)
    nothing.backward()
    assert nothing.item() == 0.0
    assert anchors.grad.abs().sum() == 0
    assert items.grad.abs().sum() == 0


def test_gradients_and_bf16():
    of, items = torch.tensor([1, 2]), torch.tensor([1, 1, 2, 3])
    parts = [ANCHORS.clone().requires_grad_(), ITEMS.clone().requires_grad_()]
    assert torch.autograd.gradcheck(lambda a, v: category_contrast(a, v, of, items, EVEN, NONE, 0.5), parts)
    got = category_contrast(ANCHORS.bfloat16(), ITEMS.bfloat16(), of, items, EVEN.float(), NONE, 0.5)
    wide = category_contrast(ANCHORS.bfloat16().float(), ITEMS.bfloat16().float(), of, items, EVEN.float(), NONE, 0.5)
    assert got.dtype == torch.float32
    assert got.item() == wide.item()
