import math

import numpy as np
import pytest

from recgpt.evaluation.baselines import ItemNeighbours, Popularity, fading_history

# users 0 and 1 had items 0 and 1; user 2 had 1 and 2, the latter twice
USERS = np.array([0, 0, 1, 1, 2, 2, 2])
ITEMS = np.array([0, 1, 0, 1, 1, 2, 2])


def test_popularity_counts_events():
    history = fading_history(USERS, ITEMS, 3, 4, 1.0)
    assert Popularity(ITEMS, 4).scores(history).tolist() == [[2, 3, 2, 0]] * 3


def test_similarity_by_hand():
    model = ItemNeighbours(USERS, ITEMS, 3, 4, shrinkage=1.0)
    similar = model.similar.toarray()
    assert similar[0, 1] == pytest.approx(2 / (math.sqrt(2 * 3) + 1))
    assert similar[1, 2] == pytest.approx(1 / (math.sqrt(3 * 1) + 1))  # a repeat is one user
    assert (np.diag(similar) == 0).all()
    assert similar == pytest.approx(similar.T)
    assert similar[3].sum() == 0


def test_only_the_nearest_count():
    similar = ItemNeighbours(USERS, ITEMS, 3, 4, shrinkage=1.0, neighbours=1).similar.toarray()
    assert (similar[1] > 0).tolist() == [True, False, False, False]
    assert (similar > 0).sum(1).tolist() == [1, 1, 1, 0]


def test_history_fades_with_place_and_counts_an_item_at_its_newest():
    # user 0: items 5, 6, 5 (newest); user 1: item 6
    history = fading_history(np.array([0, 1, 0, 0]), np.array([5, 6, 6, 5]), 3, 7, half_life=2.0).toarray()
    assert history[0, 5] == pytest.approx(1.0)
    assert history[0, 6] == pytest.approx(0.5**0.5)
    assert history[1, 6] == pytest.approx(1.0)
    assert history[2].sum() == 0


def test_scores_are_the_weighted_sum_of_similarities():
    model = ItemNeighbours(USERS, ITEMS, 3, 4)
    history = fading_history(USERS, ITEMS, 3, 4, 1.0)
    expected = history.toarray() @ model.similar.toarray()
    assert model.scores(history[np.array([2, 0])]) == pytest.approx(expected[[2, 0]])
