"""A user as text: what they did on purpose, each item once, in numbered lines that fit a budget.

    <user_log>
    User: age: 35-44; city: Leeds
    [1] 2026-10-21 (bought), 2026-10-20 (viewed x4, carted) | Bath thermometer, Acme - Baby care
    [2] 2026-09 (searched x2) | "bath thermometer"
    And 312 weaker or earlier left out: viewed x312
    Not shown, as weak signs: clicked x40
    </user_log>

Promises: every reliable event stands in one line or in the count of those left out; numbers run from 1 in the order of
the lines, the most telling first, and do not depend on the budget; the text is at most `max_tokens` (of 200 or more)
long; it is the same for the same history, catalogue, settings and night. Text from the logs is cleaned and comes last
on its line, so it can't pose as a number, a date or a doing. No column of a user but its base features is shown.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recgpt.config import Behaviour
from recgpt.rendering.budget import fit
from recgpt.rendering.clean import clean
from recgpt.rendering.compress import Compressed, compress
from recgpt.rendering.labels import costs_of, labels_of
from recgpt.rendering.moments import Ints, vocabulary
from recgpt.sources.logs import Catalogue, History, utc64

_LEAST_LINE = 4  # tokens; no line has fewer, so lines beyond the budget / 4 are not even made

_KINDS = 6  # of behaviours that a count tells apart


class Line(NamedTuple):  # a tuple, because a dataclass takes several times as long to make
    """One numbered line of a profile."""

    number: int
    text: str  # with its number in front
    item: int  # row in the catalogue, of the latest event where items share a label; -1 for a search
    query: str | None  # cleaned
    events: tuple[int, ...]  # indices into the history, ascending


class Profile(NamedTuple):
    text: str
    lines: tuple[Line, ...]
    left_out: int  # reliable events that no line shows


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
    since: datetime | None = None,
    first_number: int = 1,
) -> Profile:
    """The profile text of a user's events before `night`.

    Args:
        names: behaviours by their index in the log (`Logs.behaviours`).
        count_tokens: the served model's own count; called on short parts, once each, and on few whole texts.
        title_words: the most words of a title.
        since: only the events at this moment or later; lines still hold indices into the whole history.
        first_number: of the first line, for a text that goes on where another one ended.
    """
    words = vocabulary(behaviours, names)
    start = 0 if since is None else int(np.searchsorted(history.times, utc64(since), side="left"))
    codes = history.behaviours[start:]
    reliable = words.reliable[codes]
    chosen = start + np.flatnonzero(reliable)
    head = f"<user_log>\n{_user(history.features, max_tokens, count_tokens)}\n"
    tail = "\n</user_log>"
    if len(chosen) < len(reliable):
        tail = f"\nNot shown, as weak signs: {_tally(codes[~reliable], words.words)}{tail}"
    if not len(chosen):
        return Profile(f"{head}Nothing done on purpose is on record.{tail}", (), 0)

    labels = labels_of(catalogue, title_words)
    found = compress(history, chosen, words, labels, night, max(1, max_tokens // _LEAST_LINE))
    numbers = range(first_number, first_number + len(found.labels))
    texts = [
        f"[{number}] {when[0] if len(when) == 1 else ''.join(when)} | {label}"
        for number, when, label in zip(numbers, found.whens, found.labels, strict=True)
    ]

    def text_of(lines: int) -> str:
        left = _left(found, lines)
        if not len(left):
            return head + "\n".join(texts) + tail
        said = f"And {len(left)} weaker or earlier left out: {_tally(history.behaviours[left], words.words)}{tail}"
        return head + "\n".join([*texts[:lines], said])

    whole = text_of(len(texts))
    if len(whole.encode()) <= max_tokens:
        shown, text = len(texts), whole
    else:
        parts = [
            (f"[{number}] ", *when, f" | {label}")
            for number, when, label in zip(numbers, found.whens, found.labels, strict=True)
        ]
        shown, text = fit(text_of, parts, max_tokens, costs_of(count_tokens))
    lines = tuple(map(Line, numbers[:shown], texts, found.items, found.queries, found.events))
    return Profile(text, lines, len(_left(found, shown)))


def _left(found: Compressed, lines: int) -> Ints:
    """Indices of reliable events that are not in the first `lines` lines."""
    if lines == len(found.events):
        return found.left
    return np.concatenate([found.left, *(np.array(events, np.int64) for events in found.events[lines:])])


def _tally(codes: npt.NDArray[np.integer[Any]], words: tuple[str, ...]) -> str:
    counts = np.bincount(codes, minlength=len(words))
    order = np.argsort(-counts, kind="stable")
    told = [f"{words[code]} x{counts[code]}" for code in order[:_KINDS].tolist() if counts[code]]
    others = counts[order[_KINDS:]].sum()
    return ", ".join([*told, f"others x{others}"] if others else told)


def _user(features: Mapping[str, str], max_tokens: int, count_tokens: Callable[[str], int]) -> str:
    """The base features' line; it takes at most half of the budget, and says how many it had no room for."""
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
