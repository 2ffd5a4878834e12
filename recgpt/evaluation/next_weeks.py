"""A split of a log in time: what is before a moment is known, what users take in the weeks after it is asked for.

All users share the moments, so nothing that happened later anywhere can leak. Purchases of what a user never had and of
what they had before are different tasks (the second is answered by one's own habit), so each is asked apart: new items
are ranked among those the user never had, repeats among those they had.
"""

from dataclasses import dataclass

import numpy as np

from recgpt.evaluation.ranking import Array, Log, Questions, Show
from recgpt.evaluation.splits import by_moment


@dataclass(frozen=True)
class Weeks:
    """Validation and test, each by what may be shown. Weights read what is before the validation, both times."""

    validation: dict[Show, Questions]
    test: dict[Show, Questions]


def questions(
    users: Array, items: Array, days: Array, n_users: int, n_items: int, *, validation_from: float, test_from: float,
    until: float = float("inf"),
) -> Weeks:  # fmt: skip
    """Of events (E,) whose times are days, as floats; the validation ends where the test begins.

    A history's ages are days before the moment asked from.
    """
    split = by_moment(days, validation_from, test_from)
    validation, test = split.validation, split.test & (days < until)

    def known(before: Array, moment: float) -> Log:
        return Log(users[before], items[before], moment - days[before], n_users, n_items)

    learnt, live = known(split.train, validation_from), known(~split.test, test_from)
    return Weeks(
        {show: asked(learnt, learnt, users[validation], items[validation], show) for show in Show},
        {show: asked(learnt, live, users[test], items[test], show) for show in Show},
    )


def asked(learnt: Log, live: Log, users: Array, items: Array, show: Show, catalogue: Array | None = None) -> Questions:
    """The questions that events (E,) after the moment answer: of each user the distinct items, new ones or repeats.

    Users who took nothing of the kind are not asked. With a `catalogue` (N,), only items of it are wanted.
    """
    pairs = np.unique(users.astype(np.int64) * live.n_items + items)
    if show is not Show.ALL:
        had = np.isin(pairs, live.users.astype(np.int64) * live.n_items + live.items)
        pairs = pairs[had if show is Show.REPEATS else ~had]
    if catalogue is not None:
        pairs = pairs[catalogue[pairs % live.n_items]]
    who, starts = np.unique(pairs // live.n_items, return_index=True)
    wanted = np.split(pairs % live.n_items, starts[1:]) if len(who) else []
    return Questions(learnt, live, who, wanted, show, catalogue)
