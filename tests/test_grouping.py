"""What is an interest and what is not, on histories whose meaning is plain; and on a demo shop with its truth."""

import importlib.util
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from recgpt.config import Config, night_of
from recgpt.evaluation.truth import majority, read_truth, score
from recgpt.grouping import MAX_ITEMS, Array, Group, Standing, group
from recgpt.settings import DEFAULT_BEHAVIOURS, Interests
from recgpt.sources.demo import make_shop
from recgpt.sources.logs import History
from recgpt.sources.prepare import prepare
from recgpt.vectors import PACKAGE, Encoder, item_vectors
from recgpt.words import Horizon

NIGHT = datetime(2026, 6, 1, tzinfo=UTC)
NAMES = tuple(DEFAULT_BEHAVIOURS)
TOPICS = 4  # topic t has the items 10 t .. 10 t + 9
Event = tuple[int, str, int | str]  # days before the night, behaviour, item or query


def topic_vectors() -> Array:
    """Items of a topic have a cosine of 0.8, of two topics 0."""
    vectors = np.zeros((10 * TOPICS, TOPICS + 10 * TOPICS), np.float32)
    for item in range(10 * TOPICS):
        vectors[item, item // 10] = np.sqrt(0.8)
        vectors[item, TOPICS + item] = np.sqrt(0.2)
    return vectors


def history(events: Sequence[Event]) -> History:
    events = sorted(events, key=lambda event: -event[0])
    times = [NIGHT.replace(tzinfo=None) - timedelta(days=ago) + timedelta(hours=9) for ago, _, _ in events]
    return History(
        user_id="u",
        features={},
        times=np.array(times, "datetime64[s]"),
        behaviours=np.array([NAMES.index(behaviour) for _, behaviour, _ in events], np.int16),
        items=np.array([-1 if isinstance(what, str) else what for _, _, what in events], np.int32),
        queries=[what if isinstance(what, str) else None for _, _, what in events],
        values=np.full(len(events), np.nan, np.float32),
    )


def groups(events: Sequence[Event], queries: Array | None = None, **rules: float) -> list[Group]:
    """The groups that are interests."""
    return [one for one in judged(events, queries, **rules) if one.standing.horizon]


def judged(events: Sequence[Event], queries: Array | None = None, **rules: float) -> list[Group]:
    vectors = topic_vectors()
    nothing = np.zeros((0, vectors.shape[1]), np.float32)
    return group(
        history(events),
        vectors,
        nothing if queries is None else queries,
        DEFAULT_BEHAVIOURS,
        NAMES,
        Interests.model_validate(rules),
        NIGHT,
    )


LASTING: list[Event] = [(ago, "view", item) for item, ago in enumerate(range(20, 320, 50))] + [
    (70, "purchase", 1),
    (170, "favourite", 3),
]
GIFT: list[Event] = [(21, "view", 10), (21, "purchase", 10), (20, "view", 11), (20, "purchase", 11), (19, "rating", 12)]
NECESSITY: list[Event] = [(50, "view", 20), (48, "view", 21), (46, "view", 22), (42, "purchase", 23)]
CURIOUS: list[Event] = [(10, "view", 30), (90, "view", 31), (180, "view", 32)]


def earlier(events: Sequence[Event], days: int) -> list[Event]:
    return [(ago + days, behaviour, what) for ago, behaviour, what in events]


def test_an_interest_comes_back() -> None:
    [one] = groups(LASTING)
    assert one.standing.horizon == Horizon.LONG_TERM
    assert set(one.items) == {0, 1, 2, 3, 4, 5}
    assert one.items[0] == 1  # the bought one
    assert one.events == tuple(range(len(LASTING)))
    assert one.first == NIGHT - timedelta(days=270) + timedelta(hours=9)
    assert one.last == NIGHT - timedelta(days=20) + timedelta(hours=9)


@pytest.mark.parametrize("noise", [GIFT, NECESSITY, CURIOUS, [*GIFT, (200, "view", 13)]])
def test_noise_is_no_interest(noise: list[Event]) -> None:
    assert groups(noise) == []
    assert [one.items for one in groups([*noise, *LASTING])] == [one.items for one in groups(LASTING)]


def test_plain_clicks_and_impressions_are_not_looked_at() -> None:
    assert groups([(ago, behaviour, item) for ago, _, item in LASTING for behaviour in ("click", "impression")]) == []
    weak: list[Event] = [(ago, "click", 9) for ago in range(10, 200, 5)]
    assert [one.items for one in groups([*LASTING, *weak])] == [one.items for one in groups(LASTING)]


def test_a_recent_phase_is_short_term() -> None:
    phase: list[Event] = [
        (25, "view", 10),
        (20, "view", 11),
        (20, "purchase", 11),
        (12, "view", 12),
        (4, "favourite", 13),
    ]
    [one] = groups(phase)
    assert one.standing.horizon == Horizon.SHORT_TERM
    assert groups([(ago + 200, behaviour, item) for ago, behaviour, item in phase]) == []


def test_what_faded_is_over_unless_the_user_was_away() -> None:
    old: list[Event] = [(ago + 200, behaviour, item) for ago, behaviour, item in LASTING]
    assert len(groups(old)) == 1
    assert groups([*old, (5, "view", 30)]) == []
    assert len(groups([*old, (5, "click", 30)])) == 1


def test_searches_join_the_topic_that_they_are_near_to() -> None:
    vectors = topic_vectors()
    far = np.zeros((1, vectors.shape[1]), np.float32)
    far[0, -1] = 1.0
    queries = np.concatenate([vectors[[2]], far, vectors[[2]]])
    asked: list[Event] = [
        (300, "search", "like item 2"),
        (299, "search", "nothing alike"),
        (15, "search", "like item 2"),
    ]
    [one] = groups([*LASTING, *asked], queries)
    assert one.queries == ("like item 2",)
    assert len(one.events) == len(LASTING) + 2
    assert one.standing.weight > groups(LASTING)[0].standing.weight
    # Two items and a search are three pieces of evidence; a repeated search is one.
    few: list[Event] = [(ago, "purchase", item) for ago, item in ((20, 0), (120, 2))]
    assert groups([*few, asked[0]], queries[:1])
    assert not groups([*few[:1], asked[0], asked[2]], queries[[0, 2]])


def test_weightiest_first() -> None:
    second: list[Event] = [(ago, behaviour, int(item) + 10) for ago, behaviour, item in LASTING]
    second += [(300, "purchase", 19), (220, "purchase", 18)]
    both = groups([*LASTING, *second])
    assert [one.items[0] // 10 for one in both] == [1, 0]


def test_rules_are_the_configs() -> None:
    assert groups(LASTING, min_items=7) == []
    assert groups(LASTING, min_days=7) == []
    assert groups(LASTING, min_span_days=251) == []
    assert groups(LASTING, similarity=0.9) == []


@pytest.mark.parametrize(
    ("events", "why_not"),
    [
        (GIFT, "burst"),
        (NECESSITY, "burst"),
        (CURIOUS, "burst"),
        (LASTING[:2], "too_little_evidence"),
        ([*earlier(LASTING, 200), (5, "view", 30)], "faded"),
    ],
)
def test_what_is_no_interest_says_why(events: list[Event], why_not: str) -> None:
    assert judged(events)[0].standing == Standing(judged(events)[0].standing.weight, None, why_not)


def test_to_stay_takes_less_than_to_come_in() -> None:
    idle = earlier(LASTING, 135)
    assert [one.standing.horizon for one in judged([*idle, (5, "view", 30)])] == [Horizon.LONG_TERM, None]
    just_over = judged([*earlier(idle, 5), (5, "view", 30)])[0].standing
    assert just_over.horizon is None
    assert just_over.stays == {Horizon.LONG_TERM}
    assert not judged([*earlier(idle, 20), (5, "view", 30)])[0].standing.stays
    light: list[Event] = [(60, "view", 0), (100, "purchase", 1), (180, "view", 2), (250, "view", 3)]
    assert judged(light)[0].standing == Standing(7.0, None, "burst", frozenset({Horizon.LONG_TERM}))
    phase: list[Event] = [(45, "view", 10), (40, "purchase", 11), (34, "view", 12)]
    assert judged(phase)[0].standing.stays == {Horizon.SHORT_TERM}
    assert not judged(earlier(phase, 11))[0].standing.stays


def test_nothing_comes_of_nothing() -> None:
    assert groups([]) == []
    assert groups([(5, "search", "a")], topic_vectors()[:1]) == []


def test_a_history_of_50_000_events_is_bounded() -> None:
    rng = np.random.default_rng(5)
    n, items = 50_000, 5_000
    centres = rng.normal(size=(8, 64))
    vectors = centres[rng.integers(0, 8, items)] + 0.5 * rng.normal(size=(items, 64))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    end = int(NIGHT.timestamp())
    heavy = History(
        user_id="u",
        features={},
        times=np.sort(rng.integers(end - 40_000_000, end, n)).astype("datetime64[s]"),
        behaviours=rng.integers(0, len(NAMES), n).astype(np.int16),
        items=rng.integers(0, items, n).astype(np.int32),
        queries=[None] * n,
        values=np.full(n, np.nan, np.float32),
    )
    found = group(heavy, vectors, np.zeros((0, 64)), DEFAULT_BEHAVIOURS, NAMES, Interests(), NIGHT)
    assert len([one for one in found if one.standing.horizon]) == 8
    assert sum(len(one.items) for one in found) == MAX_ITEMS
    for one in found:
        assert {int(heavy.items[event]) for event in one.events} == set(one.items)


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason="the packaged sentence encoder is not installed")
def test_the_truth_of_a_demo_shop(tmp_path: Path) -> None:
    make_shop(tmp_path, users=60, seed=1, until=date(2026, 11, 21))
    config = Config(folder=tmp_path)
    logs, night = prepare(config), night_of(date(2026, 10, 24))
    encoder = Encoder("packaged", tmp_path / "vectors")
    vectors = item_vectors(logs.catalogue, encoder, config.rendering.title_words)
    found = {}
    encoder.encode([query for one in logs.histories(night) for query in one.queries if query])  # at once is faster
    for one in logs.histories(night):
        queries = encoder.encode([query for query in one.queries if query])
        every = group(one, vectors, queries, config.behaviours, logs.behaviours, config.interests, night)
        interests = [each for each in every if each.standing.horizon]
        found[one.user_id] = [majority(logs.catalogue.categories[row] for row in each.items) for each in interests]
    result = score(found, read_truth(tmp_path / "truth" / "interests.parquet", night))
    assert result.users == 60
    assert result.precision is not None
    assert result.precision > 0.85
    assert result.recall is not None
    assert result.recall > 0.8
