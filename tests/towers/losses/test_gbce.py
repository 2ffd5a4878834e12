import math

import pytest
import torch

from towers.losses.gbce import gbce

F64 = torch.float64
QUERIES = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=F64)
ITEMS = torch.tensor([[0.8, 0.0, 0.6], [0.6, 0.8, 0.0]], dtype=F64)
DRAWN = torch.tensor([[1.0, 0.0, 0.0], [-0.6, 0.8, 0.0], [0.0, -1.0, 0.0]], dtype=F64)
NONE = torch.zeros(2, 3, dtype=torch.bool)


def sigma(s):
    return 1 / (1 + math.exp(-s))


def by_hand(beta):
    """Rows at t = 0.5: positives 1.6 and 1.6; negatives (2, -1.2, 0) and (0, 1.6, -2)."""
    rows = [(1.6, (2.0, -1.2, 0.0)), (1.6, (0.0, 1.6, -2.0))]
    return [-(math.log(sigma(s) ** beta) + sum(math.log(1 - sigma(n)) for n in others)) / 4 for s, others in rows]


@pytest.mark.parametrize(("calibration", "beta"), [(0.0, 1.0), (1.0, 0.3), (0.75, 0.475)])
def test_formula_by_hand(calibration, beta):
    # 3 drawn of a catalogue of 11: a = 3 / 10; beta = a (c (1 - 1/a) + 1/a)
    first, second = by_hand(beta)
    got = gbce(QUERIES, ITEMS, DRAWN, NONE, 11, calibration, 0.5)
    assert got.item() == pytest.approx((first + second) / 2)
    weighed = gbce(QUERIES, ITEMS, DRAWN, NONE, 11, calibration, 0.5, torch.tensor([3.0, 1.0], dtype=F64))
    assert weighed.item() == pytest.approx((3 * first + second) / 4)


def test_a_bias_is_added_to_each_score():
    # At t = 0.5 and b = -1 the positives are 0.6 and 0.6, the negatives (1, -2.2, -1) and (-1, 0.6, -3).
    rows = [(0.6, (1.0, -2.2, -1.0)), (0.6, (-1.0, 0.6, -3.0))]
    each = [-(math.log(sigma(s)) + sum(math.log(1 - sigma(n)) for n in others)) / 4 for s, others in rows]
    bias = torch.tensor(-1.0, dtype=F64, requires_grad=True)
    got = gbce(QUERIES, ITEMS, DRAWN, NONE, 11, 0.0, 0.5, bias=bias)
    assert got.item() == pytest.approx(sum(each) / 2)
    got.backward()
    slopes = [-(1 - sigma(s)) + sum(sigma(n) for n in others) for s, others in rows]
    assert bias.grad.item() == pytest.approx(sum(slopes) / 8)


def test_hits_are_left_out_of_sum_and_count():
    hits = NONE.clone()
    hits[0, 0] = True
    first = -(math.log(sigma(1.6)) + math.log(1 - sigma(-1.2)) + math.log(1 - sigma(0.0))) / 3
    assert gbce(QUERIES, ITEMS, DRAWN, hits, 11, 0.0, 0.5).item() == pytest.approx((first + by_hand(1.0)[1]) / 2)
    no_negative = gbce(QUERIES, ITEMS, DRAWN, ~NONE, 11, 0.0, 0.5).item()
    assert no_negative == pytest.approx(-math.log(sigma(1.6)))


def test_gradients_and_extremes():
    parts = [x.clone().requires_grad_() for x in (QUERIES, ITEMS, DRAWN)]
    assert torch.autograd.gradcheck(lambda *p: gbce(*p, NONE, 11, 0.75, 0.5), parts)
    steep = gbce(1e3 * QUERIES, ITEMS, DRAWN, NONE, 11, 0.75, 0.5)
    assert steep.isfinite()


def test_bf16_is_widened():
    narrow = [x.bfloat16() for x in (QUERIES, ITEMS, DRAWN)]
    got = gbce(*narrow, NONE, 11, 0.75, 0.1)
    assert got.dtype == torch.float32
    assert got.item() == gbce(*(x.float() for x in narrow), NONE, 11, 0.75, 0.1).item()


@pytest.mark.parametrize(("calibration", "probability"), [(0.0, 1 / 4), (1.0, 1 / 10)])
def test_full_calibration_learns_the_probability_in_the_catalogue(calibration, probability):
    """One item, asked for once and drawn three times as a negative, where 1 of the 3 others is drawn for each row.

    Plain cross-entropy learns its share of the sample, 1 of 4; calibrated, 1 of 1 + 9, as if none had been left out.
    """
    one, zero, none = torch.ones(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64), torch.zeros(1, 1, dtype=torch.bool)
    score = torch.tensor([[math.log(probability / (1 - probability))]], dtype=F64, requires_grad=True)
    wanted = gbce(one, score, zero, none, 4, calibration, 1.0)
    drawn = gbce(one, zero, score, none, 4, calibration, 1.0)
    (wanted + 3 * drawn).backward()
    assert score.grad.item() == pytest.approx(0.0, abs=1e-12)  # the loss is least at that probability
