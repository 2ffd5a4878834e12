"""Reads a profile text back from its words alone: what stands at each number, and how many events it tells of."""

import re
from typing import NamedTuple

_DATE = r"[A-Z][a-z]{2}(?: \d{1,2})?"
_MOMENT = re.compile(rf"(?:(\d{{4}})(?: ({_DATE}))?|({_DATE}))(?: x(\d+))?(?: \(([^()]+)\))?(?:, |$)")
_LEFT = re.compile(r"^And (\d+) weaker or earlier left out: (.+)$", re.MULTILINE)


class Entry(NamedTuple):
    when: str  # `2026 Oct 21 (bought), Sep x2 (viewed)`
    number: int
    name: str


def entries(text: str) -> list[Entry]:
    """Everything in a profile text that has a number, in the order of the text."""
    found = []
    for line in text.split("\n"):
        when, bar, items = line.partition(" | [")
        if bar and line[:4].isdecimal():
            for item in re.split(r"; \[(?=\d+\] )", items):
                number, _, name = item.partition("] ")
                found.append(Entry(when, int(number), name))
    return found


def doings(when: str) -> tuple[list[tuple[str, str, int]], int]:
    """What a when and how tells, as (moment, behaviour, times) with nothing left to carry over; and how many events lie
    before. Raises ValueError for one that breaks the grammar."""
    shown, _, before = when.rpartition(", ") if when.endswith(" times before") else (when, "", "0")
    found: list[tuple[str, str, int]] = []
    waiting: list[tuple[str, int]] = []  # moments whose behaviour the next one says
    at, year = 0, ""
    while at < len(shown):
        parsed = _MOMENT.match(shown, at)
        if parsed is None:
            raise ValueError(f"{when!r} at {at}")
        at, year = parsed.end(), parsed[1] or year
        moment, times, how = f"{year} {parsed[2] or parsed[3] or ''}".strip(), int(parsed[4] or 1), parsed[5]
        if how is None:
            waiting.append((moment, times))
            continue
        several = [re.fullmatch(r"(.+?)(?: x(\d+))?", one) for one in how.split(", ")]
        hows = [(one[1], int(one[2] or 1)) for one in several if one]
        if len(hows) == 1:
            hows = [(hows[0][0], times)]
        elif waiting or parsed[4]:
            raise ValueError(f"{when!r}: several behaviours can't be carried over")
        found += [(earlier, hows[0][0], count) for earlier, count in waiting]
        found += [(moment, behaviour, count) for behaviour, count in hows]
        waiting = []
    if waiting:
        raise ValueError(f"{when!r} does not say how")
    return found, int(before.split(" ")[0])


def told(when: str) -> int:
    """How many events a when and how tells of."""
    found, before = doings(when)
    return before + sum(times for _, _, times in found)


def left_out(text: str) -> int:
    """How many events a text says it left out."""
    said = _LEFT.search(text)
    return int(said[1]) if said else 0
