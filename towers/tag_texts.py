"""Tag texts from a catalogue, to teach the tag tower before any tag has been generated.

`tag_texts`: the last step of an item's category path, and runs of two or three words of its title that several items
share ("dead sea mud mask" gives "mud mask"). Brands, numbers and sizes are left out, because a tag never has any.
`title_tags`: whole titles. `query_tags`: what people searched for just before they took an item.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from towers.encoders.text import words
from towers.features import SEPARATOR

LEAST_ITEMS = 3  # that share a run of words; fewer is a product's name
MOST_SHARE = 0.05  # of the catalogue; more says nothing
_STOP = frozenset(words("a an and by de for from in of on or the to with your you oz ml fl pack count inch new"))


@dataclass(frozen=True)
class TagTexts:
    texts: tuple[str, ...]  # T, sorted
    items: npt.NDArray[np.int64]  # (P,) item row
    tags: npt.NDArray[np.int64]  # (P,) row in texts


def tag_texts(titles: Sequence[str], categories: Sequence[str], brands: Sequence[str] | None = None) -> TagTexts:
    """Pairs of an item and a tag text for N items; a missing title, category or brand is ""."""
    kinds = [" ".join(words(category.split(SEPARATOR)[-1])) for category in categories]
    runs = [
        set(_runs(title, frozenset(words(brands[n])) if brands is not None else frozenset()))
        for n, title in enumerate(titles)
    ]
    counts: Counter[str] = Counter(run for found in runs for run in found)
    most = max(LEAST_ITEMS, int(MOST_SHARE * len(titles)))
    kept = {run for run, count in counts.items() if LEAST_ITEMS <= count <= most}
    mine = [sorted((found & kept) | ({kind} - {""})) for found, kind in zip(runs, kinds, strict=True)]
    texts = tuple(sorted({text for found in mine for text in found}))
    row = {text: n for n, text in enumerate(texts)}
    items = np.repeat(np.arange(len(mine), dtype=np.int64), [len(found) for found in mine])
    tags: npt.NDArray[Any] = np.fromiter((row[text] for found in mine for text in found), np.int64, count=len(items))
    return TagTexts(texts, items, tags)


def title_tags(titles: Sequence[str], rows: npt.NDArray[Any]) -> TagTexts:
    """Each of these items (rows of the catalogue) with its own title."""
    items = np.unique(rows)
    return _tags([titles[row] for row in items], items)


def query_tags(
    searches: tuple[npt.NDArray[Any], npt.NDArray[Any], Sequence[str]],
    taken: tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]],
    within: int = 86400,
) -> TagTexts:
    """Each search with the next item that its user took, if that was at most `within` seconds later.

    searches: users (S,), times (S,) in seconds, texts; taken: users (E,), times (E,) and item rows (E,). In any order.
    """
    askers, moments, texts = searches
    users, times, items = taken
    if not len(items):
        return _tags([], items)
    order = np.lexsort((times, users))
    users, times, items = users[order], times[order], items[order]
    # A user's events are a run of the sorted ones; the next one after a moment is found by bisection in one number.
    span = np.ptp(np.concatenate([times, moments])) + 1  # seconds
    after = np.searchsorted(users * span + times, askers * span + moments)
    at = after.clip(max=len(items) - 1)
    found = (after < len(items)) & (users[at] == askers) & (times[at] - moments <= within)
    return _tags([text for text, one in zip(texts, found, strict=True) if one], items[at[found]])


def joined(*parts: TagTexts) -> TagTexts:
    """All pairs of all parts, each as often as it is there."""
    texts = [part.texts[tag] for part in parts for tag in part.tags]
    return _tags(texts, np.concatenate([np.zeros(0, np.int64), *(part.items for part in parts)]))


def _tags(texts: Sequence[str], items: npt.NDArray[Any]) -> TagTexts:
    """From parallel texts and item rows; a text without a word says nothing and is left out."""
    kept = [place for place, text in enumerate(texts) if words(text)]
    distinct = tuple(sorted({texts[place] for place in kept}))
    row = {text: number for number, text in enumerate(distinct)}
    tags = np.fromiter((row[texts[place]] for place in kept), np.int64, count=len(kept))
    return TagTexts(distinct, np.asarray(items, dtype=np.int64)[kept], tags)


def _runs(title: str, brand: frozenset[str]) -> Iterator[str]:
    found = words(title)
    for size in (2, 3):
        for start in range(len(found) - size + 1):
            run = found[start : start + size]
            if all(word.isalpha() and len(word) > 1 and word not in brand and word not in _STOP for word in run):
                yield " ".join(run)
