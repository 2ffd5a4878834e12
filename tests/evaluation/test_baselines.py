import builtins
import math

import numpy as np
import pytest
import scipy.sparse as sp

from recgpt.errors import DataError
from recgpt.evaluation import baselines
from recgpt.evaluation.baselines import Als, CategoryPopularity, Ease, ItemNeighbours, OwnCounts, Popularity

# users 0 and 1 had items 0 and 1; user 2 had 1 and 2, the latter twice; nobody had 3
COUNTS = sp.csr_array(np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 2, 0]], np.float32))
NOTHING = sp.csr_array((1, 4), dtype=np.float32)


def history(*weights):
    return sp.csr_array(np.array([weights], np.float32))


def test_popularity_counts_events():
    assert Popularity(COUNTS).scores(COUNTS).tolist() == [[2, 3, 2, 0]] * 3


def test_scores_may_be_written_to():
    model = Popularity(COUNTS)
    model.scores(COUNTS)[:] = -1
    assert model.scores(NOTHING).tolist() == [[2, 3, 2, 0]]


def test_category_popularity_speaks_for_an_item_without_events():
    model = CategoryPopularity(COUNTS, np.array([0, 1, 1, 1]))
    model.scores(NOTHING)[:] = -1
    assert model.scores(NOTHING).tolist() == [[2, 5, 5, 5]]


def test_own_category_first_then_that_of_everybody():
    model = CategoryPopularity(COUNTS, np.array([0, 1, 2, 0]), own=True)
    # events by category: 2, 3, 2
    assert model.scores(history(0, 0, 1, 0)).tolist() == [pytest.approx([2 / 4, 3 / 4, 1 + 2 / 4, 2 / 4])]
    assert model.scores(history(2, 1, 0, 0)).tolist() == [pytest.approx([2.5, 1.75, 0.5, 2.5])]


def test_own_counts_are_the_history():
    assert OwnCounts().scores(history(0, 0.5, 2, 0)).tolist() == [[0, 0.5, 2, 0]]


def test_similarity_by_hand():
    similar = ItemNeighbours(COUNTS, shrinkage=1.0).similar.toarray()
    assert similar[0, 1] == pytest.approx(2 / (math.sqrt(2 * 3) + 1))
    assert similar[1, 2] == pytest.approx(1 / (math.sqrt(3 * 1) + 1))  # a repeat is one user
    assert similar[0, 2] == 0
    assert (np.diag(similar) == 0).all()
    assert similar == pytest.approx(similar.T)
    assert similar[3].sum() == 0


def test_only_the_nearest_count():
    similar = ItemNeighbours(COUNTS, neighbours=1).similar.toarray()
    assert (similar[1] > 0).tolist() == [True, False, False, False]
    assert (similar > 0).sum(1).tolist() == [1, 1, 1, 0]


def test_neighbours_in_blocks_are_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    counts = sp.csr_array((rng.random((30, 11)) < 0.3).astype(np.float32))
    whole = ItemNeighbours(counts, 10.0, 4).similar.toarray()
    monkeypatch.setattr(baselines, "BLOCK", 22)
    assert ItemNeighbours(counts, 10.0, 4).similar.toarray().tolist() == whole.tolist()


def test_neighbours_score_the_weighted_history():
    model = ItemNeighbours(COUNTS)
    expected = np.array([0.25, 0, 1, 0]) @ model.similar.toarray()
    assert model.scores(history(0.25, 0, 1, 0))[0] == pytest.approx(expected)


def test_ease_by_hand():
    """X = [[1, 1], [1, 0]], penalty 1: G = [[3, 1], [1, 2]], P = [[2, -1], [-1, 3]] / 5, B_ij = -P_ij / P_jj."""
    model = Ease(sp.csr_array(np.array([[1, 5], [2, 0]], np.float32)), 1.0)
    assert model.weights == pytest.approx(np.array([[0, 1 / 3], [1 / 2, 0]]))
    assert model.scores(sp.csr_array(np.array([[0.5, 2]], np.float32))) == pytest.approx(np.array([[1, 0.5 / 3]]))


def test_ease_solves_its_own_least_squares():
    """Column j of B is the ridge regression of item j on the others: (G_oo + penalty I)^-1 G_oj."""
    rng = np.random.default_rng(1)
    had = (rng.random((40, 6)) < 0.4).astype(np.float64)
    weights = Ease(sp.csr_array(had.astype(np.float32)), 2.5).weights
    for item in range(6):
        others = np.delete(had, item, axis=1)
        expected = np.linalg.solve(others.T @ others + 2.5 * np.eye(5), others.T @ had[:, item])
        assert np.delete(weights[:, item], item) == pytest.approx(expected, abs=1e-5)
        assert weights[item, item] == 0


def test_ease_of_the_most_popular_items_never_shows_the_others():
    counts = sp.csr_array(np.array([[1, 1, 9, 1], [1, 0, 0, 1], [0, 0, 0, 1]], np.float32))
    model = Ease(counts, 1.0, most=2)  # item 3 by three users, item 0 by two; 2 has nine events of one
    assert model.known.tolist() == [0, 3]
    small = Ease(counts[:, [0, 3]], 1.0)
    found = model.scores(history(1, 1, 0, 0))
    assert found[0, [0, 3]] == pytest.approx(small.scores(history(1, 0))[0])
    assert np.isneginf(found[0, [1, 2]]).all()


def test_ease_without_a_penalty_can_be_singular():
    with pytest.raises(DataError, match="penalty of 0: raise it"):
        Ease(sp.csr_array(np.ones((2, 3), np.float32)), 0.0)


def test_als_solves_the_user_for_fixed_items():
    """x = (Y^T Y + alpha Y_h^T diag(r) Y_h + regularisation I)^-1 Y_h^T (1 + alpha r), Hu et al. equation 4."""
    pytest.importorskip("implicit")
    rng = np.random.default_rng(2)
    counts = sp.csr_array((rng.random((20, 8)) < 0.4).astype(np.float32))
    model = Als(counts, 0.5, factors=3, alpha=4.0, iterations=3, seed=1)
    items = model.model.item_factors.astype(np.float64)  # (N, D)
    weights = np.array([0, 0.5, 0, 0, 2, 0, 0, 0])
    confidence = np.where(weights > 0, 1 + 4.0 * weights, 0)
    left = items.T @ items + (items * (4.0 * weights)[:, None]).T @ items + 0.5 * np.eye(3)
    expected = items @ np.linalg.solve(left, items.T @ confidence)
    assert expected[1] > 0.5  # had, so wanted
    assert model.scores(history(*weights))[0] == pytest.approx(expected, abs=1e-4)
    again = Als(counts, 0.5, factors=3, alpha=4.0, iterations=3, seed=1)
    assert again.model.item_factors.tolist() == model.model.item_factors.tolist()


def test_als_without_its_package_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("implicit"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DataError, match=r"recgpt\[evaluate\]"):
        Als(COUNTS, 1.0)
