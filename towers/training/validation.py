"""Recall@10 and NDCG@10 of held-out events over the whole catalogue: what decides which epoch is kept."""

import math

import torch
from torch import Tensor

from towers.data import Prepared
from towers.model import ThreeTowers
from towers.repeats import Past, top_k_with
from towers.scoring import encode_items
from towers.topk import top_k
from towers.training.questions import Asking, Questions

CUT = 10
BLOCK = 1024  # events ranked at a time


@torch.no_grad()
def validate(model: ThreeTowers, ready: Prepared, past: Past | None = None) -> tuple[float, float]:
    """Each held-out event is asked for from what stands before it, or before its stretch of days, the first of which
    begins with the earliest of them (questions.py); NaN without any.

    What the user had before is left out of the ranking, unless training.repeats. past: of the same events, where the
    towers have a term for repeats.
    """
    if not len(ready.validation):
        return math.nan, math.nan
    asking = Asking(ready, model.config.training.horizon)
    vectors = encode_items(model, ready.features)  # (N, D)
    moments = asking.moments(ready.validation, int(ready.events.times[ready.held_out].amin()))
    parts = zip(torch.split(ready.validation, BLOCK), torch.split(moments, BLOCK), strict=True)
    places_found = torch.cat(
        [_found(model, ready, past, vectors, places, asking.questions(places, asked)) for places, asked in parts]
    )
    gains = places_found / torch.log2(torch.arange(2, CUT + 2, dtype=torch.float32))  # (V, 10)
    return places_found.any(1).float().mean().item(), gains.sum(1).mean().item()


def _found(
    model: ThreeTowers, ready: Prepared, past: Past | None, vectors: Tensor, places: Tensor, asked: Questions
) -> Tensor:
    """(V, 10) bool: where each event's item stands among the ten; at most once a row."""
    rules, events = model.config.training, ready.events
    window = events.before(asked.ends, asked.users, model.config.features.history, asked.moments)
    users = model.users(ready.people.select(asked.users), window, vectors)[:, 0]  # (Q, D)
    exclude = None
    if not rules.repeats:
        seen = events.items.cpu().numpy()
        starts = events.offsets[asked.users].tolist()
        exclude = [seen[start:end] for start, end in zip(starts, asked.ends.tolist(), strict=True)]
    if model.repeats is not None and past is not None:
        own = past.own(asked.ends, asked.users, asked.moments)
        _, rows = top_k_with(users, vectors, CUT, own, model.repeats(own, ready.features.habits), exclude=exclude)
    else:
        _, rows = top_k(users, vectors, CUT, exclude=exclude)
    return (rows.to(places.device)[asked.rows] == events.items[places][:, None]).cpu()
