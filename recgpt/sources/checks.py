"""Which rows of the three tables are fit to use, decided out of core.

`Checks` holds a DuckDB file in a scratch folder, with a fixed memory limit and two threads; a table goes in as a stream
of batches and comes out sorted, with a reason on every row that is refused. The first reason that applies is the one
given. Nothing here knows where rows came from but by `seq`, the order of the source, which breaks every tie: what comes
out is the same whatever the machine.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from recgpt.errors import DataError
from recgpt.sources.tables import FAULT, NOTES, SEQ, Note, Table
from recgpt.sources.values import ID_LIMIT, TEXT_LIMIT
from recgpt.words import ITEM_ID, TITLE, USER_ID

# ruff: noqa: S608 (statements are put together from names of our own; what a lake says is only ever a row)

MEMORY_LIMIT: Final = "256MB"
THREADS: Final = 2
FUTURE_SLACK: Final = timedelta(days=1)  # clocks and zones that are off by less than this are let through
NAMED_REASONS: Final = 20  # of one table; a column mapped wrongly could make as many as rows

TOO_EARLY: Final = "timestamp before data.earliest"
IN_FUTURE: Final = "timestamp in the future"
UNKNOWN_BEHAVIOUR: Final = "unknown behaviour"


class Checks:
    """The scratch database of one preparation. Close it before its folder is removed."""

    def __init__(self, folder: Path) -> None:
        self._connection = duckdb.connect(
            str(folder / "scratch.duckdb"),
            config={
                "memory_limit": MEMORY_LIMIT,
                "threads": THREADS,
                "temp_directory": str(folder / "spill"),
                "preserve_insertion_order": False,  # every result that needs an order asks for it
                "autoinstall_known_extensions": False,  # nothing is ever fetched
                # A stream has no known length; left to guess, DuckDB may hash the events to look up the users.
                "disabled_optimizers": "join_order,build_side_probe_side",
            },
        )
        self._connection.execute("SET enable_progress_bar = false")  # it draws on stderr, in a log too

    def close(self) -> None:
        self._connection.close()

    def keyed(self, table: Table, batches: Iterable[pa.RecordBatch]) -> None:
        """Take in users or items: one row a key, the first in the source's order; `row` numbers them by key."""
        key = table.columns[0].name
        self._take(
            table,
            batches,
            f"""CREATE TABLE {table.name}_read AS SELECT *, CASE
                WHEN {FAULT} IS NOT NULL THEN {FAULT}
                {_fit(key)} END AS wrong FROM source""",
        )
        self._do(
            f"""CREATE TABLE {table.name}_checked AS SELECT * EXCLUDE wrong, coalesce(wrong, CASE
                WHEN row_number() OVER (PARTITION BY wrong, {key} ORDER BY {SEQ}) > 1 THEN 'duplicate {key}' END
                ) AS reason FROM {table.name}_read"""
        )
        self._do(f"DROP TABLE {table.name}_read")
        self._do(
            f"""CREATE TABLE {table.name} AS
                SELECT CAST(row_number() OVER (ORDER BY {key}) - 1 AS INTEGER) AS row, * EXCLUDE reason
                FROM {table.name}_checked WHERE reason IS NULL"""
        )

    def events(
        self, table: Table, batches: Iterable[pa.RecordBatch], behaviours: Iterable[str], earliest: date, now: datetime
    ) -> None:
        """Take in events, once users and items are in; `behaviour` becomes an index into `behaviours`."""
        names = pa.table({"name": pa.array(list(behaviours), pa.string())})
        names = names.append_column("place", pa.array(range(len(names)), pa.int16()))
        self._connection.register("behaviours", names)
        first = datetime(earliest.year, earliest.month, earliest.day, tzinfo=UTC)
        self._take(
            table,
            batches,
            f"""CREATE TABLE events_checked AS SELECT
                users.row AS user, items.row AS item, behaviours.place AS behaviour, timestamp AS time,
                source.query, value, source.{SEQ}, source.{NOTES}, CASE
                WHEN source.{FAULT} IS NOT NULL THEN source.{FAULT}
                {_fit(USER_ID, "source")}
                WHEN source.{NOTES} & {Note.UNREAD_TIME} <> 0 THEN 'unreadable timestamp'
                WHEN timestamp IS NULL THEN 'no timestamp'
                WHEN timestamp < {_microseconds(first)} THEN '{TOO_EARLY}'
                WHEN timestamp > {_microseconds(now + FUTURE_SLACK)} THEN '{IN_FUTURE}'
                WHEN source.behaviour IS NULL THEN 'no behaviour'
                WHEN place IS NULL THEN '{UNKNOWN_BEHAVIOUR} ''' || left(source.behaviour, 40) || ''''
                WHEN source.item_id IS NULL AND query IS NULL THEN 'neither item_id nor query'
                WHEN users.row IS NULL THEN 'unknown user'
                WHEN source.item_id IS NOT NULL AND items.row IS NULL THEN 'unknown item' END AS reason,
                CASE WHEN reason IS NOT NULL THEN source.user_id END AS user_id,
                CASE WHEN reason IS NOT NULL THEN source.item_id END AS item_id
                FROM source
                LEFT JOIN users ON users.user_id = source.user_id
                LEFT JOIN items ON items.item_id = source.item_id
                LEFT JOIN behaviours ON behaviours.name = source.behaviour""",
        )

    def counts(self, table: Table) -> dict[str, Any]:
        """Rows read, kept and rejected by reason, and notes on those that are kept."""
        reasons = self._connection.execute(
            f"SELECT reason, count(*) AS n FROM {table.name}_checked WHERE reason IS NOT NULL GROUP BY reason "
            f"ORDER BY n DESC, reason LIMIT {NAMED_REASONS}"
        ).fetchall()
        read, kept = self._row(f"SELECT count(*), count(*) FILTER (reason IS NULL) FROM {table.name}_checked")
        rejected = dict(reasons)
        others = read - kept - sum(rejected.values())
        if others:
            rejected["other reasons"] = others
        number = "price or stock" if table.name == "items" else "value"
        noted = {
            f"{number} is no number": f"{NOTES} & {Note.UNREAD_NUMBER} <> 0",
            f"text cut to {TEXT_LIMIT:,} characters": f"{NOTES} & {Note.CUT} <> 0",
            **({"no title": f"{TITLE} IS NULL"} if table.name == "items" else {}),
        }
        sums = ", ".join(f"count(*) FILTER ({test})" for test in noted.values())
        found = self._row(f"SELECT {sums} FROM {table.name}_checked WHERE reason IS NULL")
        notes = {name: count for name, count in zip(noted, found, strict=True) if count}
        return {"read": read, "kept": kept, "rejected": rejected, "notes": notes}

    def rejects(self, table: Table) -> pa.RecordBatchReader:
        """`reason`, `seq` and the keys of every refused row, in the order of the source."""
        keys = [name for name in (USER_ID, ITEM_ID) if table.name == "events" or name == table.columns[0].name]
        return self._stream(
            f"SELECT reason, {SEQ}, {', '.join(keys)} FROM {table.name}_checked WHERE reason IS NOT NULL ORDER BY {SEQ}"
        )

    def first_future(self) -> int | None:
        """Microseconds since 1970 of the soonest event that was refused because it has not happened yet."""
        soonest: int | None = self._row(f"SELECT min(time) FROM events_checked WHERE reason = '{IN_FUTURE}'")[0]
        return soonest

    def sorted_events(self, rows: int) -> pa.RecordBatchReader:
        """user, item (-1: none), behaviour, time (microseconds), value, query, by user, time and source."""
        return self._stream(
            f"""SELECT user, coalesce(item, -1) AS item, behaviour, time, CAST(value AS FLOAT) AS value, query
                FROM events_checked WHERE reason IS NULL ORDER BY user, time, {SEQ}""",
            rows,
        )

    def sorted_users(self, features: int, rows: int) -> pa.RecordBatchReader:
        """user_id, feature_0 ..., and how many events each user has, by user_id."""
        said = "".join(f"feature_{number}, " for number in range(features))
        return self._stream(
            f"""SELECT user_id, {said} coalesce(n, 0) AS events FROM users LEFT JOIN
                (SELECT user, count(*) AS n FROM events_checked WHERE reason IS NULL GROUP BY user) AS counted
                ON counted.user = users.row ORDER BY users.row""",
            rows,
        )

    def sorted_items(self, rows: int) -> pa.RecordBatchReader:
        """item_id, title, category, brand, price, stock, by item_id."""
        return self._stream("SELECT item_id, title, category, brand, price, stock FROM items ORDER BY row", rows)

    def _do(self, sql: str) -> None:
        self._connection.execute(sql)

    def _row(self, sql: str) -> tuple[Any, ...]:
        return tuple(self._connection.execute(sql).fetchall()[0])

    def _stream(self, sql: str, rows: int = 16_384) -> pa.RecordBatchReader:
        return self._connection.sql(sql).to_arrow_reader(rows)

    def _take(self, table: Table, batches: Iterable[pa.RecordBatch], sql: str) -> None:
        """Run `sql` over `source`, a stream of batches. An error of the stream is raised as itself, not as DuckDB's."""
        failures: list[DataError] = []

        def guarded() -> Iterable[pa.RecordBatch]:
            try:
                yield from batches
            except DataError as error:
                failures.append(error)
                raise

        self._connection.register("source", pa.RecordBatchReader.from_batches(table.schema, guarded()))
        try:
            self._do(sql)
        except duckdb.Error:
            if failures:
                raise failures[0] from None
            raise
        finally:
            self._connection.unregister("source")


def _fit(key: str, table: str = "source") -> str:
    """SQL cases for a key that is absent, or that the store could not hold."""
    name = f"{table}.{key}"
    return f"""WHEN {name} IS NULL THEN 'no {key}'
               WHEN length({name}) > {ID_LIMIT} OR instr({name}, chr(0)) > 0 THEN 'unfit {key}'"""


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
