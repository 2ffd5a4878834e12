"""A profile text within its budget: what is left out and counted, how tokens are counted, and the heaviest users."""

import random
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from rendered import NAMES, NIGHT, Event, catalogue, history, quarter, rendered, shown_lines

from recgpt.rendering.profile import render
from recgpt.settings import DEFAULT_BEHAVIOURS
from recgpt.sources.logs import History

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def random_user(rng: random.Random, size: int, items: int) -> History:
    words = ("socks", "red lamp", "trail shoes", "tent", "Ärmel", "")
    events: list[Event] = []
    for _ in range(size):
        behaviour = rng.choice(NAMES)
        time = str(np.datetime64("2022-01-01T00:00:00") + rng.randrange(int(4.8 * 365 * 86400)))
        what = rng.choice(words) if behaviour == "search" else rng.randrange(items)
        events.append(
            (time, behaviour, what, rng.choice((1.0, 5.0))) if behaviour == "rating" else (time, behaviour, what)
        )
    return history(events, {"age": "30", "city": "Æbeltoft"} if rng.random() < 0.5 else {})


COUNTS: dict[str, Callable[[str], int]] = {
    "bytes": lambda text: len(text.encode()),
    "quarters": quarter,
    "words": lambda text: len(re.findall(r"\w+|[^\w\s]", text)),
    "coarse": lambda text: 4 * -(-len(text.encode()) // 16),  # parts cost more apart than together
}


@pytest.mark.parametrize("count", COUNTS)
def test_every_text_is_within_its_budget_and_every_reliable_event_is_shown_or_counted(count: str) -> None:
    rng, count_tokens = random.Random(11), COUNTS[count]
    cut = 0
    for _ in range(60):
        shop = catalogue([(f"Thing {n % 300} {'very ' * (n % 4)}long", "", f"A > B{n % 9}") for n in range(400)])
        user = random_user(rng, rng.choice((0, 1, 5, 40, 400)), 400)
        max_tokens = rng.choice((400 if count == "bytes" else 200, 500, 700, 3000, 30_000))
        profile = rendered(user, items=shop, max_tokens=max_tokens, count_tokens=count_tokens)
        assert count_tokens(profile.text) <= max_tokens
        assert profile.text.startswith("<user_log>\nUser: ")
        assert profile.text.endswith("\n</user_log>")
        reliable = {
            index for index, code in enumerate(user.behaviours.tolist())
            if NAMES[code] != "wave" and DEFAULT_BEHAVIOURS[NAMES[code]].reliable
        }  # fmt: skip
        shown = [index for line in profile.lines for index in line.events]
        assert len(shown) == len(set(shown))
        assert set(shown) <= reliable
        assert len(shown) + profile.left_out == len(reliable)
        said = re.search(r"\nAnd (\d+) weaker or earlier left out: ([^\n]+)\n", profile.text)
        assert (int(said[1]) if said else 0) == profile.left_out
        if said:
            left = Counter(DEFAULT_BEHAVIOURS[NAMES[user.behaviours[index]]].word for index in reliable - set(shown))
            told = (part.rsplit(" x", 1) for part in said[2].split(", "))
            assert {word: int(times) for word, times in told} == left
            cut += 1
        assert [line.number for line in profile.lines] == list(range(1, len(profile.lines) + 1))
        whole = rendered(user, items=shop, max_tokens=10**9, count_tokens=count_tokens)
        if profile.lines:  # what is left out tells less than anything shown
            worth = {line.events: sum(score(user, event) for event in line.events) for line in whole.lines}
            least = sorted(worth.values(), reverse=True)[len(profile.lines) - 1] - 1e-9
            assert {line.events for line in profile.lines} == {events for events in worth if worth[events] > least}
        for line in whole.lines:
            assert {user.items[index] < 0 for index in line.events} == {line.item < 0}
            assert user.items[line.events[-1]] == line.item
    assert cut > 5


def score(user: History, event: int) -> float:
    age = float((user.times[-1] - user.times[event]) / np.timedelta64(365, "D"))
    return DEFAULT_BEHAVIOURS[NAMES[user.behaviours[event]]].weight * float(0.5**age)


def test_a_budget_is_used_not_wasted_and_drops_the_least_telling() -> None:
    shop = catalogue([(f"Thing number {n}", "", "") for n in range(2000)])
    events: list[Event] = [(f"2026-{1 + n % 9:02}-03", "purchase" if n % 2 else "view", n) for n in range(2000)]
    for count_tokens in COUNTS.values():
        profile = rendered(events, items=shop, max_tokens=2000, count_tokens=count_tokens)
        assert count_tokens(profile.text) > 1700
        lines = shown_lines(profile)
        assert all("(bought)" in line for line in lines)
        months = [MONTHS.index(line[5:8]) for line in lines]
        assert months == sorted(months, reverse=True)


def test_features_take_at_most_half_of_a_small_budget_and_say_so() -> None:
    features = {f"feature {n}": "long value " * 9 for n in range(30)}
    profile = rendered([("2026-10-20", "purchase", 0)], features=features, max_tokens=200)
    assert quarter(profile.text) <= 200
    assert re.search(r"; 2\d more\n2026 Oct 20 \(bought\) \| \[1\]", profile.text)


def test_tokens_are_counted_on_parts_and_on_few_whole_texts() -> None:
    shop = catalogue([(f"Thing number {n}", "", "") for n in range(3000)])
    user = history([(f"2026-{1 + n % 9:02}-03", "purchase", n) for n in range(3000)])
    asked: list[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return quarter(text)

    rendered(user, items=shop, max_tokens=8000, count_tokens=count)
    assert sum(len(text) > 1000 for text in asked) <= 5
    asked.clear()
    rendered(user, items=shop, max_tokens=8000, count_tokens=count)
    assert len(asked) <= 6  # the parts are known by now


def test_a_user_of_50_000_events() -> None:
    rng = np.random.default_rng(5)
    size = 50_000
    shop = catalogue([(f"Thing {n} 16 oz of the shop", "Lumo", "A > B") for n in range(30_000)])
    user = History(
        "u", {}, np.sort(np.datetime64("2020-01-01T00:00:00") + rng.integers(0, 200_000_000, size)),
        rng.integers(0, len(NAMES), size).astype(np.int16), rng.integers(0, 30_000, size).astype(np.int32),
        [None] * size, np.full(size, np.nan, np.float32),
    )  # fmt: skip
    user.items[user.behaviours == NAMES.index("search")] = -1
    profile = rendered(user, items=shop)
    assert 7600 < quarter(profile.text) <= 8000
    reliable = int(np.isin(user.behaviours, [NAMES.index(name) for name in NAMES[:6]]).sum())
    assert sum(len(line.events) for line in profile.lines) + profile.left_out == reliable


def test_50_000_events_with_one_item_at_one_moment_are_counted() -> None:
    events: list[Event] = [("2026-10-20", "view", 4)] * 50_000
    assert shown_lines(rendered(events)) == ["2026 Oct 20 x50000 (viewed) | [1] Lamps by Lumo"]
    assert len(rendered(events).lines[0].events) == 50_000


def test_complete_journey_is_at_most_a_quarter_of_one_line_an_event() -> None:
    folder = Path(__file__).resolve().parents[2] / "../shared/data/complete_journey"
    if not folder.is_dir():
        pytest.skip("the shared data set complete_journey is not on this machine")
    duckdb = pytest.importorskip("duckdb")
    rows = duckdb.sql(
        f"SELECT item_id, title, category_path, brand, timestamp::TIMESTAMP AS moment FROM '{folder}/events.parquet' "
        f"JOIN '{folder}/items.parquet' USING (item_id) WHERE event_type = 'purchase' AND user_id IN "
        f"(SELECT user_id FROM '{folder}/users.parquet' ORDER BY user_id LIMIT 40) ORDER BY user_id, moment"
    ).fetchall()
    assert len(rows) > 10_000
    items = {row[0]: (row[1] or "", row[3] or "", row[2] or "") for row in rows}
    numbers = {item: number for number, item in enumerate(items)}
    naive = "\n".join(f"{row[4]} purchase {row[1]} | {row[2]} | {row[3]}" for row in rows)
    tokens = 0
    for start in range(0, len(rows), 600):
        part = sorted(rows[start : start + 600], key=lambda row: row[4])
        user = history([(row[4].isoformat(), "purchase", numbers[row[0]]) for row in part])
        profile = render(
            user, catalogue(list(items.values())), DEFAULT_BEHAVIOURS, NAMES, night=datetime(2018, 1, 2, tzinfo=UTC),
            max_tokens=10**6, count_tokens=quarter, title_words=12,
        )  # fmt: skip
        assert sum(len(line.events) for line in profile.lines) == len(part)
        tokens += quarter(profile.text)
    assert tokens < 0.25 * quarter(naive)


def test_many_kinds_of_weak_signs_are_told_in_few_words() -> None:
    names = tuple(f"kind {n}" for n in range(40))
    user = history([("2026-10-20", "click", 0)] * 60)
    user.behaviours[:] = [*range(40), *range(20)]
    profile = render(
        user, catalogue(), DEFAULT_BEHAVIOURS, names, night=NIGHT, max_tokens=200, count_tokens=quarter, title_words=12
    )  # fmt: skip
    assert "kind 0 x2, kind 1 x2, kind 2 x2, kind 3 x2, kind 4 x2, kind 5 x2, others x48\n" in profile.text


def test_one_token_too_many_costs_one_whole_line() -> None:
    shop = catalogue([(f"Lamp {'abcdefghij' * 3} {n} {'klmnopqrst' * 3}", "", "") for n in range(4)])
    events: list[Event] = [("2026-10-20", "purchase", n) for n in range(4)]
    whole = rendered(events, items=shop, max_tokens=10_000, count_tokens=COUNTS["bytes"])
    size = len(whole.text.encode())
    assert rendered(events, items=shop, max_tokens=size, count_tokens=COUNTS["bytes"]) == whole
    cut = rendered(events, items=shop, max_tokens=size - 1, count_tokens=COUNTS["bytes"])
    assert (cut.lines, cut.left_out) == (whole.lines[:3], 1)
    assert cut.text.endswith("\nAnd 1 weaker or earlier left out: bought x1\n</user_log>")
