"""What the towers are fed: ids, categories and texts as rows of bounded tables.

An id is hashed, so a table's size is chosen and never grows, and an id that training never saw gets a row too, never an
error. Category paths are hashed whole; their words are part of the item's text, so that a new category is not mute.
Everything here is computed once for a catalogue and then only indexed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from towers.config import TowersConfig, TowersError
from towers.encoders.text import TokenBags, stable_hash, token_bags


def hash_rows(ids: Sequence[str], buckets: int, seed: str) -> Tensor:
    """(N,) int64 rows in [0, buckets) for N ids; the same id always has the same row."""
    return torch.from_numpy(np.fromiter((stable_hash(x, seed) % buckets for x in ids), dtype=np.int64, count=len(ids)))


def user_rows(ids: Sequence[str], config: TowersConfig) -> Tensor:
    """(N,) rows of the user table; all 0 where the towers read no user ids."""
    if not config.features.user_id:
        return torch.zeros(len(ids), dtype=torch.int64)
    return hash_rows(ids, config.features.table_rows, "user")


@dataclass(frozen=True)
class TextFeatures:
    """N texts, hashed, with a sentence encoder's vectors where the towers read them."""

    bags: TokenBags
    vectors: Tensor | None  # (N, vector_dim) float32

    def __len__(self) -> int:
        return len(self.bags)

    def select(self, index: Tensor) -> "TextFeatures":
        return TextFeatures(self.bags.select(index), None if self.vectors is None else self.vectors[index])


@dataclass(frozen=True)
class ItemFeatures:
    """N items."""

    ids: Tensor  # (N,) rows of the item table
    categories: Tensor  # (N,) rows of the category table
    text: TextFeatures

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, index: Tensor) -> "ItemFeatures":
        return ItemFeatures(self.ids[index], self.categories[index], self.text.select(index))


def text_features(
    texts: Sequence[str], config: TowersConfig, vectors: npt.NDArray[np.float32] | None = None
) -> TextFeatures:
    """Features of N texts (tags, or titles).

    Raises:
        TowersError: the vectors are not (N, config.inputs.vector_dim), or are given or missing against the config.
    """
    wanted = (len(texts), config.inputs.vector_dim)
    if (vectors is not None) != (config.inputs.vector_dim > 0) or (vectors is not None and vectors.shape != wanted):
        got = "none" if vectors is None else str(vectors.shape)
        raise TowersError(f"these towers read vectors of shape {wanted} (vector_dim 0: none), got {got}")
    dense = None if vectors is None else torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
    return TextFeatures(token_bags(texts, config.features.text_rows), dense)


def item_features(
    ids: Sequence[str],
    titles: Sequence[str],
    categories: Sequence[str],
    config: TowersConfig,
    vectors: npt.NDArray[np.float32] | None = None,
) -> ItemFeatures:
    """Features of N items: parallel sequences, a missing title or category is "".

    Raises:
        TowersError: the sequences differ in length, or the vectors don't fit the config.
    """
    if not len(ids) == len(titles) == len(categories):
        raise TowersError(f"{len(ids)} item ids, {len(titles)} titles and {len(categories)} categories: not parallel")
    texts = [f"{title} {category}" for title, category in zip(titles, categories, strict=True)]
    return ItemFeatures(
        hash_rows(ids, config.features.table_rows, "item"),
        hash_rows(categories, config.features.table_rows, "category"),
        text_features(texts, config, vectors),
    )
