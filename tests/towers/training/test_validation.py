"""Places worked out by hand: a model whose items are unit axes, so that a user's vector is the list of scores."""

import math
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


def test_the_term_for_repeats_is_part_of_the_score(small):
    config = small.but(training={"repeats": True})
    ready = ready_of(config, ([0, 3, 0], [5, 4, 6], [9, 8, 7]))
    own = past(ready.events, 2)
    model = model_of(config, lambda own, vectors: torch.where(own.items == 0, 10.0, 0.5) * vectors[0, 0])
    # 0 of the first user is lifted above 3; without the term it stands second.
    assert validate(model, ready, own) == pytest.approx((2 / 3, (1 + 1 / math.log2(11)) / 3))
    assert validate(model, ready) == pytest.approx((2 / 3, (1 / math.log2(3) + 1 / math.log2(11)) / 3))
    plain = model_of(config)
    assert validate(plain, ready, own) == validate(model, ready)
    # Where repeats don't count, what was had is left out, whatever its term: 8 and 9 before 7.
    config = small.but(training={"repeats": False})
    ready = ready_of(config, ([5, 4, 6], [9, 8, 7]))
    lifted = model_of(config, lambda own, vectors: torch.full((len(own.items),), 10.0))
    assert validate(lifted, ready, past(ready.events, 2)) == pytest.approx(
        (1.0, (1 / math.log2(11) + 1 / math.log2(10)) / 2)
    )


def test_without_held_out_events_there_is_nothing_to_say(small):
    ready = ready_of(small)
    assert all(math.isnan(value) for value in validate(model_of(small), ready.whole()))
