"""The demo shop: the same by seed, shaped like a shop's logs, and with a truth that its events bear out."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from recgpt.config import Config
from recgpt.sources.demo import DAYS, make_shop
from recgpt.sources.prepare import prepare

UNTIL = date(2026, 11, 21)
TABLES = ("data/users", "data/items", "data/events", "truth/interests", "truth/noise")


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / f"{table}.parquet").to_pylist()
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    make_shop(folder, users=300, seed=3, until=UNTIL)
    return folder


@pytest.fixture(scope="module")
def category_of(shop: Path) -> dict[str, str]:
    return {item["item_id"]: item["category"] for item in rows(shop, "data/items")}


def test_first_users_do_not_depend_on_how_many_there_are(shop: Path, tmp_path: Path) -> None:
    make_shop(tmp_path, users=40, seed=3, until=UNTIL)
    for table in TABLES:
        few, many = rows(tmp_path, table), rows(shop, table)
        kept = {user["user_id"] for user in rows(tmp_path, "data/users")}
        assert len(kept) == 40
        assert few == [row for row in many if row.get("user_id") in kept or table == "data/items"]


def test_another_seed_is_another_shop(shop: Path, tmp_path: Path) -> None:
    make_shop(tmp_path, users=300, seed=4, until=UNTIL)
    for table in TABLES:
        assert rows(tmp_path, table) != rows(shop, table)


def test_whole_files_only_and_an_empty_shop_is_one_too(tmp_path: Path) -> None:
    make_shop(tmp_path, users=0, seed=1, until=UNTIL)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        f"{table.split('/')[1]}.parquet" for table in TABLES
    )
    assert rows(tmp_path, "data/events") == []
    assert len(rows(tmp_path, "data/items")) > 400


def test_items(shop: Path) -> None:
    items = rows(shop, "data/items")
    assert 400 <= len(items) <= 480
    assert len({item["title"] for item in items}) == len(items) == len({item["item_id"] for item in items})
    assert len({item["category"] for item in items}) >= 16
    for item in items:
        assert item["category"].count(" > ") == 1
        assert item["brand"] in item["title"]
        assert item["price"] > 0
        assert "{" not in item["title"]


def test_the_pipeline_takes_every_row(shop: Path) -> None:
    logs = prepare(Config(folder=shop))
    for table in ("users", "items", "events"):
        assert logs.counts[table]["rejected"] in (0, {})
        assert logs.counts[table]["kept"] == len(rows(shop, f"data/{table}"))


def test_events_are_a_shops(shop: Path, category_of: dict[str, str]) -> None:
    events = rows(shop, "data/events")
    begin = datetime(UNTIL.year, UNTIL.month, UNTIL.day, tzinfo=UTC) - timedelta(days=DAYS - 1)
    bought: dict[tuple[str, str], datetime] = {}
    for event in events:
        assert begin <= event["timestamp"] < begin + timedelta(days=DAYS)
        assert (event["behaviour"] == "search") == (event["item_id"] is None) == (event["query"] is not None)
        assert (event["behaviour"] == "rating") == (event["value"] is not None)
        if event["behaviour"] == "purchase":
            assert (event["user_id"], event["item_id"]) not in bought
            bought[event["user_id"], event["item_id"]] = event["timestamp"]
        if event["behaviour"] == "rating":
            assert event["timestamp"] > bought[event["user_id"], event["item_id"]]
            assert 1 <= event["value"] <= 5
    per_user = Counter(event["user_id"] for event in events)
    assert len(per_user) == 300
    assert 60 <= sum(per_user.values()) / 300 <= 160
    assert max(per_user.values()) > 2.5 * sum(per_user.values()) / 300
    seen = Counter(event["item_id"] for event in events if event["item_id"])
    assert set(seen) == set(category_of)
    assert sum(count for _, count in seen.most_common(len(seen) // 10)) > 0.15 * sum(seen.values())


def test_interests_come_back_and_noise_is_elsewhere(shop: Path, category_of: dict[str, str]) -> None:
    truth = rows(shop, "truth/interests")
    assert set(Counter(row["user_id"] for row in truth).values()) == {2, 3, 4}
    assert {row["horizon"] for row in truth} == {"long_term", "short_term"}
    assert any(row["end"] is None for row in truth)
    assert any(row["end"] is not None for row in truth)

    days: dict[tuple[str, str], set[date]] = defaultdict(set)
    for event in rows(shop, "data/events"):
        if event["item_id"] and event["behaviour"] not in ("click", "impression"):
            days[event["user_id"], category_of[event["item_id"]]].add(event["timestamp"].date())
    spans = []
    for row in truth:
        end = row["end"] or UNTIL
        mine = {day for day in days[row["user_id"], row["category"]] if row["begin"] <= day <= end + timedelta(days=21)}
        assert mine
        if row["horizon"] == "long_term":
            assert len(mine) >= 3
            spans.append((max(mine) - min(mine)).days)
    assert sum(span > 60 for span in spans) > 0.95 * len(spans)

    interests = {(row["user_id"], row["category"]) for row in truth}
    noise = rows(shop, "truth/noise")
    assert {row["kind"] for row in noise} == {"gift", "necessity"}
    for row in noise:
        assert (row["user_id"], row["category"]) not in interests
        near = [row["date"] + timedelta(days=after) for after in range(10)]
        assert days[row["user_id"], row["category"]] & set(near)
    # A category alone does not tell: what is noise to some is an interest of others.
    assert {row["category"] for row in noise} == {category for _, category in interests}
    gifts = [row["date"] for row in noise if row["kind"] == "gift"]
    assert sum((11, 20) <= (day.month, day.day) <= (12, 21) for day in gifts) > 0.35 * len(gifts)
