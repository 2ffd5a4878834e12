"""Lists against the same ones made a pair of user and item at a time, on a shop without a database."""

import math
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from sqlalchemy import StaticPool, create_engine
from sqlalchemy.orm import Session

from recgpt.settings import Behaviour, Score
from recgpt.sources.logs import Catalogue, History
from recgpt.stages.scorer import Scorer
from recgpt.store.tables import Base, Tag
from towers.config import Inputs, TowersConfig
from towers.encoders.history import events
from towers.features import Users, text_features, user_features
from towers.model import ThreeTowers
from towers.repeats import past
from towers.scoring import encode_tags, encode_users

NIGHT = datetime(2026, 11, 1, tzinfo=UTC)
NOW = int(NIGHT.timestamp())
LOGGED = ("view", "search", "purchase")
BEHAVIOURS = {name: Behaviour(reliable=name != "search", weight=1.0, word=name) for name in LOGGED}
LEARNT = {"purchase": 0, "view": 1}  # the reliable ones by name
N = 12
STOCKS = np.array([1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1], np.float32)
# Of each user (days ago, behaviour, item); what is no item is -1.
DONE: dict[str, list[tuple[int, str, int]]] = {
    "ann": [(9, "purchase", 2), (7, "view", 3), (5, "search", -1), (5, "search", 6), (1, "view", 4)],
    "bob": [(3, "view", 1)],
    "cat": [(8, "purchase", 0), (8, "purchase", 11), (2, "purchase", 3)],
    "dan": [],
}
TAGS = {"ann": ["green tea", "cup"], "cat": ["red pot", "cup", "green tea"], "dan": ["pot"]}
WORDS = ("green", "red", "blue")
# Events on each item by anybody, and how many of them a user; a search is none.
HABITS = torch.zeros(N, 2)
for _item, _events, _users in ((0, 1, 1), (1, 1, 1), (2, 1, 1), (3, 2, 2), (4, 1, 1), (11, 1, 1)):
    HABITS[_item] = torch.tensor([math.log10(1 + _events), math.log(_events / _users)])


class FakeEncoder:
    def encode(self, texts: list[str]) -> Any:
        return np.array([[word in text for word in WORDS] for text in texts], np.float32) + 0.1


def night(**rules: Any) -> Any:
    titles = [f"{WORDS[n % 3]} {('tea', 'pot', 'cup', 'bowl')[n % 4]} {n}" for n in range(N)]
    catalogue = Catalogue([f"i{n}" for n in range(N)], titles, [""] * N, [""] * N, np.zeros(N, np.float32), STOCKS)
    return SimpleNamespace(
        config=SimpleNamespace(score=Score(**rules), behaviours=BEHAVIOURS),
        logs=SimpleNamespace(catalogue=catalogue, behaviours=LOGGED, interactions=interactions),
        vectors=FakeEncoder().encode(titles),
        encoder=FakeEncoder(),
        until=NIGHT,
    )


def interactions(until: datetime) -> list[pa.RecordBatch]:
    """All that is done, in two batches."""
    assert until == NIGHT
    rows = [
        {"user": user, "item": item, "behaviour": LOGGED.index(name), "time": NOW - 86400 * days}
        for user, done in enumerate(DONE.values())
        for days, name, item in done
    ]
    return [pa.RecordBatch.from_pylist(part) for part in (rows[:4], rows[4:])]


def histories() -> list[History]:
    return [
        History(
            user,
            {},
            np.array([NOW - 86400 * days for days, _, _ in done], "int64").astype("datetime64[s]"),
            np.array([LOGGED.index(name) for _, name, _ in done], np.int16),
            np.array([item for _, _, item in done], np.int32),
            [None] * len(done),
            np.zeros(len(done), np.float32),
        )
        for user, done in DONE.items()
    ]


class Shop:
    """A scorer of fresh towers with told tags, and its vectors one by one."""

    def __init__(self, repeats: bool = False, **rules: Any) -> None:
        torch.manual_seed(1)
        inputs = Inputs(behaviours=tuple(LEARNT), vector_dim=3)
        self.config = TowersConfig(inputs).but(
            network={"dim": 8, "hidden": 16, "repeats": repeats},
            features={"table_rows": 512, "text_rows": 512, "history": 4, "pools": ("sequence",)},
        )
        model = ThreeTowers(self.config)
        self.rules = Score(**rules)
        self.scorer = Scorer(night(**rules), model)
        self.tags = {
            user: [
                SimpleNamespace(tag=text, id=100 + 10 * n + m, interest_id=10 * n + m) for m, text in enumerate(texts)
            ]
            for n, (user, texts) in enumerate(TAGS.items())
        }
        self.scorer.tags = lambda block: self.tags  # type: ignore[assignment,method-assign,return-value]
        self.items = self.scorer.items
        self.model = model
        self.own: dict[tuple[str, int], float] = {}  # r of what was had
        if model.repeats is not None:
            with torch.no_grad():
                model.repeats.down.weight.normal_()
                model.repeats.down.bias.fill_(0.2)
                model.repeats.item.weight.normal_()
        for user in DONE:
            had = self.events(user)
            if model.repeats is not None:
                own = past(had, 2).latest(torch.tensor([0]), NOW)
                r = model.repeats(own, HABITS).tolist()
                self.own |= {(user, item): value for item, value in zip(own.items.tolist(), r, strict=True)}

    def events(self, user: str) -> Any:
        kept = [(item, LEARNT[name], NOW - 86400 * days) for days, name, item in DONE[user] if name in LEARNT]
        columns = zip(*kept, strict=True) if kept else ((), (), ())
        return events([tuple(np.array(column) for column in columns)])  # type: ignore[list-item]

    def user(self, user: str) -> Any:
        people = user_features(Users([user]), self.config)
        return encode_users(self.model, people, self.events(user), self.items, NOW)[0]

    def tag(self, text: str) -> Any:
        return encode_tags(self.model, text_features([text], self.config, FakeEncoder().encode([text])))[0]

    def expected(self, user: str) -> list[dict[str, Any]]:
        mine, rules = self.user(user), self.rules
        bought = {item for _, name, item in DONE[user] if name in rules.leave_out}
        candidates = []
        for tag in self.tags[user]:
            found = []
            for item in (n for n in range(N) if STOCKS[n] and n not in bought):
                by_user = self.own.get((user, item), float(mine @ self.items[item]))
                by_tag = float(self.tag(tag.tag) @ self.items[item])
                score = rules.beta * by_user + (1 - rules.beta) * by_tag
                found.append((-score, item, tag.id, by_user, by_tag, tag.interest_id))
            candidates += sorted(found)[: max(rules.pool, rules.top_k)]
        rows: list[dict[str, Any]] = []
        for score, item, tag_id, by_user, by_tag, interest in sorted(candidates):
            brought = sum(row["tag_id"] == tag_id for row in rows)
            if (
                len(rows) < rules.top_k
                and brought < rules.per_tag
                and all(row["item_id"] != f"i{item}" for row in rows)
            ):
                rows.append(
                    {"item_id": f"i{item}", "rank": len(rows) + 1, "score": pytest.approx(-score, abs=1e-5),
                     "user_score": pytest.approx(by_user, abs=1e-5), "tag_score": pytest.approx(by_tag, abs=1e-5),
                     "tag_id": tag_id, "interest_id": interest}
                )  # fmt: skip
        return rows


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize(
    "rules",
    [
        {"beta": 0.7, "per_tag": 3},
        {"beta": 0.2, "per_tag": 9, "leave_out": ()},
        {"beta": 0.5, "top_k": 2, "pool": 1, "leave_out": ("view",)},
        {"beta": 0.6, "top_k": 40, "per_tag": 40, "leave_out": ()},  # more than there are
    ],
)
def test_the_lists_of_a_block(repeats: bool, rules: dict[str, Any]) -> None:
    shop = Shop(repeats, **rules)
    found = shop.scorer.recommend(histories())
    assert set(found) == set(TAGS)  # bob has none
    for user, rows in found.items():
        assert rows == shop.expected(user)
        assert rows


def test_what_was_had_is_told_from_its_counts() -> None:
    shop = Shop(True, leave_out=())
    assert {item for user, item in shop.own if user == "ann"} == {2, 3, 4}  # a search is no event of the towers
    assert torch.allclose(shop.scorer.habits, HABITS)
    for (user, item), r in shop.own.items():
        assert abs(r - float(shop.user(user) @ shop.items[item])) > 1e-3  # so that the lists above tell them apart


def test_what_the_towers_read_of_the_events() -> None:
    read = Shop().scorer.events(histories())
    assert read.offsets.tolist() == [0, 3, 4, 7, 7]
    assert read.items.tolist() == [2, 3, 4, 1, 0, 11, 3]
    assert read.behaviours.tolist() == [0, 1, 1, 1, 0, 0, 0]
    assert read.times.tolist() == [NOW - 86400 * days for days in (9, 7, 1, 3, 8, 8, 2)]


def test_without_tags_or_items_there_are_no_lists() -> None:
    shop = Shop()
    shop.tags = {}
    assert shop.scorer.recommend(histories()) == {}
    assert Shop(categories=("nothing",)).scorer.recommend(histories()) == {}


def test_tags_hold_from_their_first_night_until_the_one_that_retired_them() -> None:
    store = create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(store)
    day, before, after = date(2026, 10, 31), date(2026, 10, 30), date(2026, 11, 1)
    rows = [
        ("ann", "since long", before, None), ("ann", "since tonight", day, None), ("ann", "to come", after, None),
        ("ann", "retired tonight", before, day), ("cat", "still there", before, after), ("eve", "not asked", day, None),
    ]  # fmt: skip
    with Session(store) as session:
        session.add_all(
            Tag(user_id=user, interest_id=1, tag=text, state="ready", since_night=since, retired_night=retired)
            for user, text, since, retired in rows
        )
        session.commit()
    scorer: Any = SimpleNamespace(night=SimpleNamespace(store=store, day=day))
    found = Scorer.tags(scorer, histories())
    assert {user: [tag.tag for tag in tags] for user, tags in found.items()} == {
        "ann": ["since long", "since tonight"],
        "cat": ["still there"],
    }
