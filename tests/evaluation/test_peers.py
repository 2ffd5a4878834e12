import numpy as np
import pytest

from recgpt.evaluation.baselines import OwnCounts, Popularity
from recgpt.evaluation.peers import Peer, als, choose, ease, neighbours, own_counts, values
from recgpt.evaluation.ranking import Log, Questions, Show

# User 0 had item 0 twice long ago and item 1 just now; user 1 had item 2.
LIVE = Log(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 2]), np.array([40.0, 40.0, 0.0, 5.0]), 2, 4)
ASKED = Questions(LIVE, LIVE, np.array([0]), [np.array([1])], Show.REPEATS)


def test_the_half_life_is_chosen_on_validation():
    fitted = choose(own_counts((1000.0, 10.0)), ASKED)
    assert (fitted.half_life, fitted.ndcg) == (10.0, 1.0)  # at 1,000 days two old events weigh more than a new one
    ranking, seconds = fitted.answer(ASKED, 2)
    assert ranking.tolist() == [[1, 0]]
    assert seconds > 0


def test_the_strength_is_chosen_on_validation_and_the_first_wins_a_tie():
    seen = []

    def fit(counts, strength):
        seen.append((strength, counts.toarray().tolist()))
        return Popularity(counts * (-1 if strength < 2 else 1))

    asked = Questions(LIVE, LIVE, np.array([1]), np.array([0]), Show.NEW)
    fitted = choose(Peer("p", fit, strengths=(1.0, 2.0, 3.0)), asked)
    assert (fitted.strength, fitted.ndcg) == (2.0, 1.0)  # 0 is the most popular
    assert [strength for strength, _ in seen] == [1.0, 2.0, 3.0]
    again = fitted.again(LIVE.counts() * 2)
    assert seen[-1] == (2.0, (LIVE.counts() * 2).toarray().tolist())
    assert (again.strength, again.half_life, again.ndcg) == (2.0, np.inf, 1.0)


def test_weights_read_what_may_be_learnt_and_histories_what_is_live():
    learnt = Log(np.array([1, 1]), np.array([3, 3]), np.zeros(2), 2, 4)
    asked = Questions(learnt, LIVE, np.array([0]), np.array([3]), Show.ALL)
    given = []

    class Model:
        def scores(self, history):
            given.append(history.toarray().tolist())
            return np.zeros(history.shape, np.float32)

    def fit(counts, _):
        assert counts.toarray().tolist() == [[0, 0, 0, 0], [0, 0, 0, 2]]
        return Model()

    choose(Peer("p", fit, half_lives=(40.0,)), asked)
    assert given == [[[0.5, 1, 0, 0]]]
    choose(Peer("p", fit, half_lives=(40.0,), sums=True), asked)
    assert given[1] == [[1.0, 1, 0, 0]]


def test_names_and_models():
    counts = LIVE.counts()
    assert ease((1.0,)).name == "EASE"
    assert ease((1.0,), (2.0,)).name == "EASE decay"
    assert len(ease((1.0,), most=2).fit(counts, 1.0).known) == 2
    assert neighbours((1.0,)).fit(counts, 3.0).similar.nnz == 2  # items 0 and 1 of user 0
    assert isinstance(own_counts((1.0,)).fit(counts, 0.0), OwnCounts)
    assert als(8, (1.0,), 2.0).name == "ALS-8"


def test_values_of_each_metric():
    found = values(np.array([[3, 1]]), ASKED, 2)
    assert {name: value.tolist() for name, value in found.items()} == {
        "recall@2": [1.0],
        "ndcg@2": [pytest.approx(1 / np.log2(3))],
        "mrr@2": [0.5],
    }
