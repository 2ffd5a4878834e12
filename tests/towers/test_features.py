import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from towers.config import FeatureSettings, TowersConfig, TowersError
from towers.encoders.table import keys
from towers.features import (
    Items,
    Users,
    item_features,
    item_fields,
    item_numbers,
    text_features,
    user_features,
    user_fields,
)

CONFIG = TowersConfig(features=FeatureSettings(table_rows=100, text_rows=500))


RICH = CONFIG.but(
    inputs={"user_fields": ("city",), "item_numbers": ("price", "weight"), "user_numbers": ("age",), "vector_dim": 3},
    features={"category_levels": 2, "brand": True, "user_id": True, "base": True, "numbers": True, "popularity": True},
)


def rich_items(order):
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    columns = (list("abcd"), ["one thing", "two", "", "four"], ["X > Y > Z", "X > W", "", "X"], ["p", "", "q", "p"])
    numbers = np.array([[1, 2], [3, np.nan], [5, 6], [7, 8]])
    picked = ([column[n] for n in order] for column in columns)
    return Items(*picked, numbers[order], vectors[order], np.array([[0, 0], [1, 1], [2, 1], [9, 6]])[order])


def test_category_words_are_part_of_the_text():
    with_category = item_features(Items(["1"], ["Gold"], ["Nail Polish"]), CONFIG)
    assert torch.equal(with_category.text.bags.rows, text_features(["gold nail polish"], CONFIG).bags.rows)


def test_an_items_keys_are_its_id_the_prefixes_of_its_path_and_its_brand():
    assert item_fields(RICH) == ("item", "category 1", "category 2", "brand")
    found = item_features(rich_items([0, 1, 2, 3]), RICH).keys
    # A path of one step has no prefix that is not the whole.
    for column, texts in enumerate((list("abcd"), ["X", "X", "", ""], ["X > Y > Z", "X > W", "", "X"])):
        assert torch.equal(found[:, column], keys(texts))
    assert torch.equal(found[:, 3], keys(["p", "", "q", "p"]))
    deeper = item_features(rich_items([0, 1]), RICH.but(features={"category_levels": 4})).keys
    for column, texts in enumerate((["X", "X"], ["X > Y", ""], ["", ""], ["X > Y > Z", "X > W"]), start=1):
        assert torch.equal(deeper[:, column], keys(texts))
    nameless = RICH.but(features={"item_id": False, "category_levels": 0, "brand": False})
    assert item_features(rich_items([0, 1]), nameless).keys.shape == (2, 0)


def test_numbers_come_with_popularity_last():
    found = item_features(rich_items([0, 1, 2, 3]), RICH).numbers
    assert item_numbers(RICH) == ("price", "weight", "popularity")
    assert found[:, 2].tolist() == pytest.approx(np.log([1, 2, 3, 10]).tolist())
    assert found[1, 1].isnan()
    assert found[:, 0].tolist() == [1, 3, 5, 7]
    assert item_features(rich_items([0]), RICH.but(features={"numbers": False})).numbers.shape == (1, 1)


def test_habits_are_how_often_an_item_is_taken_and_how_often_by_one_user():
    habits = CONFIG.but(inputs=vars(RICH.inputs), network={"repeats": True})
    found = item_features(rich_items([0, 1, 2, 3]), habits)
    assert found.numbers.shape == (4, 0)
    assert found.habits[:, 0].tolist() == pytest.approx(np.log10([1, 2, 3, 10]).tolist())
    assert found.habits[:, 1].tolist() == pytest.approx(np.log([1, 1, 2, 1.5]).tolist())
    unread = item_features(replace(rich_items([0, 1, 2, 3]), vectors=None), CONFIG).habits
    assert unread.shape == found.habits.shape
    assert not unread.any()
    for counts in (None, np.ones(1), np.ones((1, 3)), np.ones((2, 2))):
        with pytest.raises(TowersError, match="two counts of each of the 1 items"):
            item_features(replace(rich_items([3]), counts=counts), habits)


def test_without_numbers_there_is_a_column_of_none():
    assert item_features(Items(["1"], [""], [""]), CONFIG).numbers.shape == (1, 0)


def test_a_users_keys_are_the_id_and_the_base_features():
    users = Users(["u", "v"], {"city": ["Rome", ""], "unread": ["x", "y"]}, np.array([[30.0], [np.nan]]))
    found = user_features(users, RICH)
    assert user_fields(RICH) == ("user", "base city")
    assert torch.equal(found.keys, torch.stack([keys(["u", "v"]), keys(["Rome", ""])], dim=1))
    assert found.numbers[0].tolist() == [30]
    assert found.numbers[1].isnan().all()
    assert user_features(Users(["u"]), CONFIG).keys.shape == (1, 0)


def test_what_the_towers_read_must_be_given():
    with pytest.raises(TowersError, match="the users' city"):
        user_features(Users(["u"], {}, np.zeros((1, 1))), RICH)
    with pytest.raises(TowersError, match=r"shape \(1, 1\) \(age\), got none"):
        user_features(Users(["u"], {"city": ["Rome"]}), RICH)
    with pytest.raises(TowersError, match=r"shape \(4, 2\) \(price, weight\), got \(4, 1\)"):
        item_features(replace(rich_items([0, 1, 2, 3]), numbers=np.zeros((4, 1))), RICH)
    with pytest.raises(TowersError, match="counts"):
        item_features(replace(rich_items([0, 1]), counts=None), RICH)


def test_select_keeps_all_parts_together():
    part = item_features(rich_items([0, 1, 2, 3]), RICH).select(torch.tensor([3, 1]))
    alone = item_features(rich_items([3, 1]), RICH)
    for mine, theirs in (
        (part.keys, alone.keys),
        (part.numbers.nan_to_num(-1), alone.numbers.nan_to_num(-1)),
        (part.text.bags.rows, alone.text.bags.rows),
        (part.text.vectors, alone.text.vectors),
        (part.habits, alone.habits),
    ):
        assert torch.equal(mine, theirs)
    users = Users(["u", "v"], {"city": ["Rome", "Bonn"]}, np.array([[1.0], [2.0]]))
    second = user_features(users, RICH).select(torch.tensor([1]))
    assert torch.equal(second.keys, torch.stack([keys(["v"]), keys(["Bonn"])], dim=1))
    assert second.numbers.tolist() == [[2]]


@pytest.mark.parametrize(("width", "given"), [(0, (2, 3)), (3, None), (3, (2, 4)), (3, (1, 3))])
def test_vectors_against_the_config_are_refused(width, given):
    vectors = None if given is None else np.zeros(given, dtype=np.float32)
    with pytest.raises(TowersError, match="vectors of shape"):
        text_features(["a", "b"], CONFIG.but(inputs={"vector_dim": width}), vectors)


def test_sequences_that_are_not_parallel_are_refused():
    with pytest.raises(TowersError, match="not parallel"):
        item_features(Items(["a", "b"], ["one"], ["", ""]), CONFIG)
    with pytest.raises(TowersError, match="not parallel"):
        item_features(Items(["a", "b"], ["", ""], ["", ""], ["x"]), CONFIG)


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
