"""A user's reliable events, grouped by meaning; and which of the groups are interests.

For the `grouped` strategy: evidence is right by construction, and a model only has to name what it is shown. Items
whose vectors are alike make a group, searches join the group they are nearest to, and rules decide. What came in one
burst counts once, however much it holds, so that a gift or a necessity never adds up to an interest: an interest comes
back. Plain clicks and impressions are not looked at. Nothing here calls a model, and time is bounded for any history.

To stay in a memory takes less than to come into it: a group at the edge of a rule would else be an interest on one
night, none on the next, and a new one on the third.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from recgpt.settings import Behaviour, Interests
from recgpt.sources.logs import History
from recgpt.words import Horizon

Array = np.ndarray[Any, np.dtype[Any]]

MAX_ITEMS: Final = 400  # distinct items that are grouped, the weightiest; what a heavier user adds changes no interest
BURST_DAYS: Final = 10  # evidence within so many days is one burst, a gift's or a necessity's
BURST_WEIGHT: Final = 4.0  # the most that one burst counts: a purchase
MIN_WEIGHT: Final = 9.0  # of all bursts together
SHORT_WEIGHT: Final = 6.0  # of a short-term interest, which has had less time
SHORT_SPAN: Final = 10  # days; a necessity is looked around for and bought within fewer
FADED_DAYS: Final = 150  # of the user's own clock without an event: the interest is taken to be over
STAY_DAYS: Final = 14  # so much longer a remembered interest may go without an event
STAY_WEIGHT: Final = 0.75  # of the weight that it took to come in


@dataclass(frozen=True)
class Standing:
    """What the rules say of a group."""

    weight: float
    horizon: Horizon | None  # None: it is no interest
    why_not: str = ""  # the rule that it breaks: too_little_evidence, burst, faded
    stays: frozenset[Horizon] = frozenset()  # a remembered interest of these horizons goes on with it


@dataclass(frozen=True)
class Group:
    """Events of one meaning."""

    items: tuple[int, ...]  # catalogue rows, the weightiest first
    events: tuple[int, ...]  # indices into the history, ascending; searches too
    queries: tuple[str, ...]  # distinct texts, in order of time
    standing: Standing
    first: datetime
    last: datetime


def group(
    history: History,
    vectors: Array,
    queries: Array,
    behaviours: Mapping[str, Behaviour],
    names: Sequence[str],
    rules: Interests,
    night: datetime,
) -> list[Group]:
    """All groups, the weightiest first; those whose standing has a horizon are interests.

    Args:
        history: events before the night.
        vectors: of the catalogue's items, length one, (N, D).
        queries: of the history's searches that have a text, length one, in their order, (Q, D).
        behaviours: how each behaviour counts.
        names: what `history.behaviours` indexes.
        rules: what makes a group an interest.
        night: the moment as of which an interest is young, or over.
    """
    weights = np.array([behaviours[name].weight if behaviours[name].reliable else 0.0 for name in names])
    of_event = weights[history.behaviours] if len(history.times) else np.zeros(0)
    events = np.flatnonzero((history.items >= 0) & (of_event > 0))
    rows, position = np.unique(history.items[events], return_inverse=True)
    if not len(rows):
        return []
    of_item = np.bincount(position, of_event[events])
    if len(rows) > MAX_ITEMS:
        kept = np.sort(np.argsort(-of_item, kind="stable")[:MAX_ITEMS])
        inside = np.isin(position, kept)
        events, position = events[inside], np.searchsorted(kept, position[inside])
        rows, of_item = rows[kept], of_item[kept]
    cluster = _clusters(vectors[rows], rules.similarity)  # (R,)
    searches = np.array([index for index, query in enumerate(history.queries) if query], np.int64)
    searches_cluster = _join(queries, vectors[rows], cluster, rules.similarity)
    reliable = of_event[searches] > 0 if len(searches) else np.zeros(0, bool)
    latest = history.times[np.flatnonzero(of_event > 0)[-1]].astype("datetime64[D]")
    today = np.datetime64(night.astimezone(UTC).replace(tzinfo=None), "D")
    found: list[Group] = []
    for number in range(cluster.max() + 1):
        members = np.flatnonzero(cluster == number)
        asked = searches[(searches_cluster == number) & reliable]
        mine = np.sort(np.concatenate([events[np.isin(position, members)], asked]))
        texts = tuple(dict.fromkeys(str(history.queries[index]) for index in asked))
        order = members[np.argsort(-of_item[members], kind="stable")]
        found.append(
            Group(
                items=tuple(int(row) for row in rows[order]),
                events=tuple(int(index) for index in mine),
                queries=texts,
                standing=_judge(history.times[mine], of_event[mine], len(members) + len(texts), rules, latest, today),
                first=_moment(history.times[mine[0]]),
                last=_moment(history.times[mine[-1]]),
            )
        )
    found.sort(key=lambda one: (-one.standing.weight, one.items))
    return found


def _clusters(vectors: Array, similarity: float) -> Array:
    """Average linkage: groups whose items are alike on average. Numbers from 0, (R,)."""
    if len(vectors) == 1:
        return np.zeros(1, np.int64)
    from scipy.cluster.hierarchy import fcluster, linkage  # noqa: PLC0415 (takes a fifth of a second)
    from scipy.spatial.distance import squareform  # noqa: PLC0415 (likewise)

    distance = np.clip(1.0 - vectors @ vectors.T, 0.0, 2.0)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), "average")
    numbers: Array = fcluster(tree, 1.0 - similarity, "distance") - 1
    return numbers


def _join(queries: Array, vectors: Array, cluster: Array, similarity: float) -> Array:
    """For each query the cluster of the item that it is nearest to, or -1 if it is near to none. (Q,)"""
    if not len(queries):
        return np.zeros(0, np.int64)
    likeness = queries @ vectors.T  # (Q, R)
    nearest = likeness.argmax(1)
    return np.where(likeness.max(1) >= similarity, cluster[nearest], -1)


def _judge(
    times: Array, weights: Array, pieces: int, rules: Interests, latest: np.datetime64, today: np.datetime64
) -> Standing:
    """What a group with these events, in order of time, is.

    Whether it has faded is held against the user's own latest event, not against the night: of somebody who was away
    nothing has faded, and whoever does nothing new keeps what was found.
    """
    days, first_of_day = np.unique(times.astype("datetime64[D]"), return_index=True)
    by_day = np.minimum(np.add.reduceat(weights, first_of_day), BURST_WEIGHT)
    weight = float(np.minimum(np.bincount(_bursts(days), by_day), BURST_WEIGHT).sum())
    if pieces < rules.min_items or len(days) < rules.min_days:
        return Standing(weight, None, "too_little_evidence")
    total, span = float(by_day.sum()), _days(days[0], days[-1])
    age, ago, idle = _days(days[0], today), _days(days[-1], today), _days(days[-1], latest)
    lasts, comes_back = span >= rules.min_span_days, weight >= MIN_WEIGHT
    stays = set()
    if span >= SHORT_SPAN and ago <= rules.short_term_days + STAY_DAYS and total >= STAY_WEIGHT * SHORT_WEIGHT:
        stays.add(Horizon.SHORT_TERM)
    if lasts and weight >= STAY_WEIGHT * MIN_WEIGHT and idle <= FADED_DAYS + STAY_DAYS:
        stays.add(Horizon.LONG_TERM)
    young = age <= 2 * rules.short_term_days and ago <= rules.short_term_days
    if young and span >= SHORT_SPAN and total >= SHORT_WEIGHT:
        return Standing(total, Horizon.SHORT_TERM, stays=frozenset(stays))
    if lasts and comes_back and idle <= FADED_DAYS:
        return Standing(weight, Horizon.LONG_TERM, stays=frozenset(stays))
    return Standing(weight, None, "faded" if lasts and comes_back else "burst", frozenset(stays))


def _bursts(days: Array) -> Array:
    """Which burst each of these days is of: one lasts BURST_DAYS from its first day, the next day with events begins
    another. Numbers from 0, (days,)."""
    number, begin = 0, days[0]
    numbers = np.zeros(len(days), np.int64)
    for place, day in enumerate(days):
        if _days(begin, day) >= BURST_DAYS:
            number, begin = number + 1, day
        numbers[place] = number
    return numbers


def _days(begin: np.datetime64, end: np.datetime64) -> int:
    return int((end - begin).astype(int))


def _moment(time: np.datetime64) -> datetime:
    return datetime.fromtimestamp(int(time.astype("datetime64[s]").astype(np.int64)), UTC)
