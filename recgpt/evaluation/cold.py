"""Items that no training ever saw: a share of the catalogue is taken out of it, with all its events and tags, and then
only these items are ranked, for users and for tags.

Users are asked as in leave-one-out: those whose last event is on such an item, from their earlier events on other
items. Tags are asked for the items that carry them. Nothing but text and category can find an item here.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from recgpt.evaluation.contender import part
from recgpt.evaluation.ranking import Array, Log, Questions, Show, places
from recgpt.evaluation.splits import Mask
from recgpt.evaluation.splits import leave_one_out as split_by_user
from towers.data import TrainingData

_TEXTS = ("item_ids", "titles", "categories", "brands")  # of TrainingData, one an item
_ARRAYS = ("item_numbers", "item_vectors")


def without(data: TrainingData, cold: Mask) -> TrainingData:
    """For training: the catalogue, the events and the pairs of tags without the cold items (N,), and without each
    user's last event; the one before it is held out. Rows of items are counted anew."""
    split = split_by_user(data.users)
    warm = np.flatnonzero(~cold)
    row = np.full(len(cold), -1)
    row[warm] = np.arange(len(warm))
    kept = ~cold[data.items] & ~split.test
    smaller = part(data, kept)
    tag_items, tag_rows = _pairs(data)
    known = ~cold[tag_items]
    changed: dict[str, Any] = {
        **{name: [getattr(data, name)[n] for n in warm] for name in _TEXTS if len(getattr(data, name))},
        **{name: getattr(data, name)[warm] for name in _ARRAYS if getattr(data, name) is not None},
    }
    return replace(
        smaller,
        items=row[smaller.items],
        held_out=split.validation[kept],
        tag_items=row[tag_items[known]],
        tag_rows=tag_rows[known],
        **changed,
    )


def known(data: TrainingData, cold: Mask) -> TrainingData:
    """For scoring: the whole catalogue, with the events on warm items that are known at the test."""
    return part(data, ~cold[data.items] & ~split_by_user(data.users).test)


def of_users(data: TrainingData, cold: Mask) -> Questions:
    """Users whose last event is on a cold item; ranked among the cold items alone."""
    split, warm = split_by_user(data.users), ~cold[data.items]
    n_users, n_items = len(data.user_ids), len(data.item_ids)

    def log(kept: Array) -> Log:
        return Log(data.users[kept], data.items[kept], places(data.users[kept]), n_users, n_items)

    asked = split.test & ~warm
    learnt, live = log(split.train & warm), log(~split.test & warm)
    return Questions(learnt, live, data.users[asked], data.items[asked], Show.NEW, cold)


def of_tags(data: TrainingData, cold: Mask) -> Questions:
    """Tags that a cold item carries; ranked among the cold items alone. A tag's history is the warm items with it."""
    items, tags = _pairs(data)
    asked = cold[items]
    pairs = np.unique(tags[asked] * len(cold) + items[asked])
    who, starts = np.unique(pairs // len(cold), return_index=True)
    wanted = np.split(pairs % len(cold), starts[1:]) if len(who) else []
    warm = Log(tags[~asked], items[~asked], np.zeros(int((~asked).sum())), len(data.tag_texts), len(cold))
    return Questions(warm, warm, who, wanted, Show.ALL, cold)


def _pairs(data: TrainingData) -> tuple[Array, Array]:
    nothing = np.zeros(0, np.int64)
    items = nothing if data.tag_items is None else np.asarray(data.tag_items)
    return items, nothing if data.tag_rows is None else np.asarray(data.tag_rows)
