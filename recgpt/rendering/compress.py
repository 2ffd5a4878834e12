"""A history turned round: not what was done at each time, but each item once, with all that was done to it and when.

Everything that grows with the events is numpy; Python is left with a few steps an item. Items come in order of how much
they tell: the weights of their events, halved for each year of age. That order does not depend on the night, only on
the events. Catalogue rows that read alike (see `labels`) are one item here, and so are searches for the same words.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np

from recgpt.rendering import moments
from recgpt.rendering.clean import clean
from recgpt.rendering.labels import Labels
from recgpt.rendering.moments import Ints, Vocabulary
from recgpt.sources.logs import History

HALF_LIFE_SECONDS = 365 * 86_400
MOST_MOMENTS = 12  # of an item; what is older is counted
_QUERY = 1 << 30  # numbers of searches start here, those of catalogue rows and of labels lie below


@dataclass(frozen=True)
class Compressed:
    """Items in order, as parallel lists (L,). `left`: indices of events whose items had no chance of a place."""

    whens: list[list[str]]  # text parts, to be joined
    labels: list[str]
    items: list[int]
    queries: list[str | None]
    events: list[tuple[int, ...]]
    left: Ints


def compress(
    history: History, chosen: Ints, words: Vocabulary, labels: Labels, night: datetime, most_items: int
) -> Compressed:
    """At most `most_items` items of the chosen events, which are indices (E,) into the history, at least one."""
    things, queries = _things(history, chosen, history.items[chosen].astype(np.int64))
    searched = things >= _QUERY
    numbers = things.copy() if searched.any() else labels.of(things)
    if searched.any():
        numbers[~searched] = labels.of(things[~searched])
    seconds = history.times[chosen].astype("datetime64[s]", copy=False).astype(np.int64)
    scores = words.weights[history.behaviours[chosen]] * np.exp2((seconds - seconds[-1]) / HALF_LIFE_SECONDS)
    left = chosen[:0]
    if len(numbers) > most_items:
        kept = _best(numbers, scores, most_items)
        left = chosen[~kept]
        chosen, things, numbers, scores = (array[kept] for array in (chosen, things, numbers, scores))

    # Events by item, in their own order; items by how much they tell, ties by their first event.
    by_item = np.argsort(numbers, kind="stable")
    start = _starts(numbers[by_item])
    end = np.append(start[1:], len(by_item))
    best = np.lexsort((by_item[start], -np.add.reduceat(scores[by_item], start)))
    latest = by_item[end - 1]
    named = numbers[latest]

    events = chosen[by_item].tolist()
    spans = zip(start[best].tolist(), end[best].tolist(), strict=True)
    texts = labels.texts
    shown = [texts[n] if n < _QUERY else f'"{queries[n - _QUERY]}"' for n in named[best].tolist()]
    kinds = _kinds(numbers, things)[best]
    for place in np.flatnonzero(kinds > 1).tolist():
        shown[place] += f" ({kinds[place]} items)"
    return Compressed(
        _whens(history, chosen, numbers, words, night, best),
        shown,
        history.items[chosen[latest]][best].tolist(),
        [queries[n - _QUERY] if n >= _QUERY else None for n in named[best].tolist()],
        [tuple(events[a:b]) for a, b in spans],
        left,
    )


def _things(history: History, chosen: Ints, items: Ints) -> tuple[Ints, list[str]]:
    """What each event is about (E,): an item's row, or _QUERY + the number of a search; and the searches' wordings."""
    wordings: list[str] = []
    searches = np.flatnonzero(items < 0)
    if not len(searches):
        return items, wordings
    things, numbers = items.copy(), dict[str, int]()
    for at in searches[::-1].tolist():  # from the latest: its wording is the one shown
        wording = _wording(history.queries[chosen[at]] or "")
        number = numbers.setdefault(wording.casefold(), len(wordings))
        if number == len(wordings):
            wordings.append(wording)
        things[at] = _QUERY + number
    return things, wordings


@lru_cache(maxsize=65_536)
def _wording(query: str) -> str:
    return clean(query, 120).replace('"', "'")


def _best(numbers: Ints, scores: np.ndarray[Any, Any], most: int) -> np.ndarray[Any, Any]:
    """Which events (E,) are about one of the `most` items that tell most."""
    _, first, item = np.unique(numbers, return_index=True, return_inverse=True)
    if len(first) <= most:
        return np.ones(len(numbers), bool)
    score = np.bincount(item, scores)
    kept = np.zeros(len(first), bool)
    kept[np.lexsort((first, -score))[:most]] = True
    chosen: np.ndarray[Any, Any] = kept[item]
    return chosen


def _kinds(numbers: Ints, things: Ints) -> Ints:
    """How many catalogue rows (or searches) each item stands for (L,), by number."""
    pairs = np.sort(numbers << 32 | things)
    kinds: Ints = np.add.reduceat(_changes(pairs), _starts(pairs >> 32), dtype=np.int64)
    return kinds


def _whens(
    history: History, chosen: Ints, numbers: Ints, words: Vocabulary, night: datetime, best: Ints
) -> list[list[str]]:
    """The text parts of each item's moments, the latest first, items in the order `best`."""
    codes = history.behaviours[chosen]
    moment, year = moments.moments(history.times[chosen].astype("datetime64[s]", copy=False), night)
    rank = words.ranks[codes]
    from_latest = moments.LAST_MOMENT - moment
    keys = (numbers << moments.MOMENT_BITS | from_latest) << moments.RANK_BITS | rank
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    part = _starts(sorted_keys)  # a part: one behaviour at one moment with one item
    count = np.append(part[1:], len(keys)) - part
    cell = sorted_keys[part] >> moments.RANK_BITS
    value = _stars(history, chosen[order], codes[order], words, part)
    moment, year, rank = moment[order[part]], year[order[part]], rank[order[part]]

    opens, first = _changes(cell), _changes(cell >> moments.MOMENT_BITS)
    dropped = np.zeros(len(best), np.int64)
    if np.add.reduceat(opens, np.flatnonzero(first), dtype=np.int64).max() > MOST_MOMENTS:
        item, cells = np.cumsum(first) - 1, np.cumsum(opens)
        shown = cells - cells[first][item] < MOST_MOMENTS  # the moment's place within its item, from 0
        dropped = np.bincount(item[~shown], count[~shown], len(best)).astype(np.int64)
        count, value, moment, year, rank, opens, first = (
            array[shown] for array in (count, value, moment, year, rank, opens, first)
        )
    closes = np.append(opens[1:], True)
    alone = opens & closes
    # A moment at which one thing was done, as at the next moment shown, leaves it to that one to say.
    doing = value << moments.RANK_BITS | rank
    bare, same_year = np.zeros(len(doing), bool), np.zeros(len(doing), bool)
    bare[:-1] = alone[:-1] & alone[1:] & ~first[1:] & (doing[:-1] == doing[1:])
    same_year[1:] = ~first[1:] & (year[1:] == year[:-1])
    how = (value << moments.COUNT_BITS | np.minimum(count, moments.MOST_COUNT)) << moments.RANK_BITS | rank
    packed = moments.pack(moment, how, first, opens, closes, bare, same_year)

    get = words.parts.__getitem__
    texts = [get(number) for number in packed.tolist()]
    at = np.append(np.flatnonzero(first), len(texts))
    whens = [texts[a:b] for a, b in zip(at[best].tolist(), at[best + 1].tolist(), strict=True)]
    for index in np.flatnonzero(dropped[best]).tolist():
        whens[index].append(f", {dropped[best[index]]} times before")
    return whens


def _stars(history: History, chosen: Ints, codes: np.ndarray[Any, Any], words: Vocabulary, part: Ints) -> Ints:
    """The mean value of each part (P,) in tenths, plus one; 0 where there is none or it is not shown."""
    starred = words.starred[codes]
    if not starred.any():
        return np.zeros(len(part), np.int64)
    values = np.where(starred, history.values[chosen], np.nan)
    known = ~np.isnan(values)
    total = np.add.reduceat(np.where(known, values, 0.0), part)
    number = np.add.reduceat(known.astype(np.int64), part)
    tenths = np.rint(10 * total / np.maximum(number, 1)).astype(np.int64)
    return np.where((number > 0) & (tenths >= 0), np.minimum(tenths, moments.MOST_VALUE) + 1, 0)


def _changes(keys: Ints) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True where a run of equal keys begins (N,)."""
    changes = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=changes[1:])
    return changes


def _starts(keys: Ints) -> Ints:
    return np.flatnonzero(_changes(keys))
