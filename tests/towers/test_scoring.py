import pytest
import torch

from towers import scoring
from towers.encoders.history import events
from towers.features import Items, Users, item_features, text_features, user_features
from towers.model import ThreeTowers
from towers.scoring import encode_items, encode_tags, encode_users

IDS = list("abcde")
NOW = 10 * 86400


@pytest.fixture
def made(small):
    """Towers of two tasks that still train, with dropout, and five items and users."""
    config = small.but(network={"tasks": ("view", "purchase"), "dropout": 0.5}, features={"pools": ("sequence",)})
    torch.manual_seed(0)
    model = ThreeTowers(config).train()
    items = item_features(Items(IDS, [f"thing {name}" for name in IDS], [""] * 5), config)
    people = user_features(Users(IDS), config)
    past = events([([n, (n + 1) % 5], [0, 1], [NOW - 86400 * n, NOW - 3600 * n]) for n in range(5)])
    return model, items, people, past


@pytest.mark.parametrize("batch", [1, 2, 4096])
def test_batches_change_nothing_and_dropout_is_off(made, monkeypatch, batch):
    model, items, people, past = made
    monkeypatch.setattr(scoring, "BATCH", batch)
    vectors = encode_items(model, items)
    model.eval()
    assert torch.allclose(vectors, model.items(items), atol=1e-6)
    model.train()
    users = encode_users(model, people, past, vectors, NOW)
    window = past.latest(torch.arange(5), model.config.features.history, NOW)
    model.eval()
    both = model.users(people, window, vectors)
    assert torch.allclose(users, both[:, 0], atol=1e-6)
    assert not torch.allclose(users, both[:, 1], atol=0.01)
    model.train()
    text = text_features(["red", "blue", ""], model.config)
    tags = encode_tags(model, text)
    model.eval()
    assert torch.allclose(tags, model.tags(text), atol=1e-6)
    assert not any(found.requires_grad for found in (vectors, users, tags))


def test_a_user_stays_who_they_are_until_they_do_something(made):
    model, items, people, past = made
    vectors = encode_items(model, items)
    now, later = (encode_users(model, people, past, vectors, moment) for moment in (NOW, NOW + 30 * 86400))
    assert torch.allclose(now, later, atol=1e-6)


def test_nobody_and_nothing_have_vectors_of_the_width(made):
    model, items, people, past = made
    width = model.config.network.dim
    nobody = torch.zeros(0, dtype=torch.int64)
    vectors = encode_items(model, items)
    assert encode_items(model, items.select(nobody)).shape == (0, width)
    assert encode_users(model, people.select(nobody), past, vectors, NOW).shape == (0, width)
    assert encode_tags(model, text_features([], model.config)).shape == (0, width)
