"""What training reads: the events, the catalogue and the tag texts as parallel arrays, checked once, then indexed.

Which events are learnt from and which are held out is decided here. An event is always predicted from what stands
before it in its user's history, so a held-out event never helps to predict an earlier one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from towers.config import TowersConfig, TowersError
from towers.encoders.history import DAY, Events
from towers.features import (
    ItemFeatures,
    Items,
    TextFeatures,
    UserFeatures,
    Users,
    item_features,
    text_features,
    user_features,
)

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TrainingData:
    """N items, U users, E events and P pairs of an item and one of T tag texts. All rows count from 0.

    Events may stand in any order of users, but each user's own from the oldest to the newest.
    """

    item_ids: Sequence[str]  # N
    titles: Sequence[str]  # N
    categories: Sequence[str]  # N, "" if unknown
    user_ids: Sequence[str]  # U
    users: Array  # (E,) row in user_ids
    items: Array  # (E,) row in item_ids, -1: not in the catalogue
    behaviours: Array  # (E,) index into Inputs.behaviours
    times: Array  # (E,) datetime64 or seconds
    weights: Array | None = None  # (E,) share in the loss; 0: read as history, never predicted. None: all 1
    held_out: Array | None = None  # (E,) bool, the validation events. None: the latest validation_share of the events
    unused: Array | None = None  # (E,) bool, neither learnt from nor validated on, only history. None: no such event
    tag_texts: Sequence[str] = ()  # T
    tag_items: Array | None = None  # (P,) item row
    tag_rows: Array | None = None  # (P,) row in tag_texts
    item_vectors: npt.NDArray[np.float32] | None = None  # (N, vector_dim) of a sentence encoder
    tag_vectors: npt.NDArray[np.float32] | None = None  # (T, vector_dim)
    brands: Sequence[str] = ()  # N, "" if unknown; none at all: nobody has one
    item_numbers: Array | None = None  # (N, M) in the order of Inputs.item_numbers, NaN if unknown
    user_fields: Mapping[str, Sequence[str]] = field(default_factory=dict)  # U each, by the names in Inputs.user_fields
    user_numbers: Array | None = None  # (U, M) in the order of Inputs.user_numbers

    @property
    def catalogue(self) -> Items:
        return Items(self.item_ids, self.titles, self.categories, self.brands, self.item_numbers, self.item_vectors)

    @property
    def people(self) -> Users:
        return Users(self.user_ids, self.user_fields, self.user_numbers)


@dataclass(frozen=True)
class Prepared:
    """The same as tensors, events sorted by user."""

    features: ItemFeatures
    events: Events
    people: UserFeatures
    kinds: Tensor  # (N,) int64: equal for items of one category, -1 where it is not known
    users: Tensor  # (E,)
    weights: Tensor  # (E,) float32
    train: Tensor  # (E',) positions of the events learnt from
    held_out: Tensor  # positions of the events that are not
    validation: Tensor  # (V,) positions of the events ranked after each epoch
    tags: TextFeatures | None
    tag_items: Tensor  # (P,)
    tag_rows: Tensor  # (P,)

    def whole(self) -> "Prepared":
        """The same with nothing held out."""
        nothing = self.held_out[:0]
        train = torch.cat([self.train, self.held_out]).sort().values
        return replace(self, train=train, held_out=nothing, validation=nothing)

    def ties(self) -> Tensor:
        """(E,) int64, ascending: equal for events that stand side by side, are all learnt from, and are of one user and
        one moment, so that nothing says which came first."""
        learnt = torch.zeros_like(self.users, dtype=torch.bool)
        learnt[self.train] = True
        times = self.events.times
        again = (self.users[1:] == self.users[:-1]) & (times[1:] == times[:-1]) & learnt[1:] & learnt[:-1]
        return torch.cat([torch.zeros_like(self.users[:1]), (~again).cumsum(0)])

    def shuffled(self, ties: Tensor, generator: torch.Generator) -> "Prepared":
        """The same with events of equal `ties` (E,) in a new order."""
        chances = torch.rand(len(ties), generator=generator, dtype=torch.float64)
        return self.moved((ties + chances.to(ties.device)).argsort())

    def moved(self, order: Tensor) -> "Prepared":
        """The same with the event of position order[e] at position e (E,), within ties only."""
        events = replace(self.events, items=self.events.items[order], behaviours=self.events.behaviours[order])
        return replace(self, events=events, weights=self.weights[order])

    def to(self, device: torch.device) -> "Prepared":
        moved = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(self, **{name: value.to(device) for name, value in moved.items() if value is not None})

    def tensors(self) -> Iterator[Tensor]:
        """Every number of it."""
        parts = [
            self.features.keys,
            self.features.numbers,
            self.features.habits,
            self.people.keys,
            self.people.numbers,
            self.kinds,
        ]
        for text in (self.features.text, self.tags):
            if text is not None:
                parts += [text.bags.rows, text.bags.offsets]
                parts += [] if text.vectors is None else [text.vectors]
        events = self.events
        yield from parts
        yield from (events.offsets, events.items, events.behaviours, events.times, self.weights)
        yield from (self.train, self.held_out, self.validation, self.tag_items, self.tag_rows)


def prepare(data: TrainingData, config: TowersConfig) -> Prepared:
    """Check, sort, hash and split.

    Raises:
        TowersError: arrays that are not parallel, rows out of range, or nothing to learn from.
    """
    users, items, behaviours, times = (np.asarray(a) for a in (data.users, data.items, data.behaviours, data.times))
    if len({len(users), len(items), len(behaviours), len(times)}) != 1:
        raise TowersError("users, items, behaviours and times must have one entry per event")
    _in_range("users", users, 0, len(data.user_ids))
    _in_range("items", items, -1, len(data.item_ids))
    _in_range("behaviours", behaviours, 0, len(config.inputs.behaviours))

    weights = np.ones(len(users)) if data.weights is None else np.asarray(data.weights, dtype=np.float64)
    tasks = [config.inputs.behaviours.index(name) for name in config.network.tasks or config.inputs.behaviours]
    usable = (weights > 0) & (items >= 0) & np.isin(behaviours, tasks)
    if data.unused is not None:
        usable &= ~np.asarray(data.unused, dtype=bool)
    held_out = (
        _latest(times, usable, config.training.validation_share) if data.held_out is None else np.asarray(data.held_out)
    )

    order = np.argsort(users, kind="stable")
    users, items, behaviours, times = users[order], items[order], behaviours[order], times[order]
    weights, usable, held_out = weights[order], usable[order], held_out[order].astype(bool)
    if np.any((np.diff(users) == 0) & (np.diff(times).astype(np.int64) < 0)):
        raise TowersError("a user's events must stand from the oldest to the newest")

    offsets = np.zeros(len(data.user_ids) + 1, dtype=np.int64)
    np.cumsum(np.bincount(users, minlength=len(data.user_ids)), out=offsets[1:])
    train = np.flatnonzero(usable & ~held_out)
    if not len(train):
        raise TowersError("no event to learn from: events need an item of the catalogue and a weight above 0")
    n_items = len(data.item_ids)
    by_user = np.unique(users[train].astype(np.int64) * n_items + items[train])  # a user and an item, once
    counts = np.stack([np.bincount(one, minlength=n_items) for one in (items[train], by_user % n_items)], axis=1)
    if config.training.half_life:
        seconds = _seconds(times).numpy()
        weights = weights * 0.5 ** ((seconds[usable].max() - seconds) / DAY / config.training.half_life)
    events = Events(torch.from_numpy(offsets), _int64(items), _int64(behaviours), _seconds(times))
    tag_items, tag_rows = (
        np.zeros(0, np.int64) if a is None else np.asarray(a) for a in (data.tag_items, data.tag_rows)
    )
    if len(tag_items) != len(tag_rows):
        raise TowersError("tag_items and tag_rows must have one entry per pair")
    _in_range("tag_items", tag_items, 0, len(data.item_ids))
    _in_range("tag_rows", tag_rows, 0, len(data.tag_texts))
    return Prepared(
        features=item_features(replace(data.catalogue, counts=counts), config),
        events=events,
        people=user_features(data.people, config),
        kinds=_kinds(data.categories),
        users=_int64(users),
        weights=torch.from_numpy(weights.astype(np.float32)),
        train=_int64(train),
        held_out=_int64(np.flatnonzero(usable & held_out)),
        validation=_int64(_ranked(np.flatnonzero(usable & held_out), users, items, offsets, config)),
        tags=text_features(data.tag_texts, config, data.tag_vectors) if len(data.tag_texts) else None,
        tag_items=_int64(tag_items),
        tag_rows=_int64(tag_rows),
    )


def _seconds(times: Array) -> Tensor:
    """int64 seconds, whatever the unit of a datetime64; numbers are seconds already."""
    return _int64(times.astype("datetime64[s]") if times.dtype.kind == "M" else times)


def _latest(times: Array, usable: Array, share: float) -> Array:
    """The events after the moment that leaves `share` of the usable ones behind it. Equal times stay together."""
    if share == 0 or not usable.any():
        return np.zeros(len(times), dtype=bool)
    known = np.sort(times[usable])
    moment = known[max(0, int(len(known) * (1 - share)) - 1)]
    return np.asarray(times > moment)


def _ranked(places: Array, users: Array, items: Array, offsets: Array, config: TowersConfig) -> Array:
    """At most training.validation_events of the places (V,).

    Unless training.repeats, those whose item the user had before are passed over: ranking then leaves out what the user
    had, so a repeat could never be found and would only dilute the metric.
    """
    rules = config.training
    chosen = np.random.default_rng(rules.seed).permutation(places)
    kept: list[int] = []
    for place in chosen:
        if len(kept) == rules.validation_events:
            break
        if rules.repeats or items[place] not in items[offsets[users[place]] : place]:
            kept.append(place)
    return np.sort(np.asarray(kept, dtype=np.int64))


def _kinds(categories: Sequence[str]) -> Tensor:
    known, codes = np.unique(np.asarray(categories, dtype=object).astype(str), return_inverse=True)
    return _int64(np.where(known == "", -1, np.arange(len(known)))[codes])


def _int64(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64))


def _in_range(name: str, values: Array, low: int, high: int) -> None:
    if len(values) and not (low <= values.min() and values.max() < high):
        raise TowersError(f"{name} must be from {low} to {high - 1}, found {values.min()} to {values.max()}")
