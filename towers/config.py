"""The settings of the towers, and the fingerprint that says whether two sets of features fit each other.

Plain data: nothing here reads a file or an environment variable. A checkpoint carries the whole of it as JSON.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Self

# Raised when the way text or ids are turned into rows changes, so that an older checkpoint is refused, not misread.
FEATURE_FORMAT = 1


class TowersError(Exception):
    """The towers can't be trained, saved or loaded as asked; the message says why and what to change."""


@dataclass(frozen=True)
class TowersConfig:
    """Sizes of the network, what it is fed, and how it is trained."""

    behaviours: tuple[str, ...] = ("purchase",)  # the index of a name is the code of that behaviour in every array
    vector_dim: int = 0  # width of a sentence encoder's vectors; 0: towers read hashed tokens only
    dim: int = 64
    hidden: int = 128
    history: int = 20  # a user's last events that are read
    user_buckets: int = 0  # rows of the user id table; 0: a user is what they did, nothing else
    item_buckets: int = 1 << 16
    category_buckets: int = 1 << 11
    text_buckets: int = 1 << 16
    dropout: float = 0.2
    id_dropout: float = 0.1  # share of ids hidden in training, so that text alone carries a new item
    batch_size: int = 1024
    max_epochs: int = 30
    patience: int = 3
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    temperature: float = 0.07
    tag_weight: float = 0.5
    validation_share: float = 0.1  # the latest share of the events
    validation_events: int = 4096  # at most so many of them are ranked after an epoch
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.behaviours or len(set(self.behaviours)) != len(self.behaviours):
            raise TowersError("behaviours must be named, each once")
        sizes = ("dim", "hidden", "history", "batch_size", "max_epochs", "patience", "item_buckets")
        for name in (*sizes, "category_buckets", "text_buckets", "validation_events"):
            if getattr(self, name) < 1:
                raise TowersError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("dropout", "id_dropout", "validation_share"):
            if not 0 <= getattr(self, name) < 1:
                raise TowersError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        if self.learning_rate <= 0 or self.temperature <= 0:
            raise TowersError("learning_rate and temperature must be above 0")
        if min(self.vector_dim, self.user_buckets, self.tag_weight, self.weight_decay) < 0:
            raise TowersError("vector_dim, user_buckets, tag_weight and weight_decay must not be negative")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        return cls(**{**values, "behaviours": tuple(values["behaviours"])})

    def feature_hash(self) -> str:
        """sha256 of whatever decides which row of which table an input looks up."""
        names = ("behaviours", "vector_dim", "user_buckets", "item_buckets", "category_buckets", "text_buckets")
        values = {name: getattr(self, name) for name in names} | {"format": FEATURE_FORMAT}
        return "sha256:" + hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
