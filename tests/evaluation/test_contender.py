from dataclasses import replace

import numpy as np
import pytest
import torch
from walk import N_ITEMS, N_USERS, SMALL, walk

from recgpt.evaluation import contender
from recgpt.evaluation.ranking import Log, Questions, Show, rank
from towers.model import ThreeTowers


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ThreeTowers(SMALL)


def asked(show, catalogue=None):
    data = walk()
    live = Log(data.users, data.items, np.zeros(len(data.users)), N_USERS, N_ITEMS)
    return Questions(live, live, np.array([5, 2, 70]), np.zeros(3), show, catalogue)


@pytest.mark.parametrize("catalogue", [None, np.arange(N_ITEMS) % 3 == 0])
def test_new_items_are_those_that_the_ranking_of_all_models_gives(model, catalogue):
    ours = contender.of_users(model, walk(), 100)
    questions = asked(Show.NEW, catalogue)
    found, seconds = ours.answer(questions, 55)
    assert found.tolist() == rank(ours.scores, questions, 55).tolist()
    assert (found == -1).any()
    assert seconds > ours.seconds > 0


def test_nothing_may_be_shown(model):
    found, _ = contender.of_users(model, walk(), 100).answer(asked(Show.NEW, np.zeros(N_ITEMS, dtype=bool)), 3)
    assert (found == -1).all()


def test_the_term_for_repeats_stands_on_what_the_user_had():
    """The same weights, asked at another moment: only the user's own items score otherwise."""
    torch.manual_seed(0)
    model = ThreeTowers(SMALL.but(network={"repeats": True}))
    for weight in model.repeats.parameters():
        torch.nn.init.normal_(weight)
    data, who = walk(), np.array([3, 90])
    ours = contender.of_users(model, data, 10)
    later = contender.of_users(model, data, np.where(np.arange(N_USERS) == 90, 10, 10 + 30 * 86_400))
    plain = replace(ours, habit=None).scores(who)
    had = asked(Show.ALL).live.counts()[who].toarray() > 0
    scores = ours.scores(who)
    assert scores[~had] == pytest.approx(plain[~had])
    assert (np.abs(scores - plain)[had] > 1e-4).all()
    assert (np.abs(later.scores(who) - scores)[0][had[0]] > 1e-4).all()  # user 3 is asked a month later
    assert later.scores(who)[1] == pytest.approx(scores[1])
    repeats, _ = ours.answer(replace(asked(Show.REPEATS), users=who), 3)
    assert had[np.arange(2)[:, None], repeats].all()


def test_user_vectors_of_another_task():
    torch.manual_seed(0)
    config = SMALL.but(inputs={"behaviours": ("view", "cart")})
    model = ThreeTowers(config.but(network={"tasks": ("view", "cart")}))
    first, second = (contender.of_users(model, walk(), 10, task=task).users for task in (0, 1))
    assert not torch.allclose(first, second)


def test_tags_ask_in_the_place_of_users(model):
    ours = contender.of_tags(model, walk())
    assert ours.users.shape == (len(walk().tag_texts), SMALL.network.width)
    assert ours.scores(np.array([1])).shape == (1, N_ITEMS)
