"""How a line says when and how: `2026 Oct 21 (carted, viewed x4), Sep x2, 2025 (bought)`.

Days within a month of the night, months within a year, years beyond, the latest first. What a reader can carry over is
not said again: a month's year after another month of that year, and a single behaviour at the next moment. A moment
and what was done then are packed into one integer, so that a text part is made once for a whole process and a line is
a few look-ups.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np

from recgpt.settings import Behaviour

RATING: Final = "rating"  # the one behaviour whose value is shown, as stars: one star is no liking

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

MONTH_SECONDS, YEAR_SECONDS = 31 * 86_400, 366 * 86_400
_MONTHS, _DAYS = 1 << 20, 1 << 21  # years, months and days since 1970, apart: later moments are larger numbers
MOMENT_BITS, COUNT_BITS, VALUE_BITS, RANK_BITS = 22, 17, 11, 8
HOW_BITS = COUNT_BITS + VALUE_BITS + RANK_BITS
LAST_MOMENT = (1 << MOMENT_BITS) - 1
MOST_COUNT = (1 << COUNT_BITS) - 1
MOST_VALUE = (1 << VALUE_BITS) - 2
# Where a part stands: first of its line, first and last of its moment, a moment whose behaviour the next one repeats,
# or one of the year that the moment before it said.
FIRST, OPENS, CLOSES, BARE, SAME_YEAR = 1, 2, 4, 8, 16
_FLAG_BITS = 5
_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def moments(times: np.ndarray[Any, Any], night: datetime) -> tuple[Ints, Ints]:
    """Moment numbers (E,) of times (E,) datetime64[s] before `night`, which grow with time, and their years (E,)."""
    days = times.astype("datetime64[D]")
    age = int(night.timestamp()) - times.astype(np.int64)
    months = _MONTHS + days.astype("datetime64[M]").astype(np.int64)
    years = days.astype("datetime64[Y]").astype(np.int64)
    numbers = np.where(
        age <= MONTH_SECONDS, _DAYS + days.astype(np.int64), np.where(age <= YEAR_SECONDS, months, years)
    )
    return np.maximum(numbers, 0), years


def moment_text(moment: int, *, same_year: bool = False) -> str:
    """`2026 Oct 3`, `2026 Oct` or `2026`; in the same year as the moment before it `Oct 3`, `Oct` or `2026`."""
    if moment < _MONTHS:
        return str(1970 + moment)
    day = ""
    if moment >= _DAYS:
        date = np.datetime64(moment - _DAYS, "D")
        moment, day = _MONTHS + int(date.astype("datetime64[M]").astype(np.int64)), f" {date.item().day}"
    years, month = divmod(moment - _MONTHS, 12)
    return ("" if same_year else f"{1970 + years} ") + _MONTH_NAMES[month] + day


def pack(moment: Ints, how: Ints, first: Bools, opens: Bools, closes: Bools, bare: Bools, same_year: Bools) -> Ints:
    """One integer for each part (P,): where it stands, and how = (value, count, rank).

    A part that does not open its moment does not say it either, so it shares a number with those of other moments.
    """
    flags = first * FIRST | opens * OPENS | closes * CLOSES | bare * BARE | (opens & same_year) * SAME_YEAR
    return (np.where(opens, moment, 0) << HOW_BITS | how) << _FLAG_BITS | flags


class Parts(dict[int, str]):
    """Texts of packed parts; one for a set of behaviour words."""

    def __init__(self, words: tuple[str, ...]) -> None:
        super().__init__()
        self.words = words

    def __missing__(self, packed: int) -> str:
        if len(self) > 200_000:
            self.clear()
        flags, rest = packed & (1 << _FLAG_BITS) - 1, packed >> _FLAG_BITS
        rank, rest = rest & (1 << RANK_BITS) - 1, rest >> RANK_BITS
        count, rest = rest & MOST_COUNT, rest >> COUNT_BITS
        value, moment = rest & (1 << VALUE_BITS) - 1, rest >> VALUE_BITS
        how = self.words[rank] + (f" {(value - 1) / 10:g}" if value else "")
        times = f" x{count}" if count > 1 else ""
        text = "" if flags & FIRST else ", "
        if flags & OPENS:
            text += moment_text(moment, same_year=bool(flags & SAME_YEAR))
        if flags & OPENS and flags & CLOSES:  # one behaviour: how often stands with the moment
            text += times + ("" if flags & BARE else f" ({how})")
        else:
            text += (" (" if flags & OPENS else "") + how + times + (")" if flags & CLOSES else "")
        self[packed] = text
        return text


class Vocabulary:
    """Behaviours as rendering needs them: by their index in the log, and by rank (the most telling first)."""

    def __init__(self, known: tuple[tuple[bool, float, str, bool], ...]) -> None:
        self.words = tuple(word for _, _, word, _ in known)
        self.reliable = np.array([reliable for reliable, *_ in known], bool)
        self.weights = np.array([weight for _, weight, *_ in known], np.float64)
        self.starred = np.array([starred for *_, starred in known], bool)
        by_weight = sorted(range(len(known)), key=lambda index: (-known[index][1], known[index][2]))
        self.ranks = np.empty(len(known), np.int64)
        self.ranks[by_weight] = np.arange(len(known))
        self.parts = Parts(tuple(self.words[index] for index in by_weight))


@lru_cache(maxsize=16)
def _vocabulary(known: tuple[tuple[bool, float, str, bool], ...]) -> Vocabulary:
    return Vocabulary(known)


def vocabulary(behaviours: Mapping[str, Behaviour], names: tuple[str, ...]) -> Vocabulary:
    """A behaviour that the config does not know says nothing on purpose: it is not reliable."""
    known = []
    for name in names:
        behaviour = behaviours.get(name)
        if behaviour is None:
            known.append((False, 0.1, name, False))
        else:
            known.append((behaviour.reliable, behaviour.weight, behaviour.word, name == RATING))
    return _vocabulary(tuple(known))
