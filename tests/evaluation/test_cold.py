from dataclasses import replace

import numpy as np
import pytest
from walk import N_ITEMS, SMALL, walk

from recgpt.evaluation import cold, contender, metrics
from recgpt.evaluation.baselines import CategoryPopularity
from recgpt.evaluation.ranking import Show, rank
from towers.training.loop import train

# user 0: 0 1 2 3; user 1: 3 2 1; user 2: 1 3 0 2. Items 2 and 3 are cold.
DATA = replace(
    walk(),
    item_ids=["a", "b", "c", "d"], titles=["A", "B", "C", "D"], categories=["x", "y", "x", "y"], brands=["k"] * 4,
    item_vectors=np.arange(8, dtype=np.float32).reshape(4, 2), user_ids=["u", "v", "w"],
    users=np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2]), items=np.array([0, 1, 2, 3, 3, 2, 1, 1, 3, 0, 2]),
    behaviours=np.zeros(11, dtype=int), times=np.arange(11), tag_texts=["t", "s"],
    tag_items=np.array([0, 2, 3, 1, 3]), tag_rows=np.array([0, 0, 0, 1, 1]),
)  # fmt: skip
COLD = np.array([False, False, True, True])


def test_training_never_hears_of_a_cold_item():
    given = cold.without(replace(DATA, items=np.array([2, 1, 0, 3, 3, 0, 1, 1, 3, 2, 0])), ~COLD)
    # items 0 and 1 are taken out: what were rows 2 and 3 are now 0 and 1
    assert given.item_ids == ["c", "d"]
    assert (given.titles, given.categories, given.brands) == (["C", "D"], ["x", "y"], ["k", "k"])
    assert given.item_vectors.tolist() == [[4, 5], [6, 7]]
    assert given.users.tolist() == [0, 1, 2, 2]
    assert given.items.tolist() == [0, 1, 1, 0]
    assert given.held_out.tolist() == [False, False, False, True]
    assert given.unused is None
    assert (given.tag_items.tolist(), given.tag_rows.tolist()) == ([0, 1, 1], [0, 0, 1])


def test_histories_hold_warm_items_before_the_test_over_the_whole_catalogue():
    known = cold.known(DATA, COLD)
    assert known.item_ids == DATA.item_ids
    assert list(zip(known.users, known.items, strict=True)) == [(0, 0), (0, 1), (2, 1), (2, 0)]


def test_users_are_asked_whose_last_event_is_on_a_cold_item():
    asked = cold.of_users(DATA, COLD)
    assert dict(zip(asked.users, asked.wanted, strict=True)) == {0: 3, 2: 2}
    assert asked.show is Show.NEW
    assert asked.catalogue.tolist() == COLD.tolist()
    assert list(zip(asked.learnt.users, asked.learnt.items, strict=True)) == [(0, 0), (0, 1), (2, 1)]
    assert asked.live.items.tolist() == [0, 1, 1, 0]
    assert asked.live.ages.tolist() == [1, 0, 1, 0]


def test_tags_are_asked_for_the_cold_items_that_carry_them():
    asked = cold.of_tags(DATA, COLD)
    assert {int(tag): items.tolist() for tag, items in zip(asked.users, asked.wanted, strict=True)} == {
        0: [2, 3],
        1: [3],
    }
    assert asked.learnt.counts().toarray().tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert asked.show is Show.ALL


def test_nothing_is_cold():
    none = np.zeros(4, dtype=bool)
    assert not len(cold.of_users(DATA, none).users)
    assert not len(cold.of_tags(replace(DATA, tag_items=None, tag_rows=None), none).users)
    assert len(cold.without(DATA, none).item_ids) == 4


@pytest.fixture(scope="module")
def shelf():
    """A shop in which every fifth item is cold, and towers trained without them."""
    data, hidden = walk(), np.arange(N_ITEMS) % 5 == 2
    return data, hidden, train(cold.without(data, hidden), SMALL).model


def test_towers_find_cold_items_by_their_titles(shelf):
    data, hidden, model = shelf
    users, tags = cold.of_users(data, hidden), cold.of_tags(data, hidden)
    known = cold.known(data, hidden)
    by_user, _ = contender.of_users(model, known, 10).answer(users, 2)
    by_tag, _ = contender.of_tags(model, known).answer(tags, 2)
    for ranking in (by_user, by_tag):
        assert hidden[ranking].all()
    popular = CategoryPopularity(users.learnt.counts(), np.zeros(N_ITEMS, dtype=int))
    guessed = rank(lambda who: popular.scores(users.live.counts()[who]), users, 2)
    base = metrics.mean(metrics.recall(guessed, users.wanted, 2)).value
    assert metrics.mean(metrics.recall(by_user, users.wanted, 2)).value > 2 * base
    assert metrics.mean(metrics.recall(by_tag, tags.wanted, 2)).value > 0.9  # a shelf has one cold item
