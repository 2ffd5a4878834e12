"""Category hit rates worked out by hand: four items whose vectors are the axes, three users, a night on 10 January.

item     a       b       c       d       e
category Boots   Boots   Tea     Lamps   none
axis     0       1       2       3       (0)
"""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy.orm import Session

from recgpt.config import load
from recgpt.evaluation.tags import evaluate
from recgpt.sources.prepare import prepare
from recgpt.stages.night import Night
from recgpt.store.runs import recorded
from recgpt.store.session import open_store
from recgpt.store.tables import Answer, Interest, Request, Tag

NIGHT = date(2026, 1, 10)
AXES = np.eye(4, dtype=np.float32)
# The tag's item by its first word; two words alike in their item are one direction.
WORDS = {"hiking": AXES[0], "rubber": AXES[1], "green": AXES[2], "desk": AXES[3], "both": (AXES[0] + AXES[2]) / 2**0.5}
ITEMS = [("a", "Boots"), ("b", "Boots"), ("c", "Tea"), ("d", "Lamps"), ("e", None)]
BEFORE = [("u1", "a"), ("u1", "a"), ("u1", "d"), ("u2", "c"), ("u3", "d"), ("u4", "d")]


class Encoder:
    def encode(self, texts: Any) -> Any:
        return np.array([WORDS[text.split()[0]] for text in texts], np.float32).reshape(-1, 4)


class Bench:
    """A shop on disk, a store, and the measures of the night."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "data").mkdir()
        (folder / "recgpt.toml").write_text("", encoding="utf-8")
        self.write("users", [{"user_id": user} for user in ("u1", "u2", "u3", "u4")])
        self.write("items", [{"item_id": item, "title": item, "category": category} for item, category in ITEMS])
        self.later: list[tuple[str, str, str, datetime]] = []
        self.config = load(folder)
        self.store = open_store(self.config)
        with recorded(self.store, self.config, "tags", NIGHT) as record, Session(self.store) as session:
            self.run = record.id
            moment = datetime(2026, 1, 1, tzinfo=UTC)
            session.add(
                Interest(
                    user_id="u1", name="walking", horizon="long_term", evidence=[], first_seen=moment,
                    last_confirmed=moment, state="active", operation="add", since_night=NIGHT,
                )
            )  # fmt: skip
            session.commit()

    def write(self, name: str, rows: list[dict[str, Any]]) -> None:
        pq.write_table(pa.Table.from_pylist(rows), self.folder / "data" / f"{name}.parquet")

    def tag(self, user: str, text: str, **changes: Any) -> None:
        row = {"interest_id": 1, "state": "active", "since_night": NIGHT, "run_id": self.run, **changes}
        with Session(self.store) as session:
            session.add(Tag(user_id=user, tag=text, **row))
            session.commit()

    def asked(self, key: str, task: str, content: str = "{}") -> str:
        with Session(self.store) as session:
            session.add(Request(hash=key, task=task, prompt_version="v", model="m", revision="r", body="{}"))
            session.flush()
            session.add(Answer(request_hash=key, content=content, finish_reason="stop", seconds=0.0, attempts=1))
            session.commit()
        return key

    def after(self, user: str, item: str, behaviour: str = "view", day: int = 11) -> None:
        self.later.append((user, item, behaviour, datetime(2026, 1, day, tzinfo=UTC)))

    def measure(self, day: date = NIGHT, **options: Any) -> Any:
        events = [(user, item, "view", datetime(2026, 1, 2, tzinfo=UTC)) for user, item in BEFORE] + self.later
        names = ("user_id", "item_id", "behaviour", "timestamp")
        self.write("events", [dict(zip(names, event, strict=True)) for event in events])
        night = Night(self.config, self.store, prepare(self.config), day)
        # The vectors that a test can work out by hand, in the place of the sentence encoder's.
        night.__dict__.update(encoder=Encoder(), vectors=np.concatenate([AXES, AXES[:1]]))
        return evaluate(night, **options)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def values(report: Any) -> dict[str, Any]:
    return {name: rate.value for name, rate in report.rates.items()}


def test_a_hit_is_a_next_item_in_a_category_of_the_tags(bench: Bench) -> None:
    bench.tag("u1", "rubber boots")  # nearest to b, of Boots
    bench.tag("u2", "desk lamp")
    bench.after("u1", "a")  # Boots: a hit, though the tag is nearer to b
    bench.after("u2", "c")  # Tea: a miss
    report = bench.measure()
    assert (report.users, report.with_tags, report.with_next, report.measured, report.categories) == (4, 2, 2, 2, 3)
    # u1's own first category is Boots (twice, against one lamp), u2's Tea. The most popular is Lamps: 3 of 6 events...
    # Boots has 2, Tea 1: so one category of popularity misses both, and 30 hit both.
    assert values(report) == {
        "tags": 0.5,
        "own categories, as many": 1.0,
        "own categories, 30": 1.0,
        "popular categories, as many": 0.0,
        "popular categories, 30": 1.0,
    }
    assert report.rates["tags"].categories == 1.0
    assert report.rates["popular categories, 30"].categories == 3.0
    assert (report.rates["tags"].low, report.rates["tags"].high) == (0.0, 1.0)


def test_baselines_get_as_many_categories_as_the_tags_have(bench: Bench) -> None:
    for text in ("hiking boots", "rubber boots", "green tea"):  # two categories in three tags
        bench.tag("u1", text)
    bench.after("u1", "d")
    report = bench.measure()
    assert report.rates["tags"].categories == 2.0
    assert report.rates["popular categories, as many"].categories == 2.0
    assert values(report) == {
        "tags": 0.0,
        "own categories, as many": 1.0,  # Boots, Lamps
        "own categories, 30": 1.0,
        "popular categories, as many": 1.0,  # Lamps, Boots
        "popular categories, 30": 1.0,
    }


def test_only_the_first_k_tags_count(bench: Bench) -> None:
    bench.tag("u1", "green tea")
    bench.tag("u1", "hiking boots")
    bench.after("u1", "a")
    assert values(bench.measure(k=1))["tags"] == 0.0
    assert values(bench.measure(k=1))["own categories, 1"] == 1.0
    assert values(bench.measure(k=2))["tags"] == 1.0


def test_nothing_of_a_later_night_is_known(bench: Bench) -> None:
    bench.tag("u1", "hiking boots", since_night=date(2026, 1, 11))
    bench.tag("u1", "green tea", retired_night=NIGHT, since_night=date(2026, 1, 9), state="retired")
    bench.tag("u2", "green tea", retired_night=date(2026, 1, 11), since_night=NIGHT, state="retired")
    bench.after("u1", "a")
    bench.after("u2", "c")
    for day in range(12, 15):  # what comes later makes no category popular, and none a user's own
        bench.after("u3", "c", day=day)
        bench.after("u2", "d", day=day)
    report = bench.measure()
    assert (report.with_tags, report.measured, report.tags) == (1, 1, 1)
    assert values(report)["tags"] == 1.0
    assert values(report)["popular categories, as many"] == 0.0  # still Lamps
    assert values(report)["own categories, as many"] == 1.0  # still Tea


def test_the_next_item_is_reliable_has_a_category_and_comes_after_the_night(bench: Bench) -> None:
    bench.tag("u1", "green tea")
    bench.later.append(("u1", "a", "view", datetime(2026, 1, 10, 23, 59, 59, tzinfo=UTC)))  # still the night's
    bench.after("u1", "a", "click", day=11)
    bench.after("u1", "e", day=12)
    bench.after("u1", "c", day=13)
    bench.after("u1", "a", day=14)
    assert values(bench.measure())["tags"] == 1.0
    assert values(bench.measure(following=2))["tags"] == 0.5
    assert values(bench.measure(following=9))["tags"] == 0.5


def test_without_tags_or_a_next_item_there_is_no_rate(bench: Bench) -> None:
    bench.tag("u1", "green tea")
    bench.after("u2", "c")
    report = bench.measure()
    assert (report.with_tags, report.with_next, report.measured) == (1, 1, 0)
    assert set(values(report).values()) == {None}
    assert json.dumps(report.as_dict())


def test_tags_are_told_apart_by_strategy_and_persona(bench: Bench) -> None:
    single, expert = bench.asked("r1", "tags_single"), bench.asked("r2", "tags_expert", '{"tags": []}')
    bench.tag("u1", "green tea", request_hash=single)
    bench.tag("u1", "hiking boots", request_hash=expert, persona="hiker")
    bench.tag("u2", "desk lamp", request_hash=single)
    bench.after("u1", "a")
    bench.after("u2", "d")
    report = bench.measure()
    assert {name: (rate.value, rate.users) for name, rate in report.by_strategy.items()} == {
        "single": (0.5, 2), "experts": (1.0, 1),
    }  # fmt: skip
    assert {name: (rate.value, rate.users) for name, rate in report.by_persona.items()} == {"hiker": (1.0, 1)}


def test_distinct_texts_and_variety_within_a_user(bench: Bench) -> None:
    for user, text in (("u1", "hiking boots"), ("u1", "green tea"), ("u1", "both things"), ("u2", "hiking boots")):
        bench.tag(user, text)
    report = bench.measure()
    assert (report.tags, report.distinct) == (4, 0.75)
    # u1: pairs at 0, .707 and .707; u2 has one tag and is not in the mean.
    assert report.variety == pytest.approx(1 - 2 * 0.5**0.5 / 3)


def test_what_two_experts_propose_is_counted_on_what_they_said(bench: Bench) -> None:
    def said(*texts: str) -> str:
        return json.dumps({"tags": [{"interest": 1, "tag": text} for text in texts] + ["bare text"]})

    runner = bench.asked("r1", "tags_expert", said("hiking boots", "hiking shoes"))
    barista = bench.asked("r2", "tags_expert", said("Hiking boots", "green tea"))
    bench.tag("u1", "hiking boots", request_hash=runner, persona="hiker")
    bench.tag("u1", "green tea", request_hash=barista, persona="tea drinker")
    bench.tag("u2", "green tea", request_hash=barista, persona="tea drinker")
    # u1: four proposals, of which the second expert's boots repeat the first's; the first's own pair does not count.
    # u2: two proposals by one expert.
    assert bench.measure().said_twice == pytest.approx(1 / 6)
