import numpy as np
import pytest

from recgpt.evaluation.ranking import Log, Questions, Show, best_columns, places, rank

# user 0: item 1 (3 back), item 2 (2), item 1 (1), item 3 (0); user 2: item 0
LOG = Log(np.array([0, 2, 0, 0, 0]), np.array([1, 0, 2, 1, 3]), np.array([3.0, 0.0, 2.0, 1.0, 0.0]), 3, 4)


def test_counts():
    assert LOG.counts().toarray().tolist() == [[0, 2, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_users_and_items_without_events_have_their_place():
    few = Log(np.array([0]), np.array([0]), np.zeros(1), 2, 3)
    assert few.counts().shape == few.newest(1.0).shape == few.faded_counts(1.0).shape == (2, 3)


def test_the_newest_event_of_an_item_weighs_it():
    found = LOG.newest(2.0).toarray()
    assert found[0].tolist() == pytest.approx([0, 0.5**0.5, 0.5, 1])
    assert found[2].tolist() == [1, 0, 0, 0]
    assert LOG.newest(np.inf).toarray().tolist() == [[0, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_the_newest_is_found_in_any_order():
    back = Log(LOG.users[::-1], LOG.items[::-1], LOG.ages[::-1], 3, 4)
    assert (back.newest(2.0) != LOG.newest(2.0)).nnz == 0


def test_faded_counts_sum_over_repeats():
    assert LOG.faded_counts(2.0).toarray()[0].tolist() == pytest.approx([0, 0.5**1.5 + 0.5**0.5, 0.5, 1])


def test_places_count_what_comes_after_for_each_user():
    assert places(np.array([0, 1, 0, 0, 2, 1])).tolist() == [2, 1, 1, 0, 0, 0]
    assert places(np.array([3, 3])).tolist() == [1, 0]
    many = np.arange(400) % 2
    assert places(many).tolist() == [199 - n // 2 for n in range(400)]
    assert places(np.zeros(0, int)).tolist() == []


SCORES = np.array([[1, 4, 3, 2], [5, 5, 1, 5], [0, 1, 2, 3]], np.float32)


def ranked(show, k=3, catalogue=None, users=(0, 1, 2)):
    asked = Questions(LOG, LOG, np.array(users), np.zeros(len(users)), show, catalogue)
    return rank(lambda who: SCORES[who].copy(), asked, k).tolist()


def test_new_items_are_those_the_user_never_had():
    assert ranked(Show.NEW) == [[0, -1, -1], [0, 1, 3], [3, 2, 1]]


def test_repeats_are_those_the_user_had():
    assert ranked(Show.REPEATS) == [[1, 2, 3], [-1, -1, -1], [0, -1, -1]]


def test_all_items_and_ties_by_row():
    assert ranked(Show.ALL) == [[1, 2, 3], [0, 1, 3], [3, 2, 1]]
    assert ranked(Show.ALL, k=6) == [[1, 2, 3, 0, -1, -1], [0, 1, 3, 2, -1, -1], [3, 2, 1, 0, -1, -1]]


def test_only_the_catalogue_asked_for_is_shown():
    some = np.array([True, False, True, False])
    assert ranked(Show.ALL, catalogue=some) == [[2, 0, -1], [0, 2, -1], [2, 0, -1]]
    assert ranked(Show.NEW, catalogue=some, users=[2]) == [[2, -1, -1]]


def test_blocks_change_nothing(monkeypatch):
    whole = ranked(Show.NEW, users=[2, 0, 1])
    monkeypatch.setattr("recgpt.evaluation.ranking.BLOCK", 4)
    assert ranked(Show.NEW, users=[2, 0, 1]) == whole == [[3, 2, 1], [0, -1, -1], [0, 1, 3]]


def test_a_score_of_minus_infinity_is_never_shown():
    asked = Questions(LOG, LOG, np.array([1]), np.array([0]), Show.ALL)
    scores = np.array([[-np.inf, 1, -np.inf, 2]], np.float32)
    assert rank(lambda _: scores.copy(), asked, 3).tolist() == [[3, 1, -1]]


def test_nobody_asked():
    assert ranked(Show.NEW, users=[]) == []


@pytest.mark.parametrize("k", [1, 60, 300])
def test_the_best_columns_are_those_of_a_stable_sort(k):
    """Few distinct scores, so that nearly every cut goes through a tie."""
    scores = np.random.default_rng(0).integers(0, 3, (50, 300)).astype(np.float32)
    best, columns = best_columns(scores, k)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert columns.tolist() == order.tolist()
    assert best.tolist() == np.take_along_axis(scores, order, axis=1).tolist()
