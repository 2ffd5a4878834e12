"""The range of every setting, from both sides of its ends, and the settings that need each other."""

import hashlib
import json
from dataclasses import asdict

import pytest

from towers.config import FEATURE_FORMAT, SettingsError, TowersConfig

TWO = TowersConfig().but(inputs={"behaviours": ("view", "purchase")})
JUST_BELOW_1 = 1 - 2**-53

# Of each setting the values at the ends of its range that it may have, and those next to them that it may not.
RANGES = {
    "inputs": {"vector_dim": ([0, 384], [-1])},
    "features": {
        **{name: ([1], [0]) for name in ("table_rows", "hashes", "text_rows", "history", "semantic_codes")},
        **{name: ([0], [-1]) for name in ("category_levels", "semantic_levels")},
        "rare": ([0.0, 0.5], [-1e-9]),
        "pools": ([("mean",), ("aged", "recency")], [(), ("mean", "mean"), ("median",)]),
        "numeric": (["log"], ["linear"]),
    },
    "network": {
        **{name: ([1], [0]) for name in ("dim", "hidden", "depth", "experts", "interaction_layers")},
        **{name: ([0.0, JUST_BELOW_1], [-1e-9, 1.0]) for name in ("dropout", "id_dropout")},
        "tasks": ([(), ("view",), ("purchase", "view")], [("view", "view"), ("fly",)]),
        "body": (["resnet"], ["wide"]),
    },
    "loss": {
        **{name: ([1], [0]) for name in ("negatives", "full_items")},
        **{name: ([0.0, 2.0], [-1e-9]) for name in ("tag", "category", "corruption", "distillation")},
        "chain": ([0.0], [-1e-9]),
        "corruption_share": ([0.0, JUST_BELOW_1], [-1e-9, 1.0]),
        "temperature": ([0.01, 1.0, 1], [0.00999, 1.001]),
        "calibration": ([0, 0.0, 1, 1.0], [-1e-9, 1.001]),
        "user_item": (["gbce"], ["all"]),
    },
    "training": {
        **{name: ([1], [0]) for name in ("batch_size", "max_epochs", "patience", "validation_events")},
        **{name: ([0], [-1, -1e-9]) for name in ("weight_decay", "warmup_steps", "clip_norm", "pretrain_epochs")},
        "learning_rate": ([1e-9, 1.0], [0.0, -0.5]),
        "final_rate": ([0, 0.0, 1, 1.0], [-1e-9, 1.001]),
        **{name: ([0.0, JUST_BELOW_1], [-1e-9, 1.0]) for name in ("validation_share", "ema")},
        "tables": (["row_wise_adam"], ["adam"]),
    },
}
ALLOWED, REFUSED = (
    [(part, name, value) for part, names in RANGES.items() for name, ends in names.items() for value in ends[side]]
    for side in (0, 1)
)


def test_a_pair_is_served_at_twice_the_width_and_a_prior_as_one_number_more():
    for pair, prior, served in ((False, False, 8), (True, False, 16), (False, True, 9), (True, True, 17)):
        network = TWO.but(network={"dim": 8, "pair": pair, "prior": prior}).network
        assert (network.members, network.width, network.served) == (1 + pair, 8 * (1 + pair), served)


@pytest.mark.parametrize(("part", "name", "value"), ALLOWED)
def test_a_range_goes_up_to_its_ends(part, name, value):
    assert getattr(getattr(TWO.but(**{part: {name: value}}), part), name) == value


@pytest.mark.parametrize(("part", "name", "value"), REFUSED)
def test_and_not_beyond(part, name, value):
    with pytest.raises(SettingsError, match=name):
        TWO.but(**{part: {name: value}})


def test_behaviours_are_named_each_once():
    for wrong in ((), ("view", "view")):
        with pytest.raises(SettingsError, match="behaviours"):
            TowersConfig().but(inputs={"behaviours": wrong})


def test_what_needs_something_else():
    chain = {"chain": 0.5}
    with pytest.raises(SettingsError, match="at least two tasks"):
        TWO.but(loss=chain)
    with pytest.raises(SettingsError, match="at least two tasks"):
        TWO.but(loss=chain, network={"tasks": ("view",)})
    TWO.but(loss=chain, network={"tasks": ("purchase", "view")})
    for kind in ("full", "gbce"):
        with pytest.raises(SettingsError, match="repeats needs"):
            TWO.but(network={"repeats": True}, loss={"user_item": kind})
        TWO.but(loss={"user_item": kind})
    for kind in ("auto", "in_batch", "mixed"):
        TWO.but(network={"repeats": True}, loss={"user_item": kind})
    with pytest.raises(SettingsError, match="prior = false"):
        TWO.but(network={"prior": True}, loss={"distillation": 0.5})
    TWO.but(network={"prior": True})
    with pytest.raises(SettingsError, match=r"semantic_levels needs features\.item_id"):
        TWO.but(features={"item_id": False, "semantic_levels": 1})
    TWO.but(features={"semantic_levels": 1})
    TWO.but(features={"item_id": False})


def test_the_feature_hash_is_of_what_chooses_rows():
    features = asdict(TWO.features)
    for name in ("numeric", "rare", "text_pooling", "history", "pools"):
        del features[name]
    values = {"inputs": asdict(TWO.inputs), "features": features, "format": FEATURE_FORMAT}
    content = json.dumps(values, sort_keys=True).encode()
    assert TWO.feature_hash() == "sha256:" + hashlib.sha256(content).hexdigest()
