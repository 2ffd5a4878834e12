"""The shared data sets as the towers read them, for whichever benchmark measures on one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from towers.config import Inputs
from towers.data import TrainingData
from towers.tag_texts import tag_texts

DATA = Path(__file__).resolve().parents[1] / "../shared/data"
BEAUTY, JOURNEY = DATA / "amazon_beauty_2014", DATA / "complete_journey"
BASE = ("age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count")
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DataSet:
    data: TrainingData  # all events, in time order for each user, none held out
    inputs: Inputs  # what a config must say of these data
    days: npt.NDArray[np.float64]  # (E,) moments of the events

    @property
    def first(self) -> npt.NDArray[np.bool_]:
        """(E,) events of the first behaviour: what is asked for, and learnt where there are no tasks."""
        return np.asarray(self.data.behaviours == 0)

    def to_learn(self, tasks: Sequence[str], held_out: Array, unused: Array) -> TrainingData:
        """The data, of which the first behaviour is held out. The others are learnt if there are tasks."""
        others = ~self.first & (held_out | (not tasks))
        return replace(self.data, held_out=held_out & self.first, unused=unused | others)


def beauty(folder: Path = BEAUTY) -> DataSet:
    """198,502 reviews of 22,363 users on 12,101 items; all events are one behaviour, and times are whole days."""
    events = pq.read_table(folder / "events.parquet", columns=["user_id", "item_id", "timestamp"])
    items = pq.read_table(folder / "items.parquet")
    seconds = events["timestamp"].cast(pa.timestamp("s")).cast(pa.int64()).to_numpy()
    # The file's own order says more than its days: it must be kept among events of one user.
    return _data_set(items, events, seconds, np.zeros(len(seconds), np.int64), ("review",))


def journey(folder: Path = JOURNEY) -> DataSet:
    """1,469,307 purchases of 2,469 households on 92,348 products. One with a coupon's discount stands there twice, as
    the behaviours purchase and coupon; households have base features, products a price."""
    columns = ["user_id", "item_id", "timestamp", "event_type", "coupon_disc"]
    events = pq.read_table(folder / "events.parquet", columns=columns)
    events = events.filter(pc.equal(events["event_type"], "purchase"))
    seconds = events["timestamp"].cast(pa.timestamp("s")).cast(pa.int64()).to_numpy()
    order = np.argsort(seconds, kind="stable")
    events, seconds = events.take(pa.array(order)), seconds[order]
    rows = np.repeat(np.arange(len(events)), 1 + (events["coupon_disc"].to_numpy() != 0))
    coupon = (np.diff(rows, prepend=-1) == 0).astype(np.int64)
    events, seconds = events.take(pa.array(rows)), seconds[rows]
    items = pq.read_table(folder / "items.parquet")
    users = pq.read_table(folder / "users.parquet")
    return _data_set(items, events, seconds, coupon, ("purchase", "coupon"), users)


def _data_set(
    items: pa.Table,
    events: pa.Table,
    seconds: Array,
    behaviours: Array,
    names: tuple[str, ...],
    people: pa.Table | None = None,
) -> DataSet:
    if people is None:
        user_ids, fields = pc.unique(events["user_id"]), {}
    else:
        user_ids, fields = people["user_id"], {name: _texts(people, name) for name in BASE}
    titles, categories, brands = (_texts(items, name) for name in ("title", "category_path", "brand"))
    prices = items["price"].to_numpy() if "price" in items.column_names else np.full(len(items), np.nan)
    priced = bool(np.isfinite(prices).any())
    tags = tag_texts(titles, categories, brands)
    data = TrainingData(
        item_ids=_texts(items, "item_id"),
        titles=titles,
        categories=categories,
        brands=brands,
        item_numbers=prices[:, None] if priced else None,
        user_ids=user_ids.to_pylist(),
        user_fields=fields,
        users=_rows(events["user_id"], user_ids),
        items=_rows(events["item_id"], items["item_id"]),
        behaviours=behaviours,
        times=seconds,
        tag_texts=tags.texts,
        tag_items=tags.items,
        tag_rows=tags.tags,
    )
    inputs = Inputs(names, user_fields=tuple(fields), item_numbers=("price",) if priced else ())
    return DataSet(data, inputs, seconds / 86_400.0)


def _texts(table: pa.Table, name: str) -> list[str]:
    return [text or "" for text in table[name].to_pylist()]


def _rows(values: Any, known: Any) -> Array:
    """(E,) place of each value among the known ones."""
    if isinstance(known, pa.ChunkedArray):
        known = known.combine_chunks()
    found: Array = pc.index_in(values, known.cast(values.type)).to_numpy().astype(np.int64)
    return found
