from dataclasses import replace

import numpy as np
import pytest
from walk import N_ITEMS, N_USERS, SMALL, walk

from recgpt.evaluation import contender, metrics
from recgpt.evaluation.contender import part
from recgpt.evaluation.leave_one_out import Way, for_histories, for_training, questions
from recgpt.evaluation.peers import POPULARITY, choose, neighbours
from towers.training.loop import train

USERS = np.array([0, 1, 0, 2, 0, 1, 0, 1, 2])
ITEMS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8])


def test_the_last_event_is_asked_and_the_one_before_is_the_validation():
    asked = questions(USERS, ITEMS, 4, 9)
    assert dict(zip(asked.validation.users, asked.validation.wanted, strict=True)) == {0: 4, 1: 5}
    for way in Way:
        test = asked.test(way)
        assert dict(zip(test.users, test.wanted, strict=True)) == {0: 6, 1: 7}  # user 2 has two events
        assert test.live.items.tolist() == [0, 1, 2, 3, 4, 5, 8]
    assert asked.strict.learnt.items.tolist() == asked.validation.live.items.tolist() == [0, 1, 2, 3, 8]
    assert asked.refitted.learnt.items.tolist() == [0, 1, 2, 3, 4, 5, 8]
    assert (asked.test(Way.STRICT), asked.test(Way.REFITTED)) == (asked.strict, asked.refitted)


def test_ages_are_places_within_what_is_known():
    asked = questions(USERS, ITEMS, 4, 9)
    assert asked.validation.live.ages.tolist() == [1, 0, 0, 1, 0]
    assert asked.strict.live.ages.tolist() == [2, 1, 1, 1, 0, 0, 0]


def test_the_towers_are_given_the_same_split():
    data = walk()
    asked, given = questions(data.users, data.items, N_USERS, N_ITEMS), for_training(data)
    assert (given.held_out.sum(), given.unused.sum()) == (N_USERS, N_USERS)
    assert given.items[given.held_out].tolist() == asked.validation.wanted.tolist()
    assert given.items[given.unused].tolist() == asked.strict.wanted.tolist()
    refitted = for_training(data, Way.REFITTED)
    assert not refitted.held_out.any()
    assert refitted.unused.tolist() == given.unused.tolist()
    known, moments = for_histories(data)
    assert known.items.tolist() == asked.strict.live.items.tolist()
    assert known.held_out is None
    assert (moments == data.times.max()).all()


def test_everybody_is_asked_at_the_moment_of_their_own_test_event():
    data = replace(walk(), times=np.arange(N_USERS * 10), user_ids=[*walk().user_ids, "nobody"])
    _, moments = for_histories(data)
    assert moments[:3].tolist() == [9, 19, 29]
    assert moments[-1] == N_USERS * 10 - 1


def test_a_part_keeps_what_belongs_to_its_events():
    data = walk()
    kept = np.arange(len(data.users)) % 3 == 0
    less = part(data, kept)
    for name in ("users", "items", "behaviours", "times"):
        assert getattr(less, name).tolist() == getattr(data, name)[kept].tolist()
    assert less.item_ids == data.item_ids


@pytest.fixture(scope="module")
def answers():
    """NDCG@10 a user of each model on the same questions."""
    data = walk()
    asked = questions(data.users, data.items, N_USERS, N_ITEMS).strict
    trained = train(for_training(data), SMALL)
    model = contender.of_users(trained.model, *for_histories(data))
    rankings = {"towers": model.answer(asked, 10)[0]}
    for peer in (POPULARITY, neighbours((1.0, 2.0))):
        fitted = choose(peer, questions(data.users, data.items, N_USERS, N_ITEMS).validation)
        rankings[peer.name] = fitted.answer(asked, 10)[0]
    return asked, rankings


def test_neighbours_and_towers_find_what_popularity_can_not(answers):
    asked, rankings = answers
    ndcg = {name: metrics.mean(metrics.ndcg(ranking, asked.wanted, 10)).value for name, ranking in rankings.items()}
    assert ndcg["towers"] > 2 * ndcg["popularity"]
    assert ndcg["item-kNN decay"] > 2 * ndcg["popularity"]


def test_what_the_user_had_is_never_recommended(answers):
    asked, rankings = answers
    had = asked.live.counts().toarray() > 0
    for ranking in rankings.values():
        for user, row in zip(asked.users, ranking, strict=True):
            assert not had[user, row].any()
