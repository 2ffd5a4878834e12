import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from towers.config import TowersError
from towers.data import prepare
from towers.encoders.history import events
from towers.features import Items, Users, item_features, text_features, user_features
from towers.model import ThreeTowers
from towers.scoring import encode_items, encode_tags, encode_users
from towers.topk import top_k
from towers.training.loop import train
from towers.training.validation import validate


@pytest.fixture(scope="module")
def trained(shop, small):
    seen = []
    return train(shop.data, small, progress=seen.append), seen


def popularity_recall(data, config):
    ready = prepare(data, config)
    counts = torch.bincount(ready.events.items[ready.train], minlength=len(data.item_ids)).float()
    hits = 0
    for place in ready.validation.tolist():
        start = int(ready.events.offsets[ready.users[place]])
        left = counts.clone()
        left[ready.events.items[start:place]] = -1
        hits += int(ready.events.items[place]) in left.topk(10).indices.tolist()
    return hits / len(ready.validation)


def test_it_beats_popularity_and_tells_of_each_epoch(trained, shop, small):
    result, seen = trained
    assert result.best.recall > 2 * popularity_recall(shop.data, small)
    assert tuple(seen) == result.epochs
    assert result.best.ndcg == max(epoch.ndcg for epoch in seen)
    assert seen[-1].loss < seen[0].loss


def test_it_is_deterministic_and_leaves_the_global_seed_alone(shop, small):
    config = small.but(training={"max_epochs": 2})
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = train(shop.data, config)
    assert torch.equal(torch.rand(1), expected)
    second = train(shop.data, config)
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    third = train(shop.data, config.but(training={"seed": 1}))
    assert not torch.equal(first.model.text.weight, third.model.text.weight)


def test_it_stops_when_it_no_longer_improves_and_keeps_the_best(shop, small):
    result = train(shop.data, small.but(training={"max_epochs": 40, "patience": 2, "learning_rate": 0.03}))
    assert len(result.epochs) < 40
    assert len(result.epochs) - result.best.number == 2
    # The weights kept are those of the best epoch, not of the last.
    assert validate(result.model, prepare(shop.data, small)) == (result.best.recall, result.best.ndcg)


def test_without_held_out_events_the_last_epoch_is_kept(shop, small):
    result = train(shop.data, small.but(training={"validation_share": 0.0, "max_epochs": 2, "patience": 1}))
    assert result.best.number == 2
    assert math.isnan(result.best.recall)


def test_a_loss_that_is_not_finite_names_the_remedy(shop, small):
    with pytest.raises(TowersError, match="lower .*learning_rate"):
        train(shop.data, small.but(training={"learning_rate": 1e30}))


def test_an_event_is_predicted_from_earlier_ones_only(shop, small):
    """Changing what stands at and after an event doesn't change the user it is predicted from."""
    torch.manual_seed(0)
    model = ThreeTowers(small).eval()
    ready = prepare(shop.data, small)
    place = 5  # of the first user, whose events stand first
    vectors = encode_items(model, ready.features)

    def asked(items):
        window = replace(ready.events, items=items).before(
            torch.tensor([place]), torch.tensor([0]), small.features.history
        )
        return model.users(ready.people.select(torch.tensor([0])), window, vectors)

    later, earlier = ready.events.items.clone(), ready.events.items.clone()
    later[place:] = (later[place:] + 1) % shop.n_items
    earlier[place - 1] = (earlier[place - 1] + 1) % shop.n_items
    assert torch.equal(asked(ready.events.items), asked(later))
    assert not torch.allclose(asked(ready.events.items), asked(earlier))


def test_new_items_and_new_tags_are_placed_by_their_words(trained, shop, small):
    """Neither item was in the catalogue; the tags are no tag text of training."""
    model = trained[0].model
    old = encode_items(model, prepare(shop.data, small).features)
    new = item_features(Items(["new1", "new2"], ["violet nail polish", "violet beard oil"], ["", ""]), small)
    tags = text_features(["glossy nail polish", "daily beard oil"], small)
    new_vectors, said = encode_items(model, new), encode_tags(model, tags)
    _, rows = top_k(said, old, 10)
    kinds = shop.kinds[rows.numpy()]
    assert (kinds[0] == 0).mean() >= 0.8
    assert (kinds[1] == 5).mean() >= 0.8
    assert (said @ new_vectors.T).argmax(1).tolist() == [0, 1]


def test_users_are_encoded_from_their_history_also_unknown_ones(trained, shop, small):
    model = trained[0].model
    vectors = encode_items(model, prepare(shop.data, small).features)
    polish = np.flatnonzero(shop.kinds == 0)[4:8]
    histories = events([(polish, np.ones(4), np.arange(4)), (np.array([]),) * 3])
    users = encode_users(model, user_features(Users(["never seen", "empty"]), small), histories, vectors, now=4)
    assert users.shape == (2, small.network.dim)
    _, rows = top_k(users[:1], vectors, 10)
    assert (shop.kinds[rows.numpy()[0]] == 0).mean() >= 0.4


def test_frozen_vectors_are_an_input(shop, small):
    rng = np.random.default_rng(0)
    meaning = rng.normal(size=(10, 24)).astype(np.float32)
    config = small.but(inputs={"vector_dim": 24}, training={"max_epochs": 2})
    data = replace(
        shop.data,
        titles=[""] * shop.n_items,
        categories=[""] * shop.n_items,
        tag_texts=["?"] * 10,
        tag_items=np.arange(shop.n_items),
        tag_rows=shop.kinds,
        item_vectors=meaning[shop.kinds],
        tag_vectors=meaning,
    )
    model = train(data, config).model
    vectors = encode_items(model, prepare(data, config).features)
    said = encode_tags(model, text_features(["?"] * 10, config, meaning))
    _, rows = top_k(said, vectors, 10)
    assert (shop.kinds[rows.numpy()] == np.arange(10)[:, None]).mean() > 0.9
