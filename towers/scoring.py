"""Vectors for scoring: all of a catalogue, of users and of tags, in batches, without gradients, dropout switched off.

User vectors need the catalogue's vectors, so encode the items first and once.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from towers.encoders.history import Events
from towers.features import ItemFeatures, TextFeatures, UserFeatures
from towers.model import ThreeTowers

BATCH = 4096


def _batches(n: int) -> Iterable[Tensor]:
    return (torch.arange(start, min(start + BATCH, n)) for start in range(0, n, BATCH))


@torch.no_grad()
def encode_items(model: ThreeTowers, features: ItemFeatures) -> Tensor:
    """(N, D), D the width that is served."""
    model.eval()
    features = model.coded(features)
    parts = [model.items(features.select(rows)) for rows in _batches(len(features))]
    return torch.cat(parts) if parts else torch.zeros(0, model.config.network.served)


@torch.no_grad()
def encode_users(model: ThreeTowers, people: UserFeatures, histories: Events, item_vectors: Tensor, now: int) -> Tensor:
    """(B, D) of B users at `now` (seconds), of the first task.

    Theirs are the features, the events in the same order, and the catalogue's vectors (N, D).
    """
    model.eval()
    length = model.config.features.history
    parts = [
        model.users(people.select(b), histories.latest(b, length, now), item_vectors)[:, 0]
        for b in _batches(len(people))
    ]
    return torch.cat(parts) if parts else torch.zeros(0, model.config.network.served)


@torch.no_grad()
def encode_tags(model: ThreeTowers, text: TextFeatures) -> Tensor:
    """(T, D)."""
    model.eval()
    parts = [model.tags(text.select(rows)) for rows in _batches(len(text))]
    return torch.cat(parts) if parts else torch.zeros(0, model.config.network.served)
