from itertools import pairwise, product

import numpy as np
import pytest
import torch

from towers.data import TrainingData, prepare
from towers.training.questions import Asking, among, first_of

DAY = 86_400
# By user: days and items of events; a coupon's events are of behaviour 1.
DAYS = ([0.5, 1.0, 3.0, 3.0, 3.5, 7.9], [2.0, 2.5, 9.0])
ITEMS = ([0, 1, 2, 2, 2, 1], [0, 0, 0])
KINDS = ([0, 0, 0, 0, 1, 0], [0, 0, 0])


@pytest.fixture
def ready(small):
    users = np.repeat([0, 1], [6, 3])
    data = TrainingData(
        ["a", "b", "c"], [""] * 3, [""] * 3, ["u", "v"], users, np.concatenate(ITEMS), np.concatenate(KINDS),
        (np.concatenate(DAYS) * DAY).astype(np.int64),
    )  # fmt: skip
    return prepare(data, small.but(training={"validation_share": 0.0}))


def days_of(moments):
    return (moments / DAY).tolist()


def test_without_a_horizon_each_event_is_a_question(ready):
    asking, places = Asking(ready, 0.0), torch.tensor([4, 2, 7])
    moments = asking.moments(places, 5)
    asked = asking.questions(places, moments)
    assert days_of(moments) == days_of(asked.moments) == [3.5, 3.0, 2.5]
    assert (asked.users.tolist(), asked.ends.tolist(), asked.rows.tolist()) == ([0, 0, 1], [4, 2, 7], [0, 1, 2])
    found, when = asking.shuffled(ready.train, torch.Generator().manual_seed(0))
    expected = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found, ready.train[expected])
    assert torch.equal(when, ready.events.times[found])


def test_stretches_begin_at_the_phase_and_hold_what_lies_in_them(ready):
    asking, places = Asking(ready, 2.0), torch.arange(9)
    assert days_of(asking.moments(places, 0)) == [0, 0, 2, 2, 2, 6, 2, 2, 8]
    assert days_of(asking.moments(places, DAY)) == [-1, 1, 3, 3, 3, 7, 1, 1, 9]
    assert days_of(asking.moments(places, 101 * DAY)) == days_of(asking.moments(places, DAY))


@pytest.mark.parametrize(
    ("phase", "users", "days", "ends", "rows"),
    [
        (0, [0, 0, 0, 1, 1], [0, 2, 6, 2, 8], [0, 2, 5, 6, 8], [0, 0, 1, 1, 1, 2, 3, 3, 4]),
        (DAY, [0] * 4 + [1] * 2, [-1, 1, 3, 7, 1, 9], [0, 1, 2, 5, 6, 8], [0, 1, 2, 2, 2, 3, 4, 4, 5]),
    ],
)
def test_a_question_knows_what_is_before_its_stretch(ready, phase, users, days, ends, rows):
    asking, places = Asking(ready, 2.0), torch.arange(9)
    asked = asking.questions(places, asking.moments(places, phase))
    assert (asked.users.tolist(), days_of(asked.moments), asked.ends.tolist()) == (users, days, ends)
    assert asked.rows.tolist() == rows
    some = torch.tensor([8, 0])  # in any order, and not all of a question
    asked = asking.questions(some, asking.moments(some, phase))
    assert asked.users[asked.rows].tolist() == [1, 0]
    assert asked.ends[asked.rows].tolist() == [8, 0]


def test_shuffled_questions_stay_together_and_ask_once_for_each_item(ready):
    asking, orders, phases = Asking(ready, 2.0), set(), set()
    for seed in range(20):
        places, moments = asking.shuffled(ready.train, torch.Generator().manual_seed(seed))
        phase = int(moments[0] % (2 * DAY))
        assert torch.equal(moments, asking.moments(places, phase))
        questions = list(zip(ready.users[places].tolist(), moments.tolist(), strict=True))
        changes = 1 + sum(a != b for a, b in pairwise(questions))
        assert changes == len(set(questions))  # each stands in one piece
        events, whole = ready.events, asking.moments(ready.train, phase)
        wanted = [
            set(
                zip(
                    ready.users[p].tolist(),
                    m.tolist(),
                    events.items[p].tolist(),
                    events.behaviours[p].tolist(),
                    strict=True,
                )
            )
            for p, m in ((places, moments), (ready.train, whole))
        ]
        assert wanted[0] == wanted[1]
        assert len(wanted[0]) == len(places)
        orders.add(tuple(dict.fromkeys(questions)) if phase == 0 else tuple(user for user, _ in questions))
        phases.add(phase)
    assert len(orders) > 5
    assert len(phases) > 15


def test_what_several_users_want_is_never_taken_for_one(small):
    for items, kinds in product(product(range(3), repeat=3), product((0, 1), repeat=3)):
        data = TrainingData(
            ["a", "b", "c"], [""] * 3, [""] * 3, ["u", "v", "w"], np.arange(3), np.array(items), np.array(kinds),
            np.arange(3),
        )  # fmt: skip
        each = prepare(data, small.but(training={"validation_share": 0.0}))
        places, _ = Asking(each, 2.0).shuffled(each.train, torch.Generator().manual_seed(0))
        assert sorted(places.tolist()) == [0, 1, 2]


def test_only_the_places_given_are_asked_for(ready):
    places, _ = Asking(ready, 30.0).shuffled(ready.train[:5], torch.Generator())
    assert sorted(ready.events.items[places].tolist()) == [0, 1, 2, 2]  # 2 as two behaviours
    assert places.max() < 5


def test_nothing_to_ask(ready):
    nothing = ready.train[:0]
    places, moments = Asking(ready, 2.0).shuffled(nothing, torch.Generator())
    assert len(places) == len(moments) == len(Asking(ready, 2.0).questions(places, moments).users) == 0


def test_the_first_of_each_group():
    assert first_of(torch.tensor([2, 0, 0, 2, 1]), 3).tolist() == [1, 4, 0]


def test_which_pairs_stand_among_the_columns():
    # the columns hold 4 twice, 9 not at all, and 2 and 99 that nobody here has
    rows, items, columns = torch.tensor([0, 0, 2]), torch.tensor([9, 4, 7]), torch.tensor([7, 4, 2, 4, 99])
    mine, nothing = [False, True, False, True, False], [False] * 5
    assert among(rows, items, 3, columns).tolist() == [mine, nothing, [True, *nothing[1:]]]
    assert among(rows, items, 3, columns[:0]).shape == (3, 0)
    assert not among(rows[:0], items[:0], 3, columns).any()
    # an item beyond all columns is not taken for the last of them
    assert not among(rows[:1], torch.tensor([100]), 3, columns).any()
