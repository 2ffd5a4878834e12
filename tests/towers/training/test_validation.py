"""Places worked out by hand: a model whose items are unit axes, so that a user's vector is the list of scores."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from towers.data import TrainingData, prepare
from towers.repeats import past
from towers.training import validation
from towers.training.validation import validate

N = 14
# Of four users, what they had, and last what is held out.
HISTORIES = ([0, 3, 5], [1, 2], [4, 6], [8, 7])
# The ranking of all items after the newest event on the item named.
RANKINGS = {
    3: [3, 0, 7, 5],  # 3 and 0 were had before: 5 stands second
    1: [1, 2],  # first
    4: [4, 0, 1, 2, 3, 5, 7, 8, 9, 10, 11, 6],  # eleventh
    8: [0, 1, 2, 3, 4, 5, 6, 9, 10, 7],  # tenth
}
GAINS = 1 / math.log2(3) + 1 + 1 / math.log2(11)


def ready_of(config, histories=HISTORIES):
    rows = [(user, item) for user, items in enumerate(histories) for item in items]
    users, items = np.array(rows).T
    last = np.append(np.diff(users) > 0, True)
    return prepare(
        TrainingData(
            [f"i{n}" for n in range(N)], [""] * N, [""] * N, [f"u{n}" for n in range(len(histories))],
            users, items, np.zeros(len(items), int), np.arange(len(items)), held_out=last,
        ),
        config,
    )  # fmt: skip


def model_of(config, repeats=None):
    def users(people, window, vectors):
        assert window.items.shape == (len(people), config.features.history)
        assert torch.equal(vectors, torch.eye(N))
        scores = torch.zeros(len(people), 2, N)  # of two tasks, of which the first counts
        for row, newest in enumerate(window.items[:, 0].tolist()):
            ranked = RANKINGS[newest]
            scores[row, 0, ranked] = torch.arange(len(ranked), 0, -1.0)
            scores[row, 1, ranked] = -1.0
        return scores

    model = SimpleNamespace(config=config, repeats=repeats, eval=lambda: None, users=users)
    model.coded = lambda features: features
    model.items = lambda features: torch.eye(N)[: len(features)]
    return model


@pytest.mark.parametrize("block", [1, 3, 1024])
def test_recall_and_ndcg_at_10_by_hand(small, monkeypatch, block):
    monkeypatch.setattr(validation, "BLOCK", block)
    assert validate(model_of(small), ready_of(small)) == pytest.approx((3 / 4, GAINS / 4))


def test_what_was_had_before_stands_in_the_way_where_repeats_count(small):
    config = small.but(training={"repeats": True})
    found = validate(model_of(config), ready_of(config))
    # Now 5 stands fourth, 2 second and 6 twelfth.
    assert found == pytest.approx((3 / 4, (1 / math.log2(5) + 1 / math.log2(3) + 1 / math.log2(11)) / 4))


def test_what_was_had_before_is_scored_by_that(small):
    config = small.but(training={"repeats": True})
    ready = ready_of(config, ([0, 3, 0], [5, 4, 6], [9, 8, 7]))
    own = past(ready.events, 2)
    model = model_of(config, lambda own, habits: torch.where(own.items == 0, 10.0, 0.5) + habits[0, 0])
    # 0 of the first user is lifted above 3; for the others 5 and 4, and 9, fall behind all that is ranked.
    assert validate(model, ready, own) == pytest.approx((1, (1 + 1 / math.log2(11) + 1 / math.log2(10)) / 3))
    assert validate(model, ready) == pytest.approx((2 / 3, (1 / math.log2(3) + 1 / math.log2(11)) / 3))
    plain = model_of(config)
    assert validate(plain, ready, own) == validate(model, ready)
    # Where repeats don't count, what was had is left out, whatever its term: 8 and 9 before 7.
    config = small.but(training={"repeats": False})
    ready = ready_of(config, ([5, 4, 6], [9, 8, 7]))
    lifted = model_of(config, lambda own, habits: torch.full((len(own.items),), 10.0))
    assert validate(lifted, ready, past(ready.events, 2)) == pytest.approx(
        (1.0, (1 / math.log2(11) + 1 / math.log2(10)) / 2)
    )


def test_without_held_out_events_there_is_nothing_to_say(small):
    ready = ready_of(small)
    assert all(math.isnan(value) for value in validate(model_of(small), ready.whole()))


def test_with_a_horizon_all_of_a_stretch_is_asked_for_from_its_beginning(small):
    config, day = small.but(training={"repeats": True, "horizon": 3.0}), 86_400
    ready = prepare(
        TrainingData(
            [f"i{n}" for n in range(N)], [""] * N, [""] * N, ["u0", "u1"],
            np.array([0, 0, 0, 0, 1, 1]), np.array([1, 3, 2, 7, 4, 0]), np.zeros(6, int),
            np.array([1, 2, 10, 11, 9, 12]) * day, held_out=np.array([0, 0, 1, 1, 0, 1], bool),
        ),
        config,
    )  # fmt: skip
    # From day 10: after 3, 2 is sixth, by its row, and 7 third; after 4, 0 is second. From right before each event, 7
    # would be asked for after 2, of which RANKINGS says nothing.
    gains = (1 / math.log2(7) + 1 / math.log2(4) + 1 / math.log2(3)) / 3
    assert validate(model_of(config), ready) == pytest.approx((1, gains))
    with pytest.raises(KeyError):
        validate(model_of(config.but(training={"horizon": 1.0})), ready)
    # What was had before day 10 is left out, and nothing later: 2 is fourth and 7 second, 0 is first.
    new = config.but(training={"repeats": False})
    ready = replace(ready, validation=ready.held_out)
    assert validate(model_of(new), ready)[1] == pytest.approx((1 / math.log2(5) + 1 / math.log2(3) + 1) / 3)


def test_past_is_that_of_the_moment_asked_from(small):
    config, day = small.but(training={"repeats": True, "horizon": 2.0}), 86_400
    ready = prepare(
        TrainingData(
            [f"i{n}" for n in range(N)], [""] * N, [""] * N, ["u0"], np.zeros(3, int), np.array([3, 5, 5]),
            np.zeros(3, int), np.array([1, 10, 11]) * day, held_out=np.array([0, 1, 1], bool),
        ),
        config,
    )  # fmt: skip
    seen = []

    def term(own, habits):
        seen.append((own.items.tolist(), own.features[:, -1].tolist()))
        return torch.zeros(len(own.items))

    validate(model_of(config, term), ready, past(ready.events, 2))
    ((items, gaps),) = seen
    assert (items, gaps) == ([3], pytest.approx([math.exp(-9 / 60)]))
