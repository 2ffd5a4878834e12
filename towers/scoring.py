"""Vectors for scoring: all of a catalogue, of users and of tags, in batches, without gradients, dropout switched off.

User vectors need the catalogue's vectors, so encode the items first and once.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from towers.features import ItemFeatures, TextFeatures
from towers.history import Events
from towers.model import ThreeTowers

BATCH = 4096


def _batches(n: int) -> Iterable[Tensor]:
    return (torch.arange(start, min(start + BATCH, n)) for start in range(0, n, BATCH))


@torch.no_grad()
def encode_items(model: ThreeTowers, features: ItemFeatures) -> Tensor:
    """(N, dim) unit vectors."""
    model.eval()
    parts = [model.items(features.select(rows)) for rows in _batches(len(features))]
    return torch.cat(parts) if parts else torch.zeros(0, model.config.dim)


@torch.no_grad()
def encode_users(model: ThreeTowers, user_rows: Tensor, histories: Events, item_vectors: Tensor) -> Tensor:
    """(B, dim) unit vectors of B users: their table rows (B,), their events, and the catalogue's vectors (N, dim)."""
    model.eval()
    length = model.config.history
    parts = [model.users(user_rows[b], histories.latest(b, length), item_vectors) for b in _batches(len(user_rows))]
    return torch.cat(parts) if parts else torch.zeros(0, model.config.dim)


@torch.no_grad()
def encode_tags(model: ThreeTowers, text: TextFeatures) -> Tensor:
    """(T, dim) unit vectors."""
    model.eval()
    parts = [model.tags(text.select(rows)) for rows in _batches(len(text))]
    return torch.cat(parts) if parts else torch.zeros(0, model.config.dim)
