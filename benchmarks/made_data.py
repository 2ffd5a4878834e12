"""A shop of Amazon Beauty's size, drawn by chance: for benchmarks of speed, which must run where no data set lies.

Counts of users, items and events, the lengths of titles and paths, how many brands there are and how uneven people and
items are follow the real set (benchmarks/public_data.py). Nothing is to be learnt from it.
"""

import numpy as np
import numpy.typing as npt

from towers.data import TrainingData

USERS, ITEMS, EVENTS = 22_363, 12_101, 198_500
WORDS, BRANDS, PATHS = 10_000, 437, 227
TITLE = (5, 18)  # words, from and below
DAYS = 365


def beauty_like(users: int = USERS, items: int = ITEMS, events: int = EVENTS, seed: int = 1) -> TrainingData:
    """All events are one behaviour; each user's stand from the oldest to the newest."""
    draw = np.random.default_rng(seed)
    words = [_word(draw) for _ in range(WORDS)]
    paths = [f"Beauty > {' > '.join(draw.choice(words, draw.integers(1, 5)))}" for _ in range(PATHS)]
    lengths = draw.integers(*TITLE, size=items)
    said = np.split(_uneven(WORDS, lengths.sum(), draw), lengths.cumsum()[:-1])
    who = np.sort(_at_least_five(users, events, draw))
    days = np.sort(who * DAYS + draw.integers(0, DAYS, events)) % DAYS  # sorted within each user
    return TrainingData(
        item_ids=[f"item {n}" for n in range(items)],
        titles=[" ".join(words[row] for row in rows) for rows in said],
        categories=[paths[n] for n in _uneven(PATHS, items, draw)],
        brands=[f"brand {n}" for n in _uneven(BRANDS, items, draw)],
        user_ids=[f"user {n}" for n in range(users)],
        users=who,
        items=draw.permutation(_at_least_five(items, events, draw)),
        behaviours=np.zeros(events, np.int64),
        times=days * 86_400,
    )


def _word(draw: np.random.Generator) -> str:
    return "".join(draw.choice(list("abcdefghijklmnoprstuwy"), draw.integers(3, 10)))


def _at_least_five(n: int, size: int, draw: np.random.Generator) -> npt.NDArray[np.int64]:
    """(size,) numbers below n, each five times, and the rest unevenly."""
    return np.concatenate([np.repeat(np.arange(n), 5), _uneven(n, size - 5 * n, draw)])


def _uneven(n: int, size: int, draw: np.random.Generator) -> npt.NDArray[np.int64]:
    """(size,) numbers below n, in which a number's chance is exp(1.5 z), z of a normal distribution."""
    chances = draw.lognormal(sigma=1.5, size=n)
    return draw.choice(n, size, p=chances / chances.sum())
