"""Splits of a log into what a model may learn from and what it is asked, by a moment or by each user's last item.

A split is a boolean mask over the events in their own order; nothing is copied or sorted. What every split promises: no
event of a user that is learnt from stands after one that the user is asked about.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """Three masks (E,); each event is in at most one."""

    train: Mask
    validation: Mask
    test: Mask


def by_moment(times: Array, validation_from: Any, test_from: Any) -> Split:
    """Everything before `validation_from` is learnt from, what follows `test_from` (inclusive) is the test.

    All users share the moments, so nothing that happened later anywhere can leak. Equal times stay on one side.
    """
    if validation_from > test_from:
        raise ValueError("validation must start no later than the test")
    times = np.asarray(times)
    test = times >= test_from
    validation = (times >= validation_from) & ~test
    return Split(~(validation | test), validation, test)


def leave_one_out(users: Array) -> Split:
    """Each user's last event is the test and the one before it the validation; the rest is learnt from.

    `users` (E,) may interleave users, but each one's events stand from the oldest to the newest: order decides, not the
    clock. A user with one or two events is learnt from only.
    """
    users = np.asarray(users)
    order = np.argsort(users, kind="stable")
    grouped = users[order]
    if not len(grouped):
        empty = np.zeros(0, dtype=bool)
        return Split(empty, empty.copy(), empty.copy())
    starts = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
    sizes = np.diff(np.r_[starts, len(grouped)])
    ends = (starts + sizes)[sizes >= 3]
    test, validation = np.zeros(len(users), dtype=bool), np.zeros(len(users), dtype=bool)
    test[order[ends - 1]] = True
    validation[order[ends - 2]] = True
    return Split(~(test | validation), validation, test)


def cold_items(n_items: int, share: float, seed: int) -> Mask:
    """(N,) which items are held out of training altogether, drawn evenly: `share` of them, rounded."""
    chosen = np.zeros(n_items, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(n_items)[: round(share * n_items)]] = True
    return chosen


def shuffled_days(users: Array, days: Array, seed: int) -> Array:
    """(E,) an order of the events by user, then by day, and within a user's day at random.

    For logs that know no more than the day: what stands within it is then in no order that a model could learn.
    """
    draw = np.random.default_rng(seed).random(len(users))
    return np.lexsort((draw, np.asarray(days), np.asarray(users)))
