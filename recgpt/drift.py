"""How far what a user does has moved from what the last full reading saw.

    drift = 0.4 |H(q) - H(p)| + 0.3 (1 - Jaccard(p, q)) + 0.3 JS(p, q)

p and q are distributions of a user's reliable events over categories, by the weights of their behaviours: p of the year
before the full reading, q of all that came after it. H is the entropy over the categories that either of them has,
divided by its largest value; Jaccard compares the sets of categories; JS is the Jensen-Shannon divergence in bits. Each
part, and so their sum, lies between 0 and 1. The formula is RecGPT-Mobile's (arXiv 2605.04726); the windows are ours.

A single night says too little: two looks at one thing are far from any distribution, whoever the user is. So drift is
taken over everything since the full reading, and is 0 as long as either side has fewer than `MIN_EVENTS` events.
Searches, and items without a category, are left out.
"""

from collections import Counter
from collections.abc import Mapping
from math import log2
from typing import Any, Final

import numpy as np

from recgpt.sources.logs import Catalogue, History

WINDOW_DAYS: Final = 365  # before the full reading
MIN_EVENTS: Final = 20

Array = np.ndarray[Any, np.dtype[Any]]


def user_drift(history: History, catalogue: Catalogue, weights: Array, full: np.datetime64) -> float:
    """The drift of one user's events before the night against those before `full`, the moment of the full reading.

    Args:
        weights: of each event, (E,); 0 for one that is not reliable.
    """
    known = (history.items >= 0) & (weights > 0)
    before = known & (history.times < full) & (history.times >= full - np.timedelta64(WINDOW_DAYS, "D"))
    since = known & (history.times >= full)
    if min(before.sum(), since.sum()) < MIN_EVENTS:
        return 0.0
    return drift(*(_by_category(history.items[part], weights[part], catalogue) for part in (before, since)))


def _by_category(items: Array, weights: Array, catalogue: Catalogue) -> Counter[str]:
    rows, place = np.unique(items, return_inverse=True)
    found: Counter[str] = Counter()
    for row, weight in zip(rows.tolist(), np.bincount(place, weights).tolist(), strict=True):
        if catalogue.categories[row]:
            found[catalogue.categories[row]] += weight
    return found


def drift(before: Mapping[str, float], since: Mapping[str, float]) -> float:
    """The drift between two sets of weights by category, from 0 (the same) to 1; 0 if either is empty."""
    if not before or not since:
        return 0.0
    p, q = _shares(before), _shares(since)
    union = p.keys() | q.keys()
    middle = {one: (p.get(one, 0.0) + q.get(one, 0.0)) / 2 for one in union}
    most = log2(len(union)) if len(union) > 1 else 1.0
    js = _entropy(middle) - (_entropy(p) + _entropy(q)) / 2
    jaccard = len(p.keys() & q.keys()) / len(union)
    return 0.4 * abs(_entropy(q) - _entropy(p)) / most + 0.3 * (1 - jaccard) + 0.3 * max(js, 0.0)


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {one: weight / total for one, weight in weights.items()}


def _entropy(shares: Mapping[str, float]) -> float:
    return -sum(share * log2(share) for share in shares.values() if share > 0)
