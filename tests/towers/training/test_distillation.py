import math

import numpy as np
import pytest
import torch

from towers.data import prepare
from towers.encoders.history import events
from towers.model import ThreeTowers
from towers.scoring import encode_items, encode_users
from towers.training.distillation import AuxiliaryHead, distillation, towers_teacher

STUDENT = [[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]]
TEACHER = [[2.0, 0.0, 1.0], [1.0, 1.0, -2.0]]
LOG_Q = [-1.0, -2.0, -0.5]
NO_HITS = torch.zeros(2, 3, dtype=torch.bool)


def by_hand(temperature, hits):
    total = 0.0
    for s_row, t_row, out in zip(STUDENT, TEACHER, hits, strict=True):
        kept = [j for j in range(3) if not out[j]]
        s, p = ({j: math.exp(row[j] / temperature - LOG_Q[j]) for j in kept} for row in (s_row, t_row))
        s, p = ({j: x / sum(d.values()) for j, x in d.items()} for d in (s, p))
        total += sum(p[j] * math.log(p[j] / s[j]) for j in kept)
    return temperature**2 * total / 2


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("hits", [[[False] * 3] * 2, [[False, True, False], [False] * 3]])
def test_the_loss_is_its_formula(temperature, hits):
    loss = distillation(
        torch.tensor(STUDENT), torch.tensor(TEACHER), torch.tensor(LOG_Q), torch.tensor(hits), temperature
    )
    assert loss.item() == pytest.approx(by_hand(temperature, hits), rel=1e-5)


def test_the_default_temperature_is_said():
    loss = distillation(torch.tensor(STUDENT), torch.tensor(TEACHER), torch.tensor(LOG_Q), NO_HITS)
    assert loss.item() == pytest.approx(by_hand(2.0, NO_HITS.tolist()), rel=1e-5)


def test_it_is_zero_for_equal_scores_up_to_a_constant():
    teacher = torch.tensor(TEACHER)
    assert distillation(teacher + 3, teacher, torch.tensor(LOG_Q), NO_HITS).item() == pytest.approx(0, abs=1e-6)


def test_gradients_are_finite_also_where_places_are_left_out():
    student = torch.tensor(STUDENT, requires_grad=True)
    teacher = torch.tensor(TEACHER, requires_grad=True)
    hits = torch.tensor([[False, True, False], [False, False, False]])
    distillation(student, teacher, torch.tensor(LOG_Q), hits, 3.0).backward()
    assert teacher.grad is None
    assert student.grad[0, 1] == 0
    # T^2 / B * (softmax(student / T) - p) / T for the others
    s, p = (np.exp(np.array(rows[1]) / 3 - np.array(LOG_Q)) for rows in (STUDENT, TEACHER))
    assert student.grad[1].tolist() == pytest.approx((9 / 2 / 3 * (s / s.sum() - p / p.sum())).tolist(), rel=1e-4)


def test_halves_are_read_in_full_precision():
    student = torch.tensor(STUDENT, dtype=torch.bfloat16)
    loss = distillation(student, torch.tensor(TEACHER), torch.tensor(LOG_Q), NO_HITS)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(by_hand(2.0, NO_HITS.tolist()), rel=1e-3)


def test_the_head_begins_as_the_user_itself_and_gives_unit_vectors():
    head = AuxiliaryHead(2)
    users = torch.tensor([[0.6, 0.8]])
    assert torch.allclose(head(users), users)
    with torch.no_grad():
        head.turn.weight.copy_(torch.tensor([[0.0, 2.0], [1.0, 0.0]]))
    # (1.6, .6) / sqrt(2.92)
    assert head(users)[0].tolist() == pytest.approx([1.6 / math.sqrt(2.92), 0.6 / math.sqrt(2.92)])


def test_towers_as_a_teacher_score_from_what_stood_before_the_event(shop, small):
    torch.manual_seed(0)
    model = ThreeTowers(small.but(network={"tasks": ("purchase", "view")}))
    ready = prepare(shop.data, model.config)
    places, items = ready.train[[30, 3]], torch.tensor([5, 0, 7])
    found = towers_teacher(model, ready, 0.1)(places, items)
    assert not found.requires_grad
    vectors = encode_items(model, ready.features)
    for row, place in enumerate(places.tolist()):
        user = int(ready.users[place])
        before = slice(int(ready.events.offsets[user]), place)
        past = events(
            [tuple(c[before].numpy() for c in (ready.events.items, ready.events.behaviours, ready.events.times))]
        )
        person = ready.people.select(torch.tensor([user]))
        asked = encode_users(model, person, past, vectors, now=int(ready.events.times[place]))[0]
        expected = [float(asked @ vectors[item]) / 0.1 for item in items.tolist()]
        assert found[row].tolist() == pytest.approx(expected, rel=1e-3, abs=1e-4)
