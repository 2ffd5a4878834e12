"""The settings of the towers, and the fingerprint that says whether two sets of features fit each other.

Plain data in five parts: what the data hold (`Inputs`, which the caller knows from the data), and what is read of them,
the network, the loss and the training, which a person chooses. Nothing here reads a file or an environment variable. A
checkpoint carries the whole of it as JSON.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

# Raised when the way text or ids are turned into rows changes, so that an older checkpoint is refused, not misread.
FEATURE_FORMAT = 2


class TowersError(Exception):
    """The towers can't be trained, saved or loaded as asked; the message says why and what to change."""


class SettingsError(TowersError, ValueError):
    """A setting is out of its range."""


Numeric = Literal["log", "sigmoids", "distribution", "periodic", "quantiles", "piecewise"]
Pool = Literal["mean", "recency", "aged", "sequence"]
Interaction = Literal["none", "fm", "dots", "cross", "cross_low_rank", "autoint", "hiformer"]
Body = Literal["mlp", "resnet", "densenet"]
Head = Literal["shared", "moe", "mmoe"]
UserItem = Literal["auto", "in_batch", "mixed", "full", "gbce"]


@dataclass(frozen=True)
class Inputs:
    """What the data hold, by name: it follows from the data and is not chosen."""

    behaviours: tuple[str, ...] = ("purchase",)  # the index of a name is the code of that behaviour in every array
    vector_dim: int = 0  # width of a sentence encoder's vectors; 0: towers read hashed tokens only
    user_fields: tuple[str, ...] = ()  # categorical base features of users
    item_numbers: tuple[str, ...] = ()  # numeric columns of items
    user_numbers: tuple[str, ...] = ()  # numeric columns of users

    def __post_init__(self) -> None:
        if not self.behaviours or len(set(self.behaviours)) != len(self.behaviours):
            raise SettingsError("behaviours must be named, each once")
        _at_least(self, 0, "vector_dim")


@dataclass(frozen=True)
class FeatureSettings:
    """What is read of the data, and into how many rows it is hashed."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 (pydantic's own name: an unknown key is refused)

    item_id: bool = True
    category_levels: int = 5  # prefixes of an item's path that are summed, the last the whole; 0: none
    brand: bool = True
    semantic_levels: int = 0  # of codes by residual k-means of what the items are like; 0: none
    semantic_codes: int = 64  # in a level
    user_id: bool = False  # off: a user is what they did, nothing else
    base: bool = False  # the users' base features, where the data have some
    numbers: bool = False  # price and what else the data have, of items and of users
    popularity: bool = False  # how often an item was in an event, as one more number
    numeric: Numeric = "quantiles"  # how a number is encoded
    table_rows: int = 1 << 16  # of the one table of all ids
    hashes: int = 1  # rows of the table that make one id's vector
    rare: float = 0.0  # trainings of an id at which its own vector counts as much as its feature's default; 0: all own
    text_rows: int = 1 << 16  # of the table of word pieces
    text_pooling: Literal["mean", "attention"] = "mean"
    history: int = 20  # a user's last events that are read
    pools: tuple[Pool, ...] = ("recency",)  # what makes a few vectors of them

    def __post_init__(self) -> None:
        _check_choices(self)
        _at_least(self, 1, "table_rows", "hashes", "text_rows", "history", "semantic_codes")
        _at_least(self, 0, "category_levels", "semantic_levels", "rare")
        if not self.pools or len(set(self.pools)) != len(self.pools):
            raise SettingsError("pools must name at least one kind, each once")


@dataclass(frozen=True)
class NetworkSettings:
    """The shape of the three towers."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    dim: int = 64  # of a member's vectors; what is served has `width`
    pair: bool = True  # two members side by side, the second reading ids, categories and words alone: see model.py
    hidden: int = 128
    interaction: Interaction = "none"
    interaction_layers: int = 2  # of cross, autoint and hiformer
    body: Body = "mlp"
    depth: int = 1
    head: Head = "shared"
    experts: int = 4  # of moe and mmoe
    tasks: tuple[str, ...] = ()  # behaviours with a user vector of their own, the first is served; none: one for all
    prior: bool = False  # an item's score begins from how often it is taken, and vectors say what differs from that
    repeats: bool = False  # what the user had before is scored by its aged counts, and only what is new by vectors
    dropout: float = 0.2
    id_dropout: float = 0.1  # share of ids hidden in training, so that text alone carries a new item

    def __post_init__(self) -> None:
        _check_choices(self)
        _at_least(self, 1, "dim", "hidden", "depth", "experts", "interaction_layers")
        _share(self, "dropout", "id_dropout")
        if len(set(self.tasks)) != len(self.tasks):
            raise SettingsError("tasks must be named once each")

    @property
    def members(self) -> int:
        return 2 if self.pair else 1

    @property
    def width(self) -> int:
        """Of an item's, a user's and a tag's vector, the part of length 1."""
        return self.members * self.dim

    @property
    def served(self) -> int:
        """Of what is served: with a prior one number more."""
        return self.width + self.prior


@dataclass(frozen=True)
class LossSettings:
    """The terms of the loss, each with its weight; a weight of 0 leaves the term out."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    user_item: UserItem = "auto"  # its weight is 1; auto: full up to full_items, else mixed
    full_items: int = 20_000  # the largest catalogue that is encoded whole at each step
    negatives: int = 1024  # drawn evenly from the catalogue for a batch: mixed and gbce
    calibration: float = 0.75  # gbce: from 0, plain cross-entropy of the sample, to 1, calibrated as if all were asked
    temperature: float = 0.07
    learn_temperature: bool = False  # it then only begins there
    tag: float = 0.5
    category: float = 0.0
    corruption: float = 0.0  # two views of an item with fields masked must find each other
    corruption_share: float = 0.4  # of the fields
    chain: float = 0.0  # P(task) = P(task | next) P(next), next being the task after it in network.tasks
    distillation: float = 0.0  # of the auxiliary head, where a teacher is given

    def __post_init__(self) -> None:
        _check_choices(self)
        _at_least(self, 1, "negatives", "full_items")
        _at_least(self, 0, "tag", "category", "corruption", "chain", "distillation")
        _share(self, "corruption_share")
        if not 0.01 <= self.temperature <= 1:
            raise SettingsError(f"temperature must be in [0.01, 1], not {self.temperature}")
        if not 0 <= self.calibration <= 1:
            raise SettingsError(f"calibration must be in [0, 1], not {self.calibration}")


@dataclass(frozen=True)
class TrainingSettings:
    """How the weights are found."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    batch_size: int = 2048  # at most; a hundredth of the events where these are few
    max_epochs: int = 10
    patience: int = 3  # epochs without a better one, and then it stops
    learning_rate: float = 3e-3
    final_rate: float = 0.02  # share of it at max_epochs: it falls in a line after the warm-up; 1: it stays
    weight_decay: float = 1e-2
    warmup_steps: int = 100  # at most; a tenth of all steps where these are few
    clip_norm: float = 0.0  # of all gradients together; 0: not clipped
    ema: float = 0.0  # decay a step of the averaged weights that are then ranked and kept; 0: the weights as they are
    tables: Literal["adamw", "row_wise_adam", "row_wise_adagrad"] = "adamw"  # the optimiser of ids and word pieces
    ids_after_epoch: Literal["go_on", "freeze", "reset"] = "go_on"  # what is done with the id table after an epoch
    pretrain_epochs: int = 3  # of the contrastive stage that gives the ids their first vectors
    refit: bool = False  # train anew on all events, for as many epochs as were best
    half_life: float = 0.0  # days by which an event is older than the newest and counts half in the loss; 0: all alike
    horizon: float = 0.0  # days that are asked for together, from their beginning; 0: each event right before it
    validation_share: float = 0.1  # the latest share of the events
    validation_events: int = 16_384  # at most so many of them are ranked after an epoch
    shuffle_ties: bool = True  # events of a user at one moment stand in a new order each epoch: the log's says nothing
    repeats: bool = False  # in validation, an item that the user had before counts and may be found
    precision: Literal["fp32", "bf16"] = "fp32"  # bf16: of matrix products on a GPU; losses stay fp32
    seed: int = 0

    def __post_init__(self) -> None:
        _check_choices(self)
        _at_least(self, 1, "batch_size", "max_epochs", "patience", "validation_events")
        _at_least(self, 0, "weight_decay", "warmup_steps", "clip_norm", "pretrain_epochs", "half_life", "horizon")
        _above_zero(self, "learning_rate")
        _share(self, "validation_share", "ema")
        if not 0 <= self.final_rate <= 1:
            raise SettingsError(f"final_rate must be in [0, 1], not {self.final_rate}")


@dataclass(frozen=True)
class TowersConfig:
    """All of it."""

    inputs: Inputs = field(default_factory=Inputs)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.network.tasks) - set(self.inputs.behaviours))
        if unknown:
            known = ", ".join(self.inputs.behaviours)
            raise SettingsError(f"network.tasks names {', '.join(unknown)}, but the behaviours learnt from are {known}")
        if self.loss.chain and len(self.network.tasks) < 2:
            raise SettingsError("loss.chain needs at least two tasks in network.tasks")
        if self.network.repeats and self.loss.user_item in ("full", "gbce"):
            raise SettingsError("network.repeats needs loss.user_item = auto, in_batch or mixed")
        if self.network.prior and self.loss.distillation:
            raise SettingsError("loss.distillation compares cosines: it needs network.prior = false")
        if self.features.semantic_levels and not self.features.item_id:
            raise SettingsError("features.semantic_levels needs features.item_id")

    def but(self, **parts: Mapping[str, Any]) -> Self:
        """The same with some settings changed: config.but(network={"dim": 32}, training={"seed": 1})."""
        return replace(self, **{name: replace(getattr(self, name), **changes) for name, changes in parts.items()})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """What `to_json` gave, after JSON."""
        parts = {
            name: kind(
                **{key: tuple(value) if isinstance(value, list) else value for key, value in values[name].items()}
            )
            for name, kind in get_type_hints(cls).items()
        }
        return cls(**parts)

    def feature_hash(self) -> str:
        """sha256 of whatever decides which row of which table an input looks up."""
        rows = {name: value for name, value in asdict(self.features).items() if name not in _NO_ROWS}
        values = {"inputs": asdict(self.inputs), "features": rows, "format": FEATURE_FORMAT}
        return "sha256:" + hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


_NO_ROWS = ("numeric", "rare", "text_pooling", "history", "pools")  # how rows are read, not which


def _at_least(settings: Any, least: int, *names: str) -> None:
    for name in names:
        if not getattr(settings, name) >= least:
            raise SettingsError(f"{name} must be at least {least}, not {getattr(settings, name)}")


def _above_zero(settings: Any, *names: str) -> None:
    for name in names:
        if not getattr(settings, name) > 0:
            raise SettingsError(f"{name} must be above 0, not {getattr(settings, name)}")


def _share(settings: Any, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(settings, name) < 1:
            raise SettingsError(f"{name} must be in [0, 1), not {getattr(settings, name)}")


def _check_choices(settings: Any) -> None:
    """A field of Literal kind, or a tuple of them, holds only what the kind lists."""
    for name, kind in get_type_hints(type(settings)).items():
        many = get_origin(kind) is tuple
        choice = get_args(kind)[0] if many else kind
        if get_origin(choice) is not Literal:
            continue
        value = getattr(settings, name)
        for one in value if many else (value,):
            if one not in get_args(choice):
                raise SettingsError(f"{name} must be one of {', '.join(get_args(choice))}, not {one!r}")
