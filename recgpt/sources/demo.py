"""A small shop of our own, with users whose true interests are known.

`make_shop` writes `data/users|items|events.parquet` as any owner's logs would look, and beside them `truth/`: which
categories each user cares about and when, and which events were gifts or necessities. No stage reads the truth; only
the evaluation does. The same seed gives the same shop, and user n is the same however many users are made, because
each one draws from a stream of its own. Memory is flat in the number of users. Nothing is left half written: files
appear under their names when they are whole.

A user has two to four interests. Most last throughout, some begin or end within the year and a half, some are a phase
of a few weeks. An interest comes back every few weeks: looks, searches, things put aside, bought, rated. Around it is
the noise that a shop sees: gifts (a burst within three days, mostly before Christmas), necessities (bought once after
a look around), looks out of curiosity, plain clicks and impressions. Any category can be any of these to somebody.
"""

import os
import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from math import exp, log
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from recgpt import words
from recgpt.sources.shop import CATEGORIES, CITIES, Item, catalogue
from recgpt.words import Horizon

DAYS: Final = 548  # what the logs cover
CHUNK: Final = 2000  # users held in memory at once
DAY: Final = 86_400

_BEHAVIOURS: Final = ("view", "click", "favourite", "add_to_cart", "purchase", "rating", "search", "impression")
_CODE: Final = {name: code for code, name in enumerate(_BEHAVIOURS)}
VIEW, CLICK, FAVOURITE, CART, PURCHASE, RATING, SEARCH, IMPRESSION = range(len(_BEHAVIOURS))

_EVENTS: Final = pa.schema(
    [
        (words.USER_ID, pa.string()),
        (words.TIMESTAMP, pa.timestamp("us", tz="UTC")),
        (words.BEHAVIOUR, pa.string()),
        (words.ITEM_ID, pa.string()),
        (words.QUERY, pa.string()),
        (words.VALUE, pa.float32()),
    ]
)
_USERS: Final = pa.schema(
    [(words.USER_ID, pa.string()), ("age", pa.int16()), ("gender", pa.string()), ("city", pa.string())]
)
_TRUTH: Final = pa.schema(
    [
        (words.USER_ID, pa.string()),
        (words.CATEGORY, pa.string()),
        ("horizon", pa.string()),
        ("begin", pa.date32()),
        ("end", pa.date32()),  # null: it goes on
    ]
)
_NOISE: Final = pa.schema(
    [(words.USER_ID, pa.string()), (words.CATEGORY, pa.string()), ("kind", pa.string()), ("date", pa.date32())]
)


def make_shop(folder: Path, *, users: int, seed: int, until: date) -> None:
    """Write a shop of `users` users, whose events end with the day `until` (UTC), into `folder`.

    Files of an earlier shop in the same folder are replaced.
    """
    shop = _Shop(seed, until)
    outputs = {
        "data/users": _USERS,
        "data/items": _items_table(shop.items).schema,
        "data/events": _EVENTS,
        "truth/interests": _TRUTH,
        "truth/noise": _NOISE,
    }
    parts = {name: folder / f"{name}.parquet.part" for name in outputs}
    for path in parts.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    writers = {name: pq.ParquetWriter(parts[name], schema, compression="zstd") for name, schema in outputs.items()}
    try:
        writers["data/items"].write_table(_items_table(shop.items))
        for first in range(0, users, CHUNK):
            rows = _Rows()
            for number in range(first, min(users, first + CHUNK)):
                _User(shop, number, rows).live()
            for name, table in rows.tables(shop):
                writers[name].write_table(table)
    finally:
        for writer in writers.values():
            writer.close()
    for name, part in parts.items():
        os.replace(part, folder / f"{name}.parquet")


def _items_table(items: Sequence[Item]) -> pa.Table:
    return pa.table(
        {
            words.ITEM_ID: [item.item_id for item in items],
            words.TITLE: [item.title for item in items],
            words.CATEGORY: [CATEGORIES[item.category].path for item in items],
            words.BRAND: [item.brand for item in items],
            words.PRICE: pa.array([item.price for item in items], pa.float32()),
        }
    )


def _zipf(n: int, power: float) -> list[float]:
    return [1.0 / (rank + 2) ** power for rank in range(n)]


class _Shop:
    """What all users share: the items, how popular each is, and how the seasons go."""

    def __init__(self, seed: int, until: date) -> None:
        self.seed = seed
        self.items = catalogue(seed)
        self.first_day = until - timedelta(days=DAYS - 1)
        self.begin = int(
            datetime(self.first_day.year, self.first_day.month, self.first_day.day, tzinfo=UTC).timestamp()
        )
        self.end = self.begin + DAYS * DAY
        self.months = [(self.first_day + timedelta(days=day)).month for day in range(DAYS)]
        self.before_christmas = [
            day for day in range(DAYS) if (self.first_day + timedelta(days=day)).strftime("%m-%d") in _ADVENT
        ]
        self.rows: list[list[int]] = [[] for _ in CATEGORIES]
        for row, item in enumerate(self.items):
            self.rows[item.category].append(row)
        # Popularity within a category is its order in the catalogue; a user leans to one of the category's brands.
        self.weights = [list(accumulate(_zipf(len(rows), 0.7))) for rows in self.rows]
        self.by_brand = [
            {
                brand: list(
                    accumulate(
                        weight * (3.0 if self.items[row].brand == brand else 1.0)
                        for row, weight in zip(rows, _zipf(len(rows), 0.7), strict=True)
                    )
                )
                for brand in CATEGORIES[number].brands
            }
            for number, rows in enumerate(self.rows)
        ]
        order = random.Random(f"popular:{seed}").sample(range(len(CATEGORIES)), len(CATEGORIES))
        self.popularity = [0.0] * len(CATEGORIES)
        for weight, number in zip(_zipf(len(order), 0.4), order, strict=True):
            self.popularity[number] = weight
        self.category_weights = list(accumulate(self.popularity))
        self.queries = sorted({query for item in self.items for query in item.queries})
        self.query_of = {query: number for number, query in enumerate(self.queries)}


_ADVENT: Final = {f"11-{day:02d}" for day in range(20, 31)} | {f"12-{day:02d}" for day in range(1, 22)}


@dataclass
class _Rows:
    """Columns of one chunk, as plain numbers."""

    users: list[tuple[str, int, str, str]] = field(default_factory=list)
    truth: list[tuple[str, str, str, date, date | None]] = field(default_factory=list)
    noise: list[tuple[str, str, str, date]] = field(default_factory=list)
    user_ids: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    events: list[tuple[int, int, int, int, float | None]] = field(default_factory=list)

    def tables(self, shop: _Shop) -> Iterator[tuple[str, pa.Table]]:
        times, codes, items, queries, values = zip(*self.events, strict=True) if self.events else ((), (), (), (), ())
        owners = [number for number, count in enumerate(self.counts) for _ in range(count)]
        columns = [
            _decoded(owners, self.user_ids),
            pa.array([time * 1_000_000 for time in times], pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            _decoded(codes, _BEHAVIOURS),
            _decoded(items, [item.item_id for item in shop.items]),
            _decoded(queries, shop.queries),
            pa.array(values, pa.float32()),
        ]
        yield "data/events", pa.table(columns, schema=_EVENTS)
        yield "data/users", _table(self.users, _USERS)
        yield "truth/interests", _table(self.truth, _TRUTH)
        yield "truth/noise", _table(self.noise, _NOISE)


def _decoded(numbers: Sequence[int], names: Sequence[str]) -> pa.Array:
    """Strings by number; -1 is null."""
    indices = pa.array([None if number < 0 else number for number in numbers], pa.int32())
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string())).dictionary_decode()


def _table(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    return pa.table([pa.array(column, kind.type) for column, kind in zip(columns, schema, strict=True)], schema=schema)


class _User:
    """One user's year and a half, drawn from a stream that only the seed and the user's number decide."""

    def __init__(self, shop: _Shop, number: int, rows: _Rows) -> None:
        self.shop = shop
        self.rows = rows
        self.user_id = f"u{number + 1:07d}"
        self.rng = random.Random(f"user:{shop.seed}:{number}")
        self.bought: set[int] = set()
        self.events: list[tuple[int, int, int, int, float | None]] = []  # time, behaviour, item, query, value
        self.activity = min(6.0, exp(self.rng.gauss(-0.1, 0.55)))

    def live(self) -> None:
        rng = self.rng
        age = min(82, max(18, int(rng.gauss(42, 14))))
        woman = rng.random() < 0.5
        self.rows.users.append((self.user_id, age, "female" if woman else "male", rng.choice(CITIES)))
        interests = self._choose(age, woman)
        for category in interests:
            self._interest(category)
        foreign = [number for number in range(len(CATEGORIES)) if number not in interests]
        self._gifts(foreign)
        self._necessities(foreign)
        self._idle(interests)
        self.events.sort(key=lambda event: event[0])
        self.rows.user_ids.append(self.user_id)
        self.rows.counts.append(len(self.events))
        self.rows.events.extend(self.events)

    def _choose(self, age: int, woman: bool) -> list[int]:
        """Two to four categories: popular ones more often, and those that lean to the user's age and gender."""
        weights = [
            weight * exp(category.age * (age - 42) / 20 + category.women * (0.6 if woman else -0.6))
            for weight, category in zip(self.shop.popularity, CATEGORIES, strict=True)
        ]
        chosen: list[int] = []
        for _ in range(self.rng.choices((2, 3, 4), (35, 40, 25))[0]):
            number = self.rng.choices(range(len(weights)), weights)[0]
            weights[number] = 0.0
            chosen.append(number)
        return chosen

    def _interest(self, category: int) -> None:
        rng = self.rng
        begin, end, horizon = 0, DAYS, Horizon.LONG_TERM
        fate = rng.random()
        if fate < 0.18:
            begin = rng.randrange(100, DAYS - 110)
        elif fate < 0.30:
            end = rng.randrange(150, DAYS - 150)
        elif fate < 0.42:  # a phase, lately
            begin, horizon = rng.randrange(DAYS - 180, DAYS - 14), Horizon.SHORT_TERM
            end = begin + rng.randrange(30, 60)
        day = self.shop.first_day
        self.rows.truth.append(
            (
                self.user_id,
                CATEGORIES[category].path,
                str(horizon),
                day + timedelta(days=begin),
                None if end >= DAYS else day + timedelta(days=end),
            )
        )
        if horizon is Horizon.LONG_TERM:
            # Occasions over all the period, on average; fewer in a shorter one, never so few that none could tell.
            expected = max(7.0, 12.0 * self.activity * rng.gammavariate(3.0, 1 / 3.0)) * max(0.4, (end - begin) / DAYS)
        else:
            expected = max(6.0, 9.0 * self.activity) * (end - begin) / 45
        brand = rng.choice(CATEGORIES[category].brands)
        for when in self._days(category, begin, end, max(4, round(rng.gauss(expected, expected**0.5 / 2)))):
            if when < DAYS:
                self._occasion(category, when, brand, keen=True)

    def _days(self, category: int, begin: int, end: int, count: int) -> list[int]:
        """Days of occasions: by season where the category has one, and now and then two close together."""
        season = CATEGORIES[category].season
        days: list[int] = []
        while len(days) < count:
            day = self.rng.randrange(begin, end)
            if season and self.shop.months[min(day, DAYS - 1)] not in season and self.rng.random() < 0.65:
                continue
            days.append(day)
            if self.rng.random() < 0.15:
                days.append(min(end - 1, day + self.rng.randrange(1, 5)))
        return days[:count]

    def _gifts(self, foreign: Sequence[int]) -> None:
        rng = self.rng
        for _ in range(self._poisson(1.8)):
            category = rng.choice(foreign)
            christmas = bool(self.shop.before_christmas) and rng.random() < 0.5
            day = rng.choice(self.shop.before_christmas) if christmas else rng.randrange(DAYS - 3)
            self._note(category, "gift", day)
            for _ in range(rng.randint(1, 4)):
                self._occasion(category, min(DAYS - 1, day + rng.randrange(3)), None, keen=False, buys=0.55)

    def _necessities(self, foreign: Sequence[int]) -> None:
        rng = self.rng
        for _ in range(self._poisson(1.8)):
            category = rng.choice(foreign)
            day = rng.randrange(DAYS - 10)
            self._note(category, "necessity", day)
            if rng.random() < 0.5:
                self._search(self._pick(category, None), self._moment(day))
            for _ in range(rng.randint(1, 3)):
                self._add(self._moment(day + rng.randrange(6)), VIEW, self._pick(category, None))
            self._buy(self._pick(category, None), self._moment(day + rng.randrange(6, 9)))

    def _idle(self, interests: Sequence[int]) -> None:
        """What says little: looks out of curiosity, plain clicks, impressions, a stray search."""
        rng = self.rng
        for behaviour, mean, own in ((VIEW, 5.0, 0.0), (CLICK, 12.0, 0.3), (IMPRESSION, 14.0, 0.3), (SEARCH, 0.8, 0.0)):
            for _ in range(self._poisson(mean * self.activity)):
                category = (
                    rng.choice(interests)
                    if rng.random() < own
                    else bisect(self.shop.category_weights, rng.random() * self.shop.category_weights[-1])
                )
                item, moment = self._pick(category, None), self._moment(rng.randrange(DAYS))
                if behaviour == SEARCH:
                    self._search(item, moment)
                else:
                    self._add(moment, behaviour, item)

    def _occasion(self, category: int, day: int, brand: str | None, *, keen: bool, buys: float = 0.28) -> None:
        """One visit about one item: perhaps searched for, looked at, perhaps more."""
        rng = self.rng
        item, moment = self._pick(category, brand), self._moment(day)
        if rng.random() < 0.3:
            self._search(item, moment)
        if rng.random() < 0.35:
            self._add(moment + rng.randrange(20, 300), CLICK, self._pick(category, brand))
        moment += rng.randrange(300, 600)
        self._add(moment, VIEW, item)
        if keen and rng.random() < 0.14:
            self._add(moment + 30, FAVOURITE, item)
        if rng.random() < buys:
            self._buy(item, moment + rng.randrange(60, 900), rates=0.4 if keen else 0.1)
        elif rng.random() < 0.12:
            self._add(moment + 60, CART, item)

    def _buy(self, item: int, moment: int, rates: float = 0.15) -> None:
        if item in self.bought:
            return
        self.bought.add(item)
        rng = self.rng
        self._add(moment, CART, item)
        self._add(moment + rng.randrange(30, 1200), PURCHASE, item)
        if rng.random() < rates:
            stars = float(rng.choices((1, 2, 3, 4, 5), (3, 4, 10, 33, 50))[0])
            self._add(moment + rng.randrange(3 * DAY, 21 * DAY), RATING, item, stars)

    def _search(self, item: int, moment: int) -> None:
        query = self.shop.query_of[self.rng.choice(self.shop.items[item].queries)]
        self.events.append((moment, SEARCH, -1, query, None))

    def _add(self, moment: int, behaviour: int, item: int, value: float | None = None) -> None:
        if moment < self.shop.end:
            self.events.append((moment, behaviour, item, -1, value))

    def _pick(self, category: int, brand: str | None) -> int:
        """An item of the category, popular ones more often; one already bought is mostly passed over."""
        weights = self.shop.weights[category] if brand is None else self.shop.by_brand[category][brand]
        rows = self.shop.rows[category]
        row = rows[bisect(weights, self.rng.random() * weights[-1])]
        if row in self.bought:
            row = rows[bisect(weights, self.rng.random() * weights[-1])]
        return row

    def _moment(self, day: int) -> int:
        """A second of that day: seldom at night."""
        hour = min(23.2, max(0.0, self.rng.gauss(15.5, 4.5)))
        return self.shop.begin + day * DAY + int(hour * 3600) + self.rng.randrange(600)

    def _note(self, category: int, kind: str, day: int) -> None:
        when = self.shop.first_day + timedelta(days=day)
        self.rows.noise.append((self.user_id, CATEGORIES[category].path, kind, when))

    def _poisson(self, mean: float) -> int:
        """Arrivals of a rate `mean` within one unit of time."""
        count, at = 0, 0.0
        while True:
            at -= log(1.0 - self.rng.random()) / mean
            if at > 1.0:
                return count
            count += 1
