import numpy as np
import pytest

from towers.rerank import choose

SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5])


def test_without_rules_it_is_the_order_of_scores():
    assert choose(np.array([0.1, 0.9, 0.5]), 2).tolist() == [1, 2]
    assert choose(np.array([0.5, 0.9, 0.9]), 9).tolist() == [1, 2, 0]


def test_nothing_to_choose_from():
    assert choose(np.zeros(0), 3).tolist() == []
    assert choose(SCORES, 0).tolist() == []


def test_a_quota_holds_back_the_later_of_a_kind():
    kinds = np.array([7, 7, 7, 3, 7])
    assert choose(SCORES, 5, quotas=[(kinds, 1)]).tolist() == [0, 3]
    assert choose(SCORES, 5, quotas=[(kinds, 2)]).tolist() == [0, 1, 3]
    assert choose(SCORES, 2, quotas=[(kinds, 2)]).tolist() == [0, 1]


def test_a_candidate_of_no_kind_is_never_held_back():
    assert choose(SCORES, 5, quotas=[(np.array([-1, -1, 2, 2, -1]), 1)]).tolist() == [0, 1, 2, 4]


def test_quotas_hold_together():
    brands, categories = np.array([0, 0, 1, 1, 2]), np.array([5, 6, 5, 6, 6])
    assert choose(SCORES, 5, quotas=[(brands, 1), (categories, 1)]).tolist() == [0, 3]


def test_an_item_that_two_tags_bring_is_taken_once_with_its_best():
    items = np.array([4, 4, 5, 5, 6])
    assert choose(SCORES, 5, quotas=[(items, 1)]).tolist() == [0, 2, 4]


def test_diversity_by_hand():
    # 0 and 1 are the same, 2 stands at a right angle, 3 lies between (cosine .6 to 0, .8 to 2)
    vectors = np.array([[1.0, 0], [1, 0], [0, 1], [0.6, 0.8]])
    scores = np.array([0.9, 0.88, 0.3, 0.6])
    # at .5, after 0: 1 is .44 - .5 = -.06; 2 is .15 - 0 = .15; 3 is .3 - .3 = 0. After 2: 1 is -.06, 3 is .3 - .4 = -.1
    assert choose(scores, 4, vectors=vectors, diversity=0.5).tolist() == [0, 2, 1, 3]
    # at .1, after 0: 1 is .792 - .1 = .692; 2 is .27; 3 is .54 - .06 = .48. Then 3: .54 - .06 above 2
    assert choose(scores, 4, vectors=vectors, diversity=0.1).tolist() == [0, 1, 3, 2]
    # at 1 only the first choice looks at the score
    assert choose(scores, 3, vectors=vectors, diversity=1.0).tolist() == [0, 2, 3]


def test_what_points_away_from_the_chosen_is_drawn_nearer():
    vectors = np.array([[1.0, 0], [0, 1], [-1, 0]])
    assert choose(np.array([0.9, 0.5, 0.1]), 3, vectors=vectors, diversity=0.4).tolist() == [0, 2, 1]


@pytest.mark.parametrize("diversity", [0.0, 0.3, 0.9])
def test_the_first_is_the_best_and_none_comes_twice(diversity):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = rng.random(50)
    chosen = choose(scores, 50, vectors=vectors, diversity=diversity)
    assert chosen[0] == scores.argmax()
    assert sorted(chosen) == list(range(50))
