"""The logs as the stages read them: prepared by `prepare`, on disk, streamed.

Users are sorted by user_id and a user's events by time, then by their order in the source. A user's row holds where in
the events file their history lies, so one history is read without a search and all of them without a sort. Only the
catalogue (the items) is held in memory. Nothing here writes, and nothing reads the lake.
"""

import bisect
import fcntl
import json
import os
import weakref
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MANIFEST: Final = "manifest.json"
USER_GROUP: Final = 4_096  # users in a row group of users.parquet
EVENT_GROUP: Final = 32_768  # events in a row group of events.parquet

EVENT_SCHEMA: Final = pa.schema(
    [
        ("user", pa.int32()),
        ("item", pa.int32()),
        ("behaviour", pa.int16()),
        ("time", pa.timestamp("s")),
        ("value", pa.float32()),
        ("query", pa.string()),
    ]
)

_INTERACTION_SCHEMA: Final = pa.schema([EVENT_SCHEMA.field(name) for name in ("user", "item", "behaviour", "time")])


@dataclass(frozen=True)
class Catalogue:
    """The items, as parallel sequences in the order of item_id; absent text is "", an absent number NaN."""

    ids: Sequence[str]
    titles: Sequence[str]
    categories: Sequence[str]  # paths, "A > B > C"
    brands: Sequence[str]
    prices: npt.NDArray[np.float32]  # (I,)
    stocks: npt.NDArray[np.float32] | None = None  # (I,) how many there are; None: of no item known

    def __len__(self) -> int:
        return len(self.ids)

    def row_of(self, item_id: str) -> int | None:
        return self._rows.get(item_id)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {item_id: row for row, item_id in enumerate(self.ids)}


@dataclass(frozen=True)
class History:
    """One user's events, oldest first; E of them, which may be 0."""

    user_id: str
    features: dict[str, str]  # base features that are known of this user
    times: npt.NDArray[np.datetime64]  # (E,) datetime64[s], UTC, ascending
    behaviours: npt.NDArray[np.int16]  # (E,) index into Logs.behaviours
    items: npt.NDArray[np.int32]  # (E,) row in the catalogue, -1 for a search
    queries: list[str | None]  # E; what was typed
    values: npt.NDArray[np.float32]  # (E,) NaN if none

    def __len__(self) -> int:
        return len(self.times)

    def until(self, moment: datetime) -> "History":
        """The events strictly before a moment, which must carry a time zone."""
        end = int(np.searchsorted(self.times, utc64(moment), side="left"))
        if end == len(self):
            return self
        return History(
            self.user_id,
            self.features,
            self.times[:end],
            self.behaviours[:end],
            self.items[:end],
            self.queries[:end],
            self.values[:end],
        )


class Logs:
    """Reading access to one prepared state, which stays on disk as long as this object lives, whatever is prepared
    meanwhile. Safe to use from several threads."""

    def __init__(self, home: Path) -> None:
        """Open the state that `home`'s manifest names. Raises FileNotFoundError if nothing was prepared."""
        manifest: dict[str, Any] = json.loads((home / MANIFEST).read_text(encoding="utf-8"))
        folder = home / manifest["folder"]
        held = os.open(folder, os.O_RDONLY)
        weakref.finalize(self, os.close, held)
        fcntl.flock(held, fcntl.LOCK_SH)  # while this object lives, no preparation removes the folder
        self.behaviours: tuple[str, ...] = tuple(manifest["config"]["behaviours"])
        self.counts: dict[str, dict[str, Any]] = manifest["counts"]  # by table: files, read, kept, rejected, notes
        self.n_users: int = self.counts["users"]["kept"]
        self._features: tuple[str, ...] = tuple(manifest["config"]["data"]["base_features"])
        self._first_ids: list[str] = manifest["first_ids"]  # of each row group of users
        self._users = folder / "users.parquet"
        self._events = folder / "events.parquet"
        self._events_footer = pq.read_metadata(self._events)
        self.catalogue = _catalogue(folder / "items.parquet")

    def user_ids(self, limit: int | None = None) -> Iterator[str]:
        """User ids in sorted order (of their characters' code points)."""
        with pq.ParquetFile(self._users) as file:
            batches = file.iter_batches(USER_GROUP, columns=["user_id"])
            yield from islice((user_id for batch in batches for user_id in batch.column(0).to_pylist()), limit)

    def sizes(self, users: Collection[str]) -> dict[str, int]:
        """How many events each of these users has, whenever they were; who is not in the logs is left out."""
        groups: dict[int, set[str]] = {}
        for user_id in users:
            groups.setdefault(bisect.bisect_right(self._first_ids, user_id) - 1, set()).add(user_id)
        found: dict[str, int] = {}
        with pq.ParquetFile(self._users) as file:
            for group in sorted(groups.keys() - {-1}):
                table = file.read_row_group(group, columns=["user_id", "events"])
                sizes = zip(table["user_id"].to_pylist(), table["events"].to_pylist(), strict=True)
                found.update((user_id, count) for user_id, count in sizes if user_id in groups[group])
        return found

    def people(self) -> Iterator[tuple[str, dict[str, str]]]:
        """User ids in sorted order, each with the base features that are known."""
        for user_id, features, _, _ in self._all_users():
            yield user_id, features

    def histories(
        self, until: datetime, users: Sequence[str] | None = None, limit: int | None = None
    ) -> Iterator[History]:
        """Histories strictly before `until`, by user_id; users without events come too, empty.

        Args:
            users: only these; each once, whatever the order given. Raises KeyError for an id that the logs lack.
            limit: only the first so many.
        """
        cut = utc64(until)
        with _Events(self._events, self._events_footer) as events:
            chosen = self._all_users() if users is None else self._some_users(sorted(set(users)))
            for user_id, features, first, count in islice(chosen, limit):
                yield events.history(user_id, features, first, count, cut)

    def history(self, user_id: str, until: datetime) -> History:
        """One user's events strictly before `until`. Raises KeyError for an unknown user."""
        return next(self.histories(until, [user_id]))

    def interactions(self, until: datetime) -> Iterator[pa.RecordBatch]:
        """Item events strictly before `until`, by user and time: user (int32, row in sorted order), item (int32, row in
        the catalogue), behaviour (int16), time (timestamp[s]). Searches without an item are left out."""
        cut = pa.scalar(utc64(until).astype("datetime64[us]").astype(datetime), pa.timestamp("us"))
        with pq.ParquetFile(self._events) as file:
            for batch in file.iter_batches(EVENT_GROUP, columns=_INTERACTION_SCHEMA.names):
                wanted = pc.and_(pc.greater_equal(batch["item"], 0), pc.less(batch["time"], cut))
                yield batch.filter(wanted).cast(_INTERACTION_SCHEMA)

    def searches(self, until: datetime) -> Iterator[pa.RecordBatch]:
        """Searches strictly before `until`, by user and time: user, time (timestamp[s]) and query."""
        cut = pa.scalar(utc64(until).astype("datetime64[us]").astype(datetime), pa.timestamp("us"))
        schema = pa.schema([EVENT_SCHEMA.field(name) for name in ("user", "time", "query")])
        with pq.ParquetFile(self._events) as file:
            for batch in file.iter_batches(EVENT_GROUP, columns=schema.names):
                yield batch.filter(pc.and_(pc.is_valid(batch["query"]), pc.less(batch["time"], cut))).cast(schema)

    def _all_users(self) -> Iterator["_User"]:
        with pq.ParquetFile(self._users) as file:
            for batch in file.iter_batches(USER_GROUP):
                yield from self._read(batch, range(batch.num_rows))

    def _some_users(self, wanted: list[str]) -> Iterator["_User"]:
        """Rows of these users, `wanted` being sorted; a row group is read once."""
        groups = [bisect.bisect_right(self._first_ids, user_id) - 1 for user_id in wanted]
        bounds = [0, *(place for place in range(1, len(groups)) if groups[place] != groups[place - 1]), len(groups)]
        with pq.ParquetFile(self._users) as file:
            for start, end in pairwise(bounds if wanted else []):
                if groups[start] < 0:
                    raise KeyError(wanted[start])
                table = file.read_row_group(groups[start]).combine_chunks().to_batches()[0]
                rows = {user_id: row for row, user_id in enumerate(table["user_id"].to_pylist())}
                yield from self._read(table, [rows[user_id] for user_id in wanted[start:end]])

    def _read(self, batch: pa.RecordBatch, rows: Sequence[int]) -> Iterator["_User"]:
        picked = batch if len(rows) == batch.num_rows else batch.take(pa.array(rows, pa.int32()))
        columns = [picked[f"feature_{number}"].to_pylist() for number in range(len(self._features))]
        firsts, counts = picked["first"].to_pylist(), picked["events"].to_pylist()
        for place, user_id in enumerate(picked["user_id"].to_pylist()):
            cells = zip(self._features, (column[place] for column in columns), strict=True)
            features = {name: value for name, value in cells if value is not None}
            yield user_id, features, firsts[place], counts[place]


_User = tuple[str, dict[str, str], int, int]  # user_id, features, first event, how many


class _Events:
    """Ranges of events.parquet, with the row groups last read kept: one reader serves one sweep over the users."""

    def __init__(self, path: Path, footer: pq.FileMetaData) -> None:
        self._file = pq.ParquetFile(path, metadata=footer)
        sizes = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
        self._starts: list[int] = [0, *np.cumsum(sizes, dtype=np.int64).tolist()]
        self._kept: OrderedDict[int, pa.Table] = OrderedDict()

    def __enter__(self) -> "_Events":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def history(self, user_id: str, features: dict[str, str], first: int, count: int, until: np.datetime64) -> History:
        found = self._range(first, count)
        times = found["time"].to_numpy()
        end = int(np.searchsorted(times, until, side="left"))
        found = found.slice(0, end)
        return History(
            user_id=user_id,
            features=features,
            times=times[:end],
            behaviours=found["behaviour"].to_numpy(),
            items=found["item"].to_numpy(),
            queries=[None] * end if found["query"].null_count == end else found["query"].to_pylist(),
            values=found["value"].to_numpy(),
        )

    def _range(self, first: int, count: int) -> pa.Table:
        """Events [first, first + count)."""
        if count == 0:
            return EVENT_SCHEMA.empty_table()
        parts = []
        group = bisect.bisect_right(self._starts, first) - 1
        while group < len(self._starts) - 1 and self._starts[group] < first + count:
            start = max(first - self._starts[group], 0)
            end = min(first + count, self._starts[group + 1]) - self._starts[group]
            parts.append(self._group(group).slice(start, end - start))
            group += 1
        return pa.concat_tables(parts)

    def _group(self, group: int) -> pa.Table:
        if group not in self._kept:
            # Parquet knows no seconds, so they come back as milliseconds.
            self._kept[group] = self._file.read_row_group(group, use_threads=False).cast(EVENT_SCHEMA)
            if len(self._kept) > 2:  # the one before and this one: a user lies across two at most, or is alone in many
                self._kept.popitem(last=False)
        return self._kept[group]


def utc64(moment: datetime) -> np.datetime64:
    """A moment with a zone as numpy's naive UTC, in microseconds. Raises ValueError for one without."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone: give a datetime with one, such as config.night_of() makes")
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def _catalogue(path: Path) -> Catalogue:
    table = pq.read_table(path)
    said = {name: ["" if cell is None else cell for cell in table[name].to_pylist()] for name in _SAID}
    prices, stocks = (table[name].to_numpy(zero_copy_only=False).astype(np.float32) for name in ("price", "stock"))
    return Catalogue(said["item_id"], said["title"], said["category"], said["brand"], prices, stocks)


_SAID = ("item_id", "title", "category", "brand")
