"""Recall@10 and NDCG@10 of held-out events over the whole catalogue: what decides which epoch is kept."""

import math

import torch
from torch import Tensor

from towers.data import Prepared
from towers.model import ThreeTowers
from towers.repeats import Past, top_k_with
from towers.scoring import encode_items
from towers.topk import top_k

CUT = 10
BLOCK = 1024  # events ranked at a time


@torch.no_grad()
def validate(model: ThreeTowers, ready: Prepared, past: Past | None = None) -> tuple[float, float]:
    """Each held-out event is asked for from what stands before it; NaN without any.

    What the user had before is left out of the ranking, unless training.repeats. past: of the same events, where the
    towers have a term for repeats.
    """
    if not len(ready.validation):
        return math.nan, math.nan
    vectors = encode_items(model, ready.features)  # (N, D)
    places_found = torch.cat(
        [_found(model, ready, past, vectors, part) for part in torch.split(ready.validation, BLOCK)]
    )
    gains = places_found / torch.log2(torch.arange(2, CUT + 2, dtype=torch.float32))  # (V, 10)
    return places_found.any(1).float().mean().item(), gains.sum(1).mean().item()


def _found(model: ThreeTowers, ready: Prepared, past: Past | None, vectors: Tensor, places: Tensor) -> Tensor:
    """(V, 10) bool: where each event's item stands among the ten; at most once a row."""
    rules = model.config.training
    users = ready.users[places]
    window = ready.events.before(places, users, model.config.features.history)
    asked = model.users(ready.people.select(users), window, vectors)[:, 0]  # (V, D)
    exclude = None
    if not rules.repeats:
        seen = ready.events.items.cpu().numpy()
        starts = ready.events.offsets[users].tolist()
        exclude = [seen[start:end] for start, end in zip(starts, places.tolist(), strict=True)]
    if model.repeats is not None and past is not None:
        own = past.own(places, users)
        _, rows = top_k_with(asked, vectors, CUT, own, model.repeats(own, vectors), exclude=exclude)
    else:
        _, rows = top_k(asked, vectors, CUT, exclude=exclude)
    return (rows.to(places.device) == ready.events.items[places][:, None]).cpu()
