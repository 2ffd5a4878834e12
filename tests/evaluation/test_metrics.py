import math

import numpy as np
import pytest

from recgpt.evaluation import metrics

RANKING = np.array([[5, 3, 9], [1, 2, 3], [4, -1, -1], [7, 8, 9]])
SETS = [np.array([3, 9]), np.array([8]), np.array([4, 4, 6]), np.array([], dtype=int)]


def test_one_wanted_item_a_user():
    wanted = np.array([9, 1, 6, 8])
    assert metrics.recall(RANKING, wanted, 2).tolist() == [0, 1, 0, 1]
    assert metrics.recall(RANKING, wanted, 3).tolist() == [1, 1, 0, 1]
    assert metrics.hit_rate(RANKING, wanted, 3).tolist() == [1, 1, 0, 1]
    assert metrics.mrr(RANKING, wanted, 3).tolist() == pytest.approx([1 / 3, 1, 0, 1 / 2])
    assert metrics.ndcg(RANKING, wanted, 3).tolist() == pytest.approx([1 / 2, 1, 0, 1 / math.log2(3)])


def test_sets_of_wanted_items():
    assert metrics.recall(RANKING, SETS, 3)[:3].tolist() == pytest.approx([1, 0, 1 / 2])
    assert metrics.recall(RANKING, SETS, 2)[:3].tolist() == pytest.approx([1 / 2, 0, 1 / 2])
    # user 0: hits at places 2 and 3, the best order has them at 1 and 2
    best = 1 + 1 / math.log2(3)
    assert metrics.ndcg(RANKING, SETS, 3)[:3].tolist() == pytest.approx(
        [(1 / math.log2(3) + 1 / 2) / best, 0, 1 / best]
    )
    assert metrics.mrr(RANKING, SETS, 3)[:3].tolist() == pytest.approx([1 / 2, 0, 1])


def test_ndcg_of_more_wanted_than_places_can_reach_one():
    assert metrics.ndcg(np.array([[1, 2]]), [np.array([1, 2, 3, 4])], 2).tolist() == [1.0]


def test_a_ranking_shorter_than_k():
    assert metrics.ndcg(np.array([[1, 2]]), np.array([2]), 10).tolist() == pytest.approx([1 / math.log2(3)])


@pytest.mark.parametrize("metric", [metrics.recall, metrics.hit_rate, metrics.ndcg, metrics.mrr])
def test_who_wants_nothing_is_not_measured(metric):
    values = metric(RANKING, SETS, 3)
    assert math.isnan(values[3])
    assert metrics.mean(values).users == 3
    assert metrics.mean(values).of == 4
    with pytest.raises(ValueError, match="4 rankings but 2"):
        metric(RANKING, SETS[:2], 3)


def test_an_empty_place_is_never_a_hit():
    assert not metrics.hits(np.array([[-1, 2]]), np.array([-1])).any()


def test_mean_of_nobody_is_nan():
    assert math.isnan(metrics.mean(np.array([np.nan])).value)


def test_coverage():
    assert metrics.coverage(RANKING, 10, 1) == pytest.approx(0.4)  # 5, 1, 4, 7
    assert metrics.coverage(RANKING, 10, 3) == pytest.approx(0.8)  # 1 2 3 4 5 7 8 9
    assert metrics.coverage(np.array([[0, -1]]), 4, 2) == 0.25


def test_an_interval_holds_the_mean_and_narrows_with_users() -> None:
    few, many = np.array([0.0, 1.0] * 5 + [np.nan]), np.array([0.0, 1.0] * 500)
    low, high = metrics.interval(few)
    assert (low, high) == metrics.interval(few)  # drawn from a seed
    assert 0.1 <= low < 0.5 < high <= 0.9
    narrow = metrics.interval(many)
    assert narrow[1] - narrow[0] == pytest.approx(0.062, abs=0.002)  # 2 x 1.96 x .5 / sqrt(1000) = .062
    assert metrics.interval(np.ones(3)) == (1.0, 1.0)
    assert metrics.interval(np.array([2.0])) == (2.0, 2.0)
    assert np.isnan(metrics.interval(np.array([np.nan]))).all()


def test_wanted_pairs_of_one_user_are_not_those_of_the_next():
    assert metrics.hits(np.array([[3], [0]]), np.array([-1, 3])).tolist() == [[False], [False]]
    assert metrics.hits(np.array([[0], [0]]), [np.array([4, 5]), np.array([0])]).tolist() == [[False], [True]]
    assert metrics.hits(np.zeros((0, 2), int), []).shape == (0, 2)


def test_novelty_is_the_mean_information_in_bits():
    users_of = np.array([8, 4, 1, 0])
    ranking = np.array([[0, 1, 2], [2, 3, -1], [-1, -1, -1]])
    values = metrics.novelty(ranking, users_of, 8, 3)
    assert values[:2].tolist() == pytest.approx([(0 + 1 + 3) / 3, 3.0])  # nobody's item counts as one user's
    assert math.isnan(values[2])
    assert metrics.novelty(ranking, users_of, 8, 1)[:2].tolist() == [0.0, 3.0]


def test_diversity_is_one_less_the_mean_cosine_of_pairs():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], np.float32)
    ranking = np.array([[0, 1, 2], [0, 1, -1], [2, 0, -1], [0, 3, 2], [3, -1, -1]])
    values = metrics.diversity(ranking, vectors, 3)
    # cosines: 1, 0, 0; then 1; then 0; then .6, 0, .8
    assert values[:4].tolist() == pytest.approx([2 / 3, 0, 1, 1 - 1.4 / 3])
    assert math.isnan(values[4])
    assert metrics.diversity(ranking, vectors, 2)[0] == pytest.approx(0)


def test_a_difference_is_paired_over_users():
    theirs = np.r_[np.arange(100.0), np.nan, 1.0]
    ours = np.r_[np.arange(100.0) + 0.5, 7.0, np.nan]
    found = metrics.difference(ours, theirs)
    # Every user is better by a half, however much users differ.
    assert (found.mean, found.low, found.high, found.above, found.users) == (0.5, 0.5, 0.5, 1.0, 100)
    back = metrics.difference(theirs, ours)
    assert (back.mean, back.above) == (-0.5, 0.0)
    assert metrics.difference(ours, ours).above == 0.0  # no difference is not above


def test_the_interval_of_a_difference():
    ours, theirs = np.array([1.0, 0.0] * 200), np.array([0.0, 1.0] * 200)
    found = metrics.difference(ours, theirs, rounds=2000)
    assert found == metrics.difference(ours, theirs, rounds=2000)
    assert found != metrics.difference(ours, theirs, rounds=2000, seed=1)
    assert (found.low, found.high) == (pytest.approx(-0.098, abs=0.01), pytest.approx(0.098, abs=0.01))
    assert found.above == pytest.approx(0.5, abs=0.05)  # ties are not above


def test_a_difference_of_nobody():
    found = metrics.difference(np.array([np.nan]), np.array([1.0]))
    assert found.users == 0
    assert math.isnan(found.mean)
    assert math.isnan(found.above)
