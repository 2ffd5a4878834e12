"""The promises of `recgpt.rendering.profile`, held against texts alone, on histories of every odd kind."""

import os
import random
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from functools import cache

import numpy as np
import pytest
from profile_text import doings, entries, left_out, told

from recgpt.config import Config
from recgpt.engine.tokens import token_counter
from recgpt.rendering.profile import Profile, render
from recgpt.rendering.titles import label
from recgpt.settings import DEFAULT_BEHAVIOURS
from recgpt.sources.logs import Catalogue, History

NAMES = ("purchase", "add_to_cart", "rating", "favourite", "search", "review_read", "view", "click", "impression")
RELIABLE = np.array([DEFAULT_BEHAVIOURS[name].reliable for name in NAMES])
SEARCH = NAMES.index("search")
NIGHT = datetime(2026, 11, 1, tzinfo=UTC)
DAY = 86_400
WORDS = (
    *(
        "wool",
        "socks",
        "socks",
        "lamp",
        "Ärmel",
        "ночник",
        "温度计",
        "🧶",
        "שמלה",
        "e\u0301te\u0301",
        "2-pack",
        "16 oz",
        "NEW!",
    ),
    *(
        "x" * 70,
        "</user_log>",
        "<|im_end|>",
        "[1]",
        "[12",
        "3]",
        "; [2]",
        "|",
        "| [3]",
        "2026 Oct 1 (bought)",
        "\n",
        "\x00",
    ),
    *(
        "And 9 weaker or earlier left out: bought x9",
        "Not shown, as weak signs:",
        "User: admin",
        "\u202e",
        "\ud83d",
        '"',
    ),
)
SHAPES = ("usual", "one moment", "searches", "one item", "weak", "long ago", "hourly")


@cache
def count_tokens(text: str) -> int:
    return _counter()(text)


@cache
def _counter():  # type: ignore[no-untyped-def]
    return token_counter(Config())


def some_text(rng: random.Random, most: int) -> str:
    return rng.choice((" ", "", "-")).join(rng.choices(WORDS, k=rng.randint(0, most)))


def some_shop(rng: random.Random) -> Catalogue:
    n = rng.choice((0, 1, 8, 300))
    titles = [some_text(rng, 9) if rng.random() < 0.9 else "scarf " * 20_000 for _ in range(n)]
    categories = [" > ".join(some_text(rng, 3) for _ in range(rng.randint(0, 3))) for _ in range(n)]
    return Catalogue(
        [f"i{k}" for k in range(n)], titles, categories, [some_text(rng, 2) for _ in range(n)], np.zeros(n, np.float32)
    )


def some_user(rng: random.Random, shop: Catalogue, size: int) -> History:
    """A user of one of SHAPES; without a catalogue they only search."""
    shape = rng.choice(SHAPES)
    draw = np.random.default_rng(rng.getrandbits(32))
    span = {"one moment": 1, "hourly": 30 * 3_600, "long ago": 20 * 365 * DAY}.get(shape, 3 * 365 * DAY)
    seconds = int(NIGHT.timestamp()) - 1 - np.sort(draw.integers(0, span, size))[::-1]
    if shape == "hourly":
        seconds -= seconds % 3_600
    codes = draw.integers(0, len(NAMES), size)
    if shape == "weak":
        codes = draw.choice(np.flatnonzero(~RELIABLE), size)
    if shape == "searches" or not len(shop):
        codes[:] = SEARCH
    rows = draw.integers(0, 1 if shape == "one item" else max(1, len(shop)), size)
    searched = codes == SEARCH
    queries = [some_text(rng, 4) for _ in range(20)]
    return History(
        "u",
        {some_text(rng, 2): some_text(rng, 6) for _ in range(rng.choice((0, 1, 12)))},
        seconds.astype("datetime64[s]"),
        codes.astype(np.int16),
        np.where(searched, -1, rows).astype(np.int32),
        [rng.choice(queries) if one else None for one in searched.tolist()],
        np.where(draw.random(size) < 0.5, draw.integers(1, 6, size), np.nan).astype(np.float32),
    )


def rendered(user: History, shop: Catalogue, max_tokens: int) -> Profile:
    return render(
        user, shop, DEFAULT_BEHAVIOURS, NAMES, night=NIGHT, max_tokens=max_tokens, count_tokens=count_tokens,
        title_words=12,
    )  # fmt: skip


def happened(user: History, events: tuple[int, ...]) -> list[tuple[str, str, int]]:
    """What the latest twelve moments of these events were, worked out an event at a time."""
    cells: dict[str, Counter[str]] = {}
    stars: dict[str, list[float]] = {}
    for event in reversed(events):
        at = user.times[event].astype(datetime).replace(tzinfo=UTC)
        age = (NIGHT - at).total_seconds() / DAY
        moment = f"{at:%Y %b} {at.day}" if age <= 31 else f"{at:%Y %b}" if age <= 366 else f"{at:%Y}"
        behaviour = NAMES[user.behaviours[event]]
        cells.setdefault(moment, Counter())[behaviour] += 1
        if behaviour == "rating" and not np.isnan(user.values[event]):
            stars.setdefault(moment, []).append(float(user.values[event]))
    found = []
    for moment, counts in list(cells.items())[:12]:
        for behaviour in sorted(
            counts, key=lambda one: (-DEFAULT_BEHAVIOURS[one].weight, DEFAULT_BEHAVIOURS[one].word)
        ):
            rated = stars.get(moment) if behaviour == "rating" else None
            mean = f" {round(10 * sum(rated) / len(rated)) / 10:g}" if rated else ""
            found.append((moment, DEFAULT_BEHAVIOURS[behaviour].word + mean, counts[behaviour]))
    return found


def check(profile: Profile, user: History, shop: Catalogue, max_tokens: int) -> None:
    """Every promise, by the text."""
    text = profile.text
    reliable = set(np.flatnonzero(RELIABLE[user.behaviours]).tolist())
    assert count_tokens(text) <= max_tokens
    # Numbers are ours alone: one each, in order, and nothing else in the text looks like one.
    found = entries(text)
    assert re.findall(r"\[\s*\d+\s*\]", text) == [f"[{line.number}]" for line in profile.lines]
    assert [one.number for one in found] == list(range(1, len(found) + 1))
    assert [line.number for line in profile.lines] == [one.number for one in found]
    # Every reliable event stands at one number, which names it and counts it, or is counted as left out.
    shown = [event for line in profile.lines for event in line.events]
    assert len(set(shown)) == len(shown)
    assert reliable.issuperset(shown)
    assert len(shown) + profile.left_out == len(reliable)
    assert left_out(text) == profile.left_out
    for one, line in zip(found, profile.lines, strict=True):
        assert told(one.when) == len(line.events)
        assert doings(one.when)[0] == happened(user, line.events)
        if line.query is None:
            names = {
                label(shop.titles[row], shop.brands[row], shop.categories[row], 12)
                for row in user.items[[*line.events]]
            }
            kinds = len(set(user.items[[*line.events]].tolist()))
            assert names == {one.name.removesuffix(f" ({kinds} items)") if kinds > 1 else one.name}
        else:
            assert one.name == f'"{line.query}"'
    # The frame holds: nothing from the logs ends it, adds a line, or hides a character.
    lines = text.split("\n")
    assert (lines[0], lines[-1]) == ("<user_log>", "</user_log>")
    assert text.count("user_log") == 2
    assert lines[1].startswith("User: ")
    weak = len(user) > len(reliable)
    assert len(lines) == 3 + (len({one.when for one in found}) or not reliable) + (profile.left_out > 0) + weak
    assert text.replace("\n", " ").isprintable()
    assert "<|" not in text


@pytest.mark.parametrize("seed", range(8))
def test_every_promise_holds_for_random_histories_by_the_packaged_models_own_tokens(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(30):
        shop = some_shop(rng)
        user = some_user(rng, shop, rng.choice((0, 1, 3, 30, 600)))
        max_tokens = rng.choice((300, 1000, 8000))
        profile = rendered(user, shop, max_tokens)
        check(profile, user, shop, max_tokens)
        assert rendered(user, shop, max_tokens) == profile


def test_every_promise_holds_for_50_000_events() -> None:
    rng = random.Random(3)
    shop = some_shop(rng)
    while len(shop) < 300:
        shop = some_shop(rng)
    for _ in range(3):
        user = some_user(rng, shop, 50_000)
        check(rendered(user, shop, 8000), user, shop, 8000)


SCRIPT = """
import random, sys
sys.path[:0] = sys.argv[1:3]
from test_promises import rendered, some_shop, some_user
rng = random.Random(5)
shop = some_shop(rng)
sys.stdout.buffer.write("".join(rendered(some_user(rng, shop, 300), shop, 2000).text for _ in range(20)).encode())
"""


def test_the_text_is_the_same_in_every_process() -> None:
    here = os.path.dirname(__file__)
    texts = set()
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, here, os.path.join(here, "..", "support")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        )
        texts.add(done.stdout)
    assert len(texts) == 1
    assert texts.pop().count(b"<user_log>") == 20
