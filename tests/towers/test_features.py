import json

import numpy as np
import pytest
import torch

from towers.config import FeatureSettings, TowersConfig, TowersError
from towers.features import hash_rows, item_features, text_features

CONFIG = TowersConfig(features=FeatureSettings(table_rows=100, text_rows=500))


def test_an_unknown_id_has_a_row_and_the_same_id_always_the_same():
    rows = hash_rows(["a", "b", "a", "never seen", ""], 100, "item")
    assert rows[0] == rows[2]
    assert ((rows >= 0) & (rows < 100)).all()


def test_ids_spread_over_the_table():
    counts = torch.bincount(hash_rows([f"user{n}" for n in range(10_000)], 100, "user"), minlength=100)
    assert counts.min() > 60
    assert counts.max() < 140  # 100 each, give or take four deviations


def test_category_words_are_part_of_the_text():
    with_category = item_features(["1"], ["Gold"], ["Nail Polish"], CONFIG)
    assert torch.equal(with_category.text.bags.rows, text_features(["gold nail polish"], CONFIG).bags.rows)


def test_select_keeps_all_parts_together():
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    config = CONFIG.but(inputs={"vector_dim": 3})
    titles = ["one thing", "two", "", "four more words"]
    whole = item_features(list("abcd"), titles, ["x", "y", "", "x"], config, vectors)
    part = whole.select(torch.tensor([3, 1]))
    alone = item_features(["d", "b"], [titles[3], titles[1]], ["x", "y"], config, vectors[[3, 1]])
    for mine, theirs in (
        (part.ids, alone.ids),
        (part.categories, alone.categories),
        (part.text.bags.rows, alone.text.bags.rows),
        (part.text.vectors, alone.text.vectors),
    ):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(("width", "given"), [(0, (2, 3)), (3, None), (3, (2, 4)), (3, (1, 3))])
def test_vectors_against_the_config_are_refused(width, given):
    vectors = None if given is None else np.zeros(given, dtype=np.float32)
    with pytest.raises(TowersError, match="vectors of shape"):
        text_features(["a", "b"], CONFIG.but(inputs={"vector_dim": width}), vectors)


def test_sequences_that_are_not_parallel_are_refused():
    with pytest.raises(TowersError, match="not parallel"):
        item_features(["a", "b"], ["one"], ["", ""], CONFIG)


@pytest.mark.parametrize(
    "wrong",
    [
        {"network": {"dim": 0}},
        {"network": {"dropout": 1.0}},
        {"network": {"body": "wide"}},
        {"network": {"tasks": ("fly",)}},
        {"features": {"pools": ("mean", "median")}},
        {"features": {"pools": ()}},
        {"loss": {"temperature": 0.0}},
        {"loss": {"tag": -1.0}},
        {"loss": {"calibration": 1.1}},
        {"inputs": {"behaviours": ("a", "a")}},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(TowersError):
        TowersConfig().but(**wrong)


def test_feature_hash_moves_with_features_only():
    same = CONFIG.but(network={"dim": 16}, training={"learning_rate": 1.0}, features={"history": 3})
    assert same.feature_hash() == CONFIG.feature_hash()
    swapped = [CONFIG.but(inputs={"behaviours": names}).feature_hash() for names in (("a", "b"), ("b", "a"))]
    others = [CONFIG.but(features={name: 9}).feature_hash() for name in ("text_rows", "table_rows", "category_levels")]
    assert len({CONFIG.feature_hash(), *swapped, *others}) == 6


def test_a_config_comes_back_from_json():
    config = CONFIG.but(
        inputs={"behaviours": ("a", "b")}, network={"tasks": ("b",)}, features={"pools": ("mean", "aged")}
    )
    assert TowersConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
