"""What the towers are fed: items, users and texts, turned once into keys, numbers and rows, and then only indexed.

An id, a category, a brand or a base feature is a text, and its 64-bit key looks up rows of one bounded table
(encoders/table.py), so what training never saw has a vector too, never an error. A category's path gives a key for each
of its prefixes; its words are part of the item's text as well, so that a new category is not mute. A number may be
missing (NaN). Which of these are read, and in which order, follows from the config alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from towers.config import TowersConfig, TowersError
from towers.encoders.table import keys
from towers.encoders.text import TokenBags, token_bags

SEPARATOR = " > "  # of the steps of a category's path
HABITS = 2  # numbers that say how an item is taken
Floats = npt.NDArray[Any]


@dataclass(frozen=True)
class Items:
    """N items, as parallel sequences; a text that is not known is ""."""

    ids: Sequence[str]
    titles: Sequence[str]
    categories: Sequence[str]  # paths, "A > B > C"
    brands: Sequence[str] = ()  # none at all: nobody has one
    numbers: Floats | None = None  # (N, M) in the order of Inputs.item_numbers
    vectors: npt.NDArray[np.float32] | None = None  # (N, V) of a sentence encoder
    counts: Floats | None = None  # (N, 2) events on each by now, and users with one: read where the config says so

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Users:
    """N users."""

    ids: Sequence[str]
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)  # base features by name; "": not known
    numbers: Floats | None = None  # (N, M) in the order of Inputs.user_numbers

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class TextFeatures:
    """N texts, hashed, with a sentence encoder's vectors where the towers read them."""

    bags: TokenBags
    vectors: Tensor | None  # (N, V) float32

    def __len__(self) -> int:
        return len(self.bags)

    def select(self, index: Tensor) -> "TextFeatures":
        return TextFeatures(self.bags.select(index), None if self.vectors is None else self.vectors[index])

    def to(self, device: torch.device) -> "TextFeatures":
        bags = TokenBags(self.bags.rows.to(device), self.bags.offsets.to(device))
        return TextFeatures(bags, None if self.vectors is None else self.vectors.to(device))


@dataclass(frozen=True)
class ItemFeatures:
    """N items; F fields as in `item_fields`, M numbers as in `item_numbers`."""

    keys: Tensor  # (N, F) int64
    numbers: Tensor  # (N, M) float32
    text: TextFeatures
    habits: Tensor  # (N, HABITS) float32 log10(1 + events), log(events a user); zeros if the towers don't read them

    def __len__(self) -> int:
        return len(self.keys)

    def select(self, index: Tensor) -> "ItemFeatures":
        return ItemFeatures(self.keys[index], self.numbers[index], self.text.select(index), self.habits[index])

    def to(self, device: torch.device) -> "ItemFeatures":
        columns = (self.keys, self.numbers, self.text, self.habits)
        return ItemFeatures(*(column.to(device) for column in columns))  # type: ignore[arg-type]


@dataclass(frozen=True)
class UserFeatures:
    """N users; F fields as in `user_fields`, M numbers as in `user_numbers`."""

    keys: Tensor  # (N, F) int64
    numbers: Tensor  # (N, M) float32

    def __len__(self) -> int:
        return len(self.keys)

    def select(self, index: Tensor) -> "UserFeatures":
        return UserFeatures(self.keys[index], self.numbers[index])

    def to(self, device: torch.device) -> "UserFeatures":
        return UserFeatures(self.keys.to(device), self.numbers.to(device))


def item_fields(config: TowersConfig) -> tuple[str, ...]:
    """Names of an item's categorical columns, without semantic codes, in the order of its keys."""
    read = config.features
    levels = tuple(f"category {level}" for level in range(1, read.category_levels + 1))
    return ("item",) * read.item_id + levels + ("brand",) * read.brand


def user_fields(config: TowersConfig) -> tuple[str, ...]:
    """Names of a user's categorical fields."""
    base = tuple(f"base {name}" for name in config.inputs.user_fields) if config.features.base else ()
    return ("user",) * config.features.user_id + base


def item_numbers(config: TowersConfig) -> tuple[str, ...]:
    """Names of an item's numbers, in the order of their columns."""
    named = config.inputs.item_numbers if config.features.numbers else ()
    return named + ("popularity",) * config.features.popularity


def user_numbers(config: TowersConfig) -> tuple[str, ...]:
    """Names of a user's numbers."""
    return config.inputs.user_numbers if config.features.numbers else ()


def item_features(items: Items, config: TowersConfig) -> ItemFeatures:
    """Features of N items.

    Raises:
        TowersError: the parts differ in length, or numbers or vectors don't fit the config.
    """
    n = len(items)
    if not n == len(items.titles) == len(items.categories) or len(items.brands) not in (0, n):
        lengths = f"{n} ids, {len(items.titles)} titles, {len(items.categories)} categories, {len(items.brands)} brands"
        raise TowersError(f"items are not parallel: {lengths}")
    read = config.features
    columns = [keys(items.ids)] if read.item_id else []
    columns += [keys(_prefixes(items.categories, level, read.category_levels)) for level in range(read.category_levels)]
    columns += [keys(items.brands or [""] * n)] if read.brand else []
    numbers = [_numbers("items", items.numbers, n, config.inputs.item_numbers)] if read.numbers else []
    habits = torch.zeros(n, HABITS)
    if read_counts(config):
        if items.counts is None or items.counts.shape != (n, 2):
            raise TowersError(f"these towers read how often an item is taken: give two counts of each of the {n} items")
        events, users = torch.from_numpy(np.asarray(items.counts, dtype=np.float32)).unbind(1)
        habits = torch.stack([torch.log10(1 + events), torch.log(events.clamp(min=1) / users.clamp(min=1))], dim=1)
        if read.popularity:
            numbers.append(torch.log1p(events)[:, None])
    texts = [f"{title} {category}" for title, category in zip(items.titles, items.categories, strict=True)]
    return ItemFeatures(
        _stacked(columns, n),
        torch.cat(numbers, dim=1) if numbers else torch.zeros(n, 0),
        text_features(texts, config, items.vectors),
        habits,
    )


def read_counts(config: TowersConfig) -> bool:
    """Whether towers of this config must be told how often each item is taken."""
    return config.features.popularity or config.network.prior or config.network.repeats


def user_features(users: Users, config: TowersConfig) -> UserFeatures:
    """Features of N users.

    Raises:
        TowersError: a field that the config names is not given, or parts differ in length.
    """
    n = len(users)
    columns = [keys(users.ids)] if config.features.user_id else []
    for name in config.inputs.user_fields if config.features.base else ():
        if len(users.fields.get(name, ())) != n:
            raise TowersError(f"these towers read the users' {name}: give it for each of the {n} users")
        columns.append(keys(users.fields[name]))
    return UserFeatures(_stacked(columns, n), _numbers("users", users.numbers, n, user_numbers(config)))


def text_features(
    texts: Sequence[str], config: TowersConfig, vectors: npt.NDArray[np.float32] | None = None
) -> TextFeatures:
    """Features of N texts (tags, or titles).

    Raises:
        TowersError: the vectors are not (N, Inputs.vector_dim), or are given or missing against the config.
    """
    wanted = (len(texts), config.inputs.vector_dim)
    if (vectors is not None) != (config.inputs.vector_dim > 0) or (vectors is not None and vectors.shape != wanted):
        got = "none" if vectors is None else str(vectors.shape)
        raise TowersError(f"these towers read vectors of shape {wanted} (vector_dim 0: none), got {got}")
    dense = None if vectors is None else torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
    return TextFeatures(token_bags(texts, config.features.text_rows), dense)


def _prefixes(paths: Sequence[str], level: int, levels: int) -> list[str]:
    """The first level + 1 steps of each path, "" where it has no more than that many; at the last level all of it."""
    if level == levels - 1:
        return list(paths)
    steps = [path.split(SEPARATOR) for path in paths]
    return [SEPARATOR.join(some[: level + 1]) if len(some) > level + 1 else "" for some in steps]


def _stacked(columns: list[Tensor], n: int) -> Tensor:
    return torch.stack(columns, dim=1) if columns else torch.zeros(n, 0, dtype=torch.int64)


def _numbers(what: str, values: Floats | None, n: int, names: tuple[str, ...]) -> Tensor:
    """(N, M) float32, NaN for what is missing."""
    wanted = (n, len(names))
    if not names:
        return torch.zeros(wanted)
    if values is None or values.shape != wanted:
        got = "none" if values is None else str(values.shape)
        raise TowersError(f"these towers read numbers of {what} of shape {wanted} ({', '.join(names)}), got {got}")
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
