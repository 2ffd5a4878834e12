"""A user as text: what they did on purpose, each item once, in lines that fit a budget.

    <user_log>
    User: age: 35-44; city: Leeds
    2026 Oct 21 (bought), Oct 20 (carted, viewed x4) | [1] Bath thermometer, Acme - Baby care
    2026 Sep x2, May (bought) | [2] Wool socks; [3] Oolong tea, Lumo
    2026 Sep (searched) | [4] "bath thermometer"
    And 312 weaker or earlier left out: viewed x312
    Not shown, as weak signs: clicked x40
    </user_log>

Items that share their when and how share a line (RecGPT technical report, arXiv 2507.22879: `Time1 (Beh1, Beh2), Time2
(Beh1) | Item1, Item2`); each has its own evidence number.

Promises: every reliable event stands at one number or in the count of those left out; numbers run from 1 as the text is
read, lines by their most telling item, the most telling first; what is left out tells less than anything shown (weight
of the behaviours, halved for each year of age); the text is at most `max_tokens` (of 200 or more) long; it is the same
for the same history, catalogue, settings and night. Text from the logs is cleaned, holds no number in square brackets,
and follows one on its line, so it can't pose as a number, a date or a doing. No column of a user but its base features
is shown. What surrounds the user (season, events) is not in it: prompts have a place of their own for that, so that a
text changes only when its user does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recgpt.rendering.budget import fit
from recgpt.rendering.clean import clean
from recgpt.rendering.compress import Compressed, compress
from recgpt.rendering.labels import costs_of, labels_of
from recgpt.rendering.moments import Ints, vocabulary
from recgpt.settings import Behaviour
from recgpt.sources.logs import Catalogue, History

_LEAST_ITEM = 4  # tokens; no item takes fewer, so items beyond the budget / 4 are not even named
_KINDS = 6  # of behaviours that a count tells apart


class Line(NamedTuple):  # a tuple, because a dataclass takes several times as long to make
    """What stands at one number of a profile: an item or a search, and all that was done to it."""

    number: int
    item: int  # row in the catalogue, of the latest event where items share a label; -1 for a search
    query: str | None  # cleaned
    events: tuple[int, ...]  # indices into the history, ascending


class Profile(NamedTuple):
    text: str
    lines: tuple[Line, ...]
    left_out: int  # reliable events that have no number


def render(
    history: History,
    catalogue: Catalogue,
    behaviours: Mapping[str, Behaviour],
    names: tuple[str, ...],
    *,
    night: datetime,
    max_tokens: int,
    count_tokens: Callable[[str], int],
    title_words: int,
) -> Profile:
    """The profile text of a history, whole or a part, whose last event is before `night`.

    Args:
        names: behaviours by their index in the log (`Logs.behaviours`).
        count_tokens: the served model's own count; called on short parts, once each, and on few whole texts.
        title_words: the most words of a title.
    """
    words = vocabulary(behaviours, names)
    reliable = words.reliable[history.behaviours]
    chosen = np.flatnonzero(reliable)
    head = f"<user_log>\n{_user(history.features, max_tokens, count_tokens)}\n"
    tail = "\n</user_log>"
    if len(chosen) < len(reliable):
        tail = f"\nNot shown, as weak signs: {_tally(history.behaviours[~reliable], words.words)}{tail}"
    if not len(chosen):
        return Profile(f"{head}Nothing done on purpose is on record.{tail}", (), 0)

    labels = labels_of(catalogue, title_words)
    found = compress(history, chosen, words, labels, night, max(1, max_tokens // _LEAST_ITEM))
    whens = [when[0] if len(when) == 1 else "".join(when) for when in found.whens]

    def text_of(items: int, groups: Mapping[str, Sequence[int]]) -> str:
        lines = _lines(found.labels, groups)
        left = _left(found, items)
        if len(left):
            lines.append(f"And {len(left)} weaker or earlier left out: {_tally(history.behaviours[left], words.words)}")
        return head + "\n".join(lines) + tail

    shown, groups = len(whens), _grouped(whens)
    text = text_of(shown, groups)
    if len(text.encode()) > max_tokens:
        parts = _parts(found.whens, whens, found.labels)
        shown, text = fit(
            lambda items: text_of(items, _grouped(whens[:items])), parts, max_tokens, costs_of(count_tokens)
        )
        groups = _grouped(whens[:shown])
    order = [place for places in groups.values() for place in places]
    columns = (map(column.__getitem__, order) for column in (found.items, found.queries, found.events))
    lines = tuple(map(Line, range(1, shown + 1), *columns))
    return Profile(text, lines, len(_left(found, shown)))


def _grouped(whens: Sequence[str]) -> dict[str, list[int]]:
    """Places of items by when and how, in the order of each group's first."""
    groups: dict[str, list[int]] = {}
    for place, when in enumerate(whens):
        groups.setdefault(when, []).append(place)
    return groups


def _lines(labels: Sequence[str], groups: Mapping[str, Sequence[int]]) -> list[str]:
    lines, number = [], 1
    for when, places in groups.items():
        items = "; ".join([f"[{n}] {labels[place]}" for n, place in enumerate(places, number)])
        lines.append(f"{when} | {items}")
        number += len(places)
    return lines


def _parts(parts: Sequence[Sequence[str]], whens: Sequence[str], labels: Sequence[str]) -> Iterator[Sequence[str]]:
    """The text that each item adds to those before it: the first of its line brings the line's when and how."""
    met: set[str] = set()
    for place, (when, label) in enumerate(zip(whens, labels, strict=True)):
        number = f"[{place + 1}]"
        if when in met:
            yield "; ", number, f" {label}"
        else:
            met.add(when)
            yield "\n", *parts[place], " | ", number, f" {label}"


def _left(found: Compressed, items: int) -> Ints:
    """Indices of reliable events that are about none of the first `items` items."""
    if items == len(found.events):
        return found.left
    return np.concatenate([found.left, *(np.array(events, np.int64) for events in found.events[items:])])


def _tally(codes: npt.NDArray[np.integer[Any]], words: tuple[str, ...]) -> str:
    counts = np.bincount(codes, minlength=len(words))
    order = np.argsort(-counts, kind="stable")
    told = [f"{words[code]} x{counts[code]}" for code in order[:_KINDS].tolist() if counts[code]]
    others = counts[order[_KINDS:]].sum()
    return ", ".join([*told, f"others x{others}"] if others else told)


def _user(features: Mapping[str, str], max_tokens: int, count_tokens: Callable[[str], int]) -> str:
    """The base features' line, which takes at most half of the budget, and says how many it had no room for."""
    if not features:
        return "User: nothing is known beside the log"
    said = [_feature(name, value) for name, value in features.items()]
    line = f"User: {'; '.join(said)}"
    kept, half = len(said), max_tokens // 2
    while kept and len(line.encode()) > half and count_tokens(line) > half:
        kept -= 1
        line = f"User: {'; '.join([*said[:kept], f'{len(said) - kept} more'])}"
    return line


@lru_cache(maxsize=65_536)
def _feature(name: str, value: str) -> str:
    return f"{clean(name, 40)}: {clean(value, 80)}".replace(";", ",")
