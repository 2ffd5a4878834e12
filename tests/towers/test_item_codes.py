from dataclasses import replace

import numpy as np
import pytest
import torch

from towers import checkpoint
from towers.config import TowersError
from towers.data import prepare
from towers.encoders.semantic_ids import prefix_keys
from towers.features import Items, item_features
from towers.item_codes import HASHED, SINGULAR, ItemCodes, collaborative
from towers.model import ThreeTowers
from towers.scoring import encode_items
from towers.training.loop import train


@pytest.fixture
def config(small):
    return small.but(features={"semantic_levels": 2, "semantic_codes": 10})


def test_collaborative_vectors_are_those_of_the_normalised_matrix(shop, small):
    ready = prepare(shop.data, small)
    items, users = ready.events.items[ready.train], ready.users[ready.train]
    matrix = torch.zeros(shop.n_items, 150, dtype=torch.float64)
    for item, user in zip(items.tolist(), users.tolist(), strict=True):
        matrix[item, user] += 1
    matrix /= (matrix.sum(1, keepdim=True).clamp(min=1) * matrix.sum(0).clamp(min=1)).sqrt()
    found = collaborative(ready, 0).double()
    sizes = torch.linalg.svdvals(matrix)
    assert torch.allclose(found.norm(dim=0)[:5], sizes[:5], rtol=1e-3)
    nearest = torch.linalg.svd(matrix)[0][:, :5] * sizes[:5]
    assert torch.allclose(found[:, :5] @ found[:, :5].T, nearest @ nearest.T, atol=2e-2)
    unseen = torch.bincount(items, minlength=shop.n_items) == 0
    assert (found[unseen] == 0).all()
    torch.manual_seed(9)  # of no matter
    assert torch.equal(collaborative(ready, 0).double(), found)
    assert not torch.equal(collaborative(ready, 1).double(), found)


def test_few_users_leave_zeros_beyond(shop, small):
    data = replace(shop.data, unused=shop.data.users > 2)
    ready = prepare(data, small)
    found = collaborative(ready, 0)
    assert found.shape == (shop.n_items, SINGULAR)
    assert found.isfinite().all()
    unseen = torch.ones(shop.n_items, dtype=torch.bool)
    unseen[ready.events.items[ready.train]] = False
    assert (found[unseen] == 0).all()  # to the last bit: what is not zero is made of length one
    assert (found[~unseen].abs().sum(1) > 0).all()  # also of an item with one event


def test_content_is_the_mean_of_fixed_random_vectors(config):
    text = item_features(Items(["a", "b"], ["red soap", ""], ["", ""]), config).text
    pieces = torch.randn(config.features.text_rows, HASHED, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([pieces[text.bags.rows].mean(0), torch.zeros(HASHED)])  # all pieces are the first's
    assert torch.allclose(ItemCodes(config)._content(text), expected, atol=1e-6)


def test_ids_beyond_all_that_are_known_are_new(shop, config):
    codes = ItemCodes(config)
    codes.fit(prepare(shop.data, config))
    names = [f"new {n}" for n in range(1000)]
    new = item_features(Items(names, ["red soap"] * 1000, [""] * 1000), config)
    assert new.keys[:, 0].max() > codes.known.max()
    assert len(codes.add(new).keys[:, -2:].unique(dim=0)) == 1  # all alike, by their content


def test_codes_say_what_an_item_is_and_new_items_are_coded_by_content(shop, config):
    ready = prepare(shop.data, config)
    codes = ItemCodes(config)
    codes.fit(ready)
    first = codes.codes[torch.searchsorted(codes.known, ready.features.keys[:, 0])][:, 0]  # in catalogue order
    for kind in range(10):
        shares = torch.bincount(first[torch.from_numpy(shop.kinds) == kind])
        assert shares.max() >= 6  # of twelve
    keys = codes.add(ready.features).keys
    assert torch.equal(keys[:, :-2], ready.features.keys)
    at = torch.searchsorted(codes.known, ready.features.keys[:, 0])
    assert torch.equal(keys[:, -2:], prefix_keys(codes.codes[at]))
    new = codes.add(item_features(Items(["new"], ["violet nail polish number 3"], ["Shop > nail polish"]), config)).keys
    assert new[0, -2] in keys[:12, -2]


def test_codes_travel_with_the_weights(shop, config, tmp_path):
    result = train(shop.data, config.but(training={"max_epochs": 1}))
    checkpoint.save(tmp_path / "c", result.model, metrics={}, item_ids=[])
    loaded = checkpoint.load(tmp_path / "c").model
    features = prepare(shop.data, config).features
    assert len(loaded.codes.known) == shop.n_items
    assert torch.equal(loaded.codes.known, result.model.codes.known)
    assert torch.equal(loaded.codes.codes, result.model.codes.codes)
    assert torch.equal(encode_items(loaded, features), encode_items(result.model, features))
    assert torch.equal(loaded.coded(loaded.coded(features)).keys, loaded.coded(features).keys)


def test_the_codes_of_an_item_that_was_seen_stay_when_its_title_changes(shop, config):
    ready = prepare(shop.data, config)
    model = ThreeTowers(config)
    ready = model.observe(ready, measure=True)
    renamed = item_features(Items(shop.data.item_ids, ["?"] * shop.n_items, [""] * shop.n_items), config)
    assert torch.equal(model.coded(renamed).keys[:, -2:], ready.features.keys[:, -2:])


def test_sentence_vectors_are_the_content_where_there_are_some(shop, config):
    config = config.but(inputs={"vector_dim": 10})
    vectors = np.eye(10, dtype=np.float32)[shop.kinds]
    n = shop.n_items
    data = replace(
        shop.data,
        item_vectors=vectors,
        titles=[""] * n,
        categories=[""] * n,
        tag_texts=(),
        tag_items=None,
        tag_rows=None,
    )
    codes = ItemCodes(config)
    codes.fit(prepare(data, config))
    alone = item_features(Items(["x", "y"], ["", ""], ["", ""], vectors=vectors[[0, n - 1]]), config)
    found = codes.add(alone).keys[:, -2]
    assert found[0] != found[1]


def test_codes_need_ids(config):
    with pytest.raises(TowersError, match=r"needs features\.item_id"):
        config.but(features={"item_id": False})
