"""The towers as one model among others: their vectors for a log, and their answers to the questions all are asked."""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from recgpt.evaluation.ranking import Array, Questions, Scores, Show, rank
from towers.data import Prepared, TrainingData, prepare
from towers.model import ThreeTowers
from towers.repeats import Past, RepeatTerm, past
from towers.scoring import encode_items, encode_tags
from towers.topk import top_k

BLOCK = 4096  # users encoded at once


@dataclass(frozen=True)
class Habit:
    """How the towers score what a user had before."""

    past: Past
    term: RepeatTerm
    habits: Tensor  # (N, HABITS)
    moments: Tensor  # (U,) seconds


@dataclass(frozen=True)
class Contender:
    """Unit vectors of whoever asks, as things stand, and of all items."""

    users: Tensor  # (U, D), or of tags
    items: Tensor  # (N, D)
    seconds: float  # that encoding took
    habit: Habit | None = None

    @torch.no_grad()
    def scores(self, users: Array) -> Scores:
        """(B, N) products of vectors, and in their place r for what was had before, where the towers have that."""
        who = torch.from_numpy(users)
        scores = self.users[who] @ self.items.T
        if self.habit is not None:
            events = self.habit.past.events
            own = self.habit.past.own(events.offsets[who + 1], who, self.habit.moments[who])
            scores[own.rows, own.items] = self.habit.term(own, self.habit.habits)
        return np.asarray(scores.numpy(), dtype=np.float32)

    def answer(self, asked: Questions, k: int) -> tuple[Array, float]:
        """(Q, k) rows of items, and the seconds that it took to encode, score and rank.

        New items come from the product's own top-k, anything else from the ranking of the baselines.
        """
        began = time.perf_counter()
        found = self._new(asked, k) if asked.show is Show.NEW else rank(self.scores, asked, k)
        return found, time.perf_counter() - began + self.seconds

    def _new(self, asked: Questions, k: int) -> Array:
        kept = np.arange(len(self.items)) if asked.catalogue is None else np.flatnonzero(asked.catalogue)
        had = asked.live.counts()[asked.users]
        if asked.catalogue is not None:
            had = had[:, kept]
        seen = np.split(had.indices, had.indptr[1:-1])
        _, found = top_k(self.users[torch.from_numpy(asked.users)], self.items[torch.from_numpy(kept)], k, exclude=seen)
        rows = found.numpy()
        return np.where(rows >= 0, kept[rows], -1) if len(kept) else rows


def part(data: TrainingData, kept: Array) -> TrainingData:
    """The same catalogue, users and tags with some of the events (E,) only, none of them held out."""
    return replace(
        data,
        users=data.users[kept],
        items=data.items[kept],
        behaviours=data.behaviours[kept],
        times=data.times[kept],
        weights=None if data.weights is None else data.weights[kept],
        held_out=None,
        unused=None,
    )


@torch.no_grad()
def of_users(model: ThreeTowers, known: TrainingData, moments: Array | int, task: int = 0) -> Contender:
    """User-item: `known` holds the events that stand when the questions are asked, at `moments` (U,) in seconds.

    task: whose user vectors, by its place in network.tasks.
    """
    began = time.perf_counter()
    ready = _ready(model, known)
    events, items = ready.events, encode_items(model, ready.features)
    asked = torch.from_numpy(np.broadcast_to(np.asarray(moments, dtype=np.int64), len(known.user_ids)).copy())
    users = []
    for start in range(0, len(known.user_ids), BLOCK):
        who = torch.arange(start, min(start + BLOCK, len(known.user_ids)))
        window = events.before(events.offsets[who + 1], who, model.config.features.history, asked[who])
        users.append(model.users(ready.people.select(who), window, items)[:, task])
    habit = None
    if model.repeats is not None:
        habit = Habit(past(events, len(model.config.inputs.behaviours)), model.repeats, ready.features.habits, asked)
    return Contender(torch.cat(users), items, time.perf_counter() - began, habit)


def of_tags(model: ThreeTowers, known: TrainingData) -> Contender:
    """Tag-item: the tag texts of `known` ask in the place of users."""
    began = time.perf_counter()
    ready = _ready(model, known)
    assert ready.tags is not None, "the data hold no tag text"
    items = encode_items(model, ready.features)
    return Contender(encode_tags(model, ready.tags), items, time.perf_counter() - began)


def _ready(model: ThreeTowers, known: TrainingData) -> Prepared:
    model.eval()
    return prepare(known, model.config.but(training={"validation_share": 0.0}))
