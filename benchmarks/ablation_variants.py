"""What the ablation compares: a small base, and every block of the towers switched on alone against it.

The base states every setting, so that it stays what it is when defaults change. A variant changes what its name says
and nothing else; weights of loss terms and the like are not tuned. The base is narrow and trained for few epochs,
because some sixty trainings must fit into an hour on one core: differences show what a block does to a small network,
early. The shipped default stands beside it as it is, with its own width and epochs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from towers.config import (
    FeatureSettings,
    Inputs,
    LossSettings,
    NetworkSettings,
    TowersConfig,
    TrainingSettings,
)

Changes = Mapping[str, Mapping[str, Any]]  # as for TowersConfig.but
VECTOR_DIM = 384  # of the packaged sentence encoder
LARGEST_FULL = 20_000  # items of a catalogue for which the softmax over all of them is tried
EPOCHS = 3

FEATURES = FeatureSettings(
    item_id=True,
    category_levels=1,
    brand=False,
    semantic_levels=0,
    semantic_codes=64,
    user_id=False,
    base=False,
    numbers=False,
    popularity=False,
    numeric="quantiles",
    table_rows=1 << 15,
    hashes=1,
    rare=0.0,
    text_rows=1 << 15,
    text_pooling="mean",
    history=20,
    pools=("recency",),
)
NETWORK = NetworkSettings(
    dim=32,
    pair=False,
    hidden=64,
    interaction="none",
    interaction_layers=2,
    body="mlp",
    depth=1,
    head="shared",
    experts=4,
    tasks=(),
    prior=False,
    repeats=False,
    dropout=0.2,
    id_dropout=0.1,
)
LOSS = LossSettings(
    user_item="in_batch",
    full_items=LARGEST_FULL,
    negatives=1024,
    calibration=0.75,
    temperature=0.07,
    learn_temperature=False,
    tag=0.5,
    category=0.0,
    corruption=0.0,
    corruption_share=0.4,
    chain=0.0,
    distillation=0.0,
)
TRAINING = TrainingSettings(
    batch_size=1024,
    max_epochs=EPOCHS,
    patience=EPOCHS,
    learning_rate=3e-3,
    final_rate=0.02,
    weight_decay=1e-2,
    warmup_steps=50,
    clip_norm=0.0,
    ema=0.0,
    tables="adamw",
    ids_after_epoch="go_on",
    pretrain_epochs=0,
    refit=False,
    half_life=0.0,
    horizon=0.0,
    validation_share=0.1,
    validation_events=2048,
    shuffle_ties=True,  # else what exploits the order of a log within a moment looks better than it is
    repeats=False,
    precision="fp32",
    seed=1,
)


@dataclass(frozen=True)
class Variant:
    group: str
    name: str
    changes: Changes
    shipped: bool = False  # changes of the shipped default, not of the base
    teacher: Changes | None = None  # of the base, trained first: what loss.distillation learns from

    @property
    def key(self) -> str:
        return f"{self.group}/{self.name}"


BASE = Variant("base", "base", {})
DEFAULT = Variant("shipped", "default", {}, shipped=True)
TASKS = ("purchase", "coupon")

VARIANTS = [
    BASE,
    Variant("base", "another seed", {"training": {"seed": 2}}),  # how much is chance
    Variant("base", "a third seed", {"training": {"seed": 3}}),
    DEFAULT,
    Variant("shipped", "default, repeats", {"network": {"repeats": True}}, shipped=True),
    Variant("shipped", "default, sentence vectors", {"inputs": {"vector_dim": VECTOR_DIM}}, shipped=True),
    # What does most for the base: does it for the default, too?
    Variant("on the default", "semantic ids", {"features": {"semantic_levels": 3}}, shipped=True),
    Variant("on the default", "recency and aged", {"features": {"pools": ("recency", "aged")}}, shipped=True),
    Variant("on the default", "ids not pre-trained", {"training": {"pretrain_epochs": 0}}, shipped=True),
    Variant("features", "item id off", {"features": {"item_id": False}}),
    Variant("features", "user id", {"features": {"user_id": True}}),
    Variant("features", "category off", {"features": {"category_levels": 0}}),
    Variant("features", "category, 5 levels", {"features": {"category_levels": 5}}),
    Variant("features", "brand", {"features": {"brand": True}}),
    Variant("features", "semantic ids", {"features": {"semantic_levels": 3}}),
    Variant("features", "popularity", {"features": {"popularity": True}}),
    Variant("features", "price, log", {"features": {"numbers": True, "numeric": "log"}}),
    Variant("features", "price, sigmoids", {"features": {"numbers": True, "numeric": "sigmoids"}}),
    Variant("features", "price, distribution", {"features": {"numbers": True, "numeric": "distribution"}}),
    Variant("features", "price, periodic", {"features": {"numbers": True, "numeric": "periodic"}}),
    Variant("features", "price, quantiles", {"features": {"numbers": True, "numeric": "quantiles"}}),
    Variant("features", "price, piecewise", {"features": {"numbers": True, "numeric": "piecewise"}}),
    Variant("features", "base features of users", {"features": {"base": True}}),
    Variant("features", "2 hashes", {"features": {"hashes": 2}}),
    Variant("features", "rare ids lean on a default", {"features": {"rare": 5.0}}),
    Variant("features", "text by attention", {"features": {"text_pooling": "attention"}}),
    Variant("features", "sentence vectors", {"inputs": {"vector_dim": VECTOR_DIM}}),
    Variant("interactions", "FM", {"network": {"interaction": "fm"}}),
    Variant("interactions", "DLRM dots", {"network": {"interaction": "dots"}}),
    Variant("interactions", "DCN-v2", {"network": {"interaction": "cross"}}),
    Variant("interactions", "DCN-v2, low rank", {"network": {"interaction": "cross_low_rank"}}),
    Variant("interactions", "AutoInt", {"network": {"interaction": "autoint"}}),
    Variant("interactions", "Hiformer", {"network": {"interaction": "hiformer"}}),
    Variant("bodies", "depth 2", {"network": {"depth": 2}}),
    Variant("bodies", "ResNet", {"network": {"body": "resnet", "depth": 2}}),
    Variant("bodies", "DenseNet", {"network": {"body": "densenet", "depth": 2}}),
    Variant("bodies", "pair of members", {"network": {"pair": True}}),
    Variant("bodies", "twice as wide", {"network": {"dim": 64, "hidden": 128}}),
    Variant("history", "mean", {"features": {"pools": ("mean",)}}),
    Variant("history", "aged", {"features": {"pools": ("aged",)}}),
    Variant("history", "sequence", {"features": {"pools": ("sequence",)}}),
    Variant("history", "recency and mean", {"features": {"pools": ("recency", "mean")}}),
    Variant("history", "recency and aged", {"features": {"pools": ("recency", "aged")}}),
    Variant("history", "recency and sequence", {"features": {"pools": ("recency", "sequence")}}),
    Variant("history", "50 events", {"features": {"history": 50}}),
    Variant("heads", "MoE", {"network": {"head": "moe"}}),
    Variant("heads", "two tasks, shared bottom", {"network": {"tasks": TASKS}}),
    Variant("heads", "two tasks, MoE", {"network": {"tasks": TASKS, "head": "moe"}}),
    Variant("heads", "two tasks, MMoE", {"network": {"tasks": TASKS, "head": "mmoe"}}),
    Variant("heads", "chain of two tasks", {"network": {"tasks": TASKS[::-1]}, "loss": {"chain": 0.2}}),
    Variant("heads", "prior", {"network": {"prior": True}}),
    Variant("heads", "prior, temperature .4", {"network": {"prior": True}, "loss": {"temperature": 0.4}}),
    Variant("heads", "repeats", {"network": {"repeats": True}}),
    Variant("losses", "mixed negatives", {"loss": {"user_item": "mixed"}}),
    Variant("losses", "full softmax", {"loss": {"user_item": "full"}}),
    Variant("losses", "gBCE", {"loss": {"user_item": "gbce"}}),
    Variant("losses", "category contrast", {"loss": {"category": 0.2}}),
    Variant("losses", "tags off", {"loss": {"tag": 0.0}}),
    Variant("losses", "feature corruption", {"loss": {"corruption": 0.1}}),
    Variant("losses", "learnt temperature", {"loss": {"learn_temperature": True}}),
    Variant("training", "row-wise Adam", {"training": {"tables": "row_wise_adam"}}),
    Variant("training", "row-wise Adagrad", {"training": {"tables": "row_wise_adagrad"}}),
    Variant("training", "ids frozen after an epoch", {"training": {"ids_after_epoch": "freeze"}}),
    Variant("training", "ids reset after an epoch", {"training": {"ids_after_epoch": "reset"}}),
    Variant("training", "ids pre-trained", {"training": {"pretrain_epochs": 3}}),
    Variant("training", "averaged weights", {"training": {"ema": 0.99}}),
    Variant("training", "clipping", {"training": {"clip_norm": 1.0}}),
    Variant("training", "no warm-up", {"training": {"warmup_steps": 0}}),
    Variant("training", "constant rate", {"training": {"final_rate": 1.0}}),
    Variant("training", "ties in the log's order", {"training": {"shuffle_ties": False}}),
    Variant("training", "events of 90 days ago count half", {"training": {"half_life": 90.0}}),
    Variant("training", "two weeks asked for together", {"training": {"horizon": 14.0}}),
    Variant("training", "twice the epochs", {"training": {"max_epochs": 2 * EPOCHS, "patience": 2 * EPOCHS}}),
    Variant(
        "training",
        "distilled from a wider teacher",
        {"loss": {"distillation": 0.5}},
        teacher={"network": {"dim": 128, "hidden": 256}},
    ),
]

QUICK = (
    *("base/another seed", "shipped", "features/popularity", "interactions/DCN-v2", "history/mean"),
    *("heads/two tasks, MMoE", "heads/repeats", "losses/full softmax", "training/row-wise Adam"),
)


def config_of(variant: Variant, inputs: Inputs, *, repeats: bool) -> TowersConfig:
    """Its settings on data of these inputs.

    repeats: people buy the same things again there, so what a user had before counts in validation.
    """
    start = TowersConfig(inputs) if variant.shipped else TowersConfig(inputs, FEATURES, NETWORK, LOSS, TRAINING)
    return start.but(training={"repeats": repeats, "seed": TRAINING.seed}).but(**variant.changes)


def teacher_of(variant: Variant, inputs: Inputs, *, repeats: bool) -> TowersConfig | None:
    return None if variant.teacher is None else config_of(Variant("", "", variant.teacher), inputs, repeats=repeats)


def possible(variant: Variant, inputs: Inputs, items: int, *, repeats: bool) -> bool:
    """Whether the data have what the variant reads, and a catalogue small enough for it."""
    read = {**variant.changes.get("features", {}), **variant.changes.get("network", {})}
    return (
        not (read.get("numbers") and not inputs.item_numbers)
        and not (read.get("base") and not inputs.user_fields)
        and set(read.get("tasks", ())) <= set(inputs.behaviours)
        and not (read.get("repeats") and not repeats)
        and not (variant.changes.get("loss", {}).get("user_item") == "full" and items > LARGEST_FULL)
    )


def chosen(patterns: Sequence[str], variants: Sequence[Variant] = tuple(VARIANTS)) -> list[Variant]:
    """The base, and whichever of the variants' groups, or group/name, are asked for; none asked for: all."""
    unknown = [one for one in patterns if one not in {v.key for v in variants} | {v.group for v in variants}]
    if unknown:
        raise ValueError(f"no group or variant is called {', '.join(unknown)}")
    return [v for v in variants if not patterns or v == BASE or v.key in patterns or v.group in patterns]
