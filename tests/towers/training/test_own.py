"""What was had before, and its loss, by hand on three questions and five items at hand."""

import math
from dataclasses import replace

import pytest
import torch

from towers.encoders.history import Events
from towers.repeats import RepeatTerm, past
from towers.training.own import had_before, own_loss
from towers.training.questions import Questions

DAY = 86_400
EVENTS = Events(
    torch.tensor([0, 3, 4, 4]), torch.tensor([5, 6, 5, 7]), torch.zeros(4, dtype=torch.int64),
    torch.tensor([1, 2, 3, 1]) * DAY,
)  # fmt: skip
ASKED = Questions(
    torch.tensor([0, 1, 2]), torch.full((3,), 4 * DAY), torch.tensor([3, 4, 4]), torch.tensor([1, 0, 2, 0])
)
TARGETS = torch.tensor([7, 5, 8, 9])  # a repeat of user 1, one of user 0, then two new ones
SAMPLED = torch.tensor([7, 5, 8, 9, 6, 8])


@pytest.fixture
def had():
    return had_before(past(EVENTS, 1), ASKED, TARGETS, SAMPLED)


def test_repeats_are_told_from_what_is_new(had):
    assert list(zip(had.own.rows.tolist(), had.own.items.tolist(), strict=True)) == [(0, 6), (0, 5), (1, 7)]
    assert had.places.tolist() == [2, 1, -1, -1]
    assert had.new.tolist() == [0, 0, 1, 1]
    mine = [False, True, False, False, True, False]
    assert had.among.tolist() == [mine, [True] + [False] * 5, [False] * 6]
    assert had.hits.tolist() == [[False] * 6, [False] * 6, [False] * 6, mine]


def test_what_stands_first_among_what_was_had_was_had(had):
    first = replace(had, places=torch.tensor([0, -1, 1, 2]))
    assert first.new.tolist() == [0, 1, 0, 0]
    assert first.hits.tolist() == [[False] * 6, had.among[0].tolist(), [False] * 6, [False] * 6]


def test_the_loss_is_by_hand(had):
    torch.manual_seed(0)
    users, items = torch.randn(4, 3), torch.randn(6, 3)
    users[3] = users[1]  # of one question
    shares, weights, t = torch.rand(6).log(), torch.rand(4), torch.tensor(0.5)
    habits, term = torch.rand(10, 2), RepeatTerm(1, 0.05)
    torch.nn.init.normal_(term.down.weight)
    r = term(had.own, habits).tolist()

    def new(event, columns):
        logits = [(users[event] @ items[j]).item() / 0.5 - shares[j].item() for j in columns]
        return math.log(sum(map(math.exp, logits)) / 6)

    # Neither what the user had nor what this question asks for, other than as a drawn item.
    z = [new(1, [0, 2, 5]), new(0, [1, 2, 3, 4, 5]), new(2, [0, 1, 3, 4, 5])]
    sums = [
        math.exp(z[0]) + math.exp(r[0] / 0.5) + math.exp(r[1] / 0.5), math.exp(z[1]) + math.exp(r[2] / 0.5),
        math.exp(z[2]),
    ]  # fmt: skip
    each = [math.log(sums[1]) - r[2] / 0.5, math.log(sums[0]) - r[1] / 0.5, 0.0, math.log(sums[0]) - z[0]]
    expected = sum(w * one for w, one in zip(weights.tolist(), each, strict=True)) / weights.sum().item()
    found = own_loss(term, habits, had, users, items, shares, t, weights)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_vectors_learn_nothing_from_it(had):
    users, items, t = torch.randn(4, 3, requires_grad=True), torch.randn(6, 3, requires_grad=True), torch.tensor(0.5)
    term = RepeatTerm(1, 0.05)
    own_loss(term, torch.rand(10, 2), had, users, items, torch.zeros(6), t, torch.ones(4)).backward()
    assert users.grad is None
    assert items.grad is None
    assert term.down.weight.grad.any()
