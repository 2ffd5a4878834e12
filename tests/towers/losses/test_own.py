import math

import pytest
import torch

from towers.losses.own import own_or_new

# Two questions: the first user had two items, the second one, and something new is worth 1 and -2.
R = torch.tensor([0.3, -0.6, 0.9], dtype=torch.float64)
ROWS, NEW = torch.tensor([0, 0, 1]), torch.tensor([1.0, -2.0], dtype=torch.float64)
SUMS = (math.exp(0.3 / 0.3) + math.exp(-0.6 / 0.3) + math.exp(1.0), math.exp(0.9 / 0.3) + math.exp(-2.0))


def test_it_is_the_formula():
    questions, had = torch.tensor([0, 1, 0, 1]), torch.tensor([1, 2, -1, -1])
    weights = torch.tensor([1.0, 2.0, 0.5, 0.25], dtype=torch.float64)
    logits = [-0.6 / 0.3, 0.9 / 0.3, 1.0, -2.0]
    each = [math.log(SUMS[q]) - one for q, one in zip(questions.tolist(), logits, strict=True)]
    found = own_or_new(R, ROWS, NEW, questions, had, 0.3, weights)
    assert found.item() == pytest.approx(sum(w * one for w, one in zip(weights.tolist(), each, strict=True)) / 3.75)
    assert own_or_new(R, ROWS, NEW, questions, had, 0.3).item() == pytest.approx(sum(each) / 4)


def test_who_had_nothing_takes_something_new():
    nothing = torch.zeros(0, dtype=torch.int64)
    found = own_or_new(torch.zeros(0), nothing, torch.tensor([3.0]), torch.tensor([0]), torch.tensor([-1]), 0.1)
    assert found.item() == pytest.approx(0.0)


def test_where_nothing_new_is_at_hand_it_is_one_of_their_own():
    new = torch.tensor([-math.inf, -2.0], dtype=torch.float64)
    found = own_or_new(R, ROWS, new, torch.tensor([0]), torch.tensor([0]), 0.3)
    assert found.item() == pytest.approx(math.log(SUMS[0] - math.exp(1.0)) - 1)


def test_large_scores_do_not_overflow():
    found = own_or_new(R * 1e4, ROWS, NEW, torch.tensor([0, 1]), torch.tensor([0, 2]), 0.1)
    assert found.item() == pytest.approx(0.0)


def test_gradients():
    r, t = R.clone().requires_grad_(), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    questions, had = torch.tensor([0, 1, 0]), torch.tensor([1, 2, -1])
    assert torch.autograd.gradcheck(lambda r, t: own_or_new(r, ROWS, NEW, questions, had, t), (r, t))


def test_bf16_is_widened():
    narrow = [one.to(torch.bfloat16) for one in (R, NEW)]
    assert own_or_new(narrow[0], ROWS, narrow[1], torch.tensor([0]), torch.tensor([1]), 0.3).dtype == torch.float32
