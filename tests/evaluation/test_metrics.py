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


def test_an_interval_holds_the_mean_and_narrows_with_users() -> None:
    few, many = np.array([0.0, 1.0] * 5 + [np.nan]), np.array([0.0, 1.0] * 500)
    low, high = metrics.interval(few)
    assert (low, high) == metrics.interval(few)  # drawn from a seed
    assert 0.1 <= low < 0.5 < high <= 0.9
    narrow = metrics.interval(many)
    assert narrow[1] - narrow[0] == pytest.approx(0.062, abs=0.004)  # 2 x 1.96 x .5 / sqrt(1000) = .062
    assert metrics.interval(np.ones(3)) == (1.0, 1.0)
    assert np.isnan(metrics.interval(np.array([np.nan]))).all()
