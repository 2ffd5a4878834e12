"""The three tables as they lie in a lake: which files, which columns, and a stream of their rows.

A table is a file, a folder (read to any depth, names starting with `.` or `_` left out) or a glob of Parquet, CSV or
JSON Lines, the last two also gzipped; files are read in the order of their paths. Only mapped columns are read, in
chunks, so memory does not grow with the table. Every row comes through, a bad one with its fault. A file that can't be
read, or lacks a column, raises `DataError`: to skip a day in silence would be worse than to stop.
"""

import glob
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recgpt.config import Config
from recgpt.errors import DataError
from recgpt.settings import Section
from recgpt.sources import rows, values
from recgpt.words import BEHAVIOUR, BRAND, CATEGORY, ITEM_ID, PRICE, QUERY, STOCK, TIMESTAMP, TITLE, USER_ID, VALUE

SUFFIXES: Final = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz")
ROW_BITS: Final = 40  # `seq` = file number << ROW_BITS | row number: the order of the source, in one integer

# Columns that every batch has, beside the table's own.
SEQ: Final = "seq"
FAULT: Final = "fault"  # why the row can't be used at all, or null
NOTES: Final = "notes"  # bits of `Note`


class Note:
    """What was put right in a row that is kept, as bits; and UNREAD_TIME, which makes it one that is not."""

    UNREAD_NUMBER: Final = 1
    CUT: Final = 2
    UNREAD_TIME: Final = 4


Kind = Literal["id", "text", "time", "number"]
ARROW: Final[dict[Kind, pa.DataType]] = {
    "id": pa.string(),
    "text": pa.string(),
    "time": pa.int64(),  # microseconds since 1970 UTC
    "number": pa.float64(),
}


@dataclass(frozen=True)
class Column:
    """One column: our name, the lake's, and the config key that says so."""

    name: str
    source: str
    kind: Kind
    key: str
    required: bool  # every file must have it
    mapped: bool  # the config names it, so a file without it is a slip; JSON Lines may leave a key out, though


@dataclass(frozen=True)
class Table:
    name: str
    pattern: str  # as in the config
    columns: tuple[Column, ...]
    one_of: tuple[str, ...] = ()  # at least one of these must be in every file

    @property
    def schema(self) -> pa.Schema:
        own = [(column.name, ARROW[column.kind]) for column in self.columns]
        return pa.schema([*own, (SEQ, pa.int64()), (FAULT, pa.string()), (NOTES, pa.int8())])

    @property
    def sources(self) -> list[str]:
        return [column.source for column in self.columns]


class Found(NamedTuple):
    files: list[Path]
    others: int  # files of another format, not read


def users(config: Config) -> Table:
    """The users table. A base feature is named `feature_0`, ... as in `data.base_features`, and is text."""
    key = _column("users", config.data.columns.users, USER_ID, "id", required=True)
    features = [
        Column(f"feature_{number}", name, "text", "data.base_features", required=False, mapped=True)
        for number, name in enumerate(config.data.base_features)
    ]
    return Table("users", config.data.users, (key, *features))


def items(config: Config) -> Table:
    mapped = config.data.columns.items
    key = _column("items", mapped, ITEM_ID, "id", required=True)
    said = [_column("items", mapped, name, "text", required=name == TITLE) for name in (TITLE, CATEGORY, BRAND)]
    counted = [_column("items", mapped, name, "number") for name in (PRICE, STOCK)]
    return Table("items", config.data.items, (key, *said, *counted))


def events(config: Config) -> Table:
    mapped = config.data.columns.events
    columns = (
        _column("events", mapped, USER_ID, "id", required=True),
        _column("events", mapped, TIMESTAMP, "time", required=True),
        _column("events", mapped, BEHAVIOUR, "text", required=True),
        _column("events", mapped, ITEM_ID, "id"),
        _column("events", mapped, QUERY, "text"),
        _column("events", mapped, VALUE, "number"),
    )
    return Table("events", config.data.events, columns, one_of=(ITEM_ID, QUERY))


def find(table: Table, folder: Path) -> Found:
    """The files of a table, sorted by path. Raises DataError if there is none that recgpt reads."""
    path = folder / table.pattern
    if path.exists():
        named = [path]
    else:
        named = [folder / match for match in glob.glob(table.pattern, root_dir=folder, recursive=True)]
    inside = [file for match in named for file in (_within(match) if match.is_dir() else [match])]
    files = sorted({file for file in inside if file.name.endswith(SUFFIXES)})
    if not files:
        raise DataError(
            f"{table.name}: nothing to read at {path}. Set data.{table.name} in recgpt.toml to a file, a folder or a "
            f"glob of {', '.join(SUFFIXES)}" + (f" ({len(inside)} files of other formats lie there)" if inside else "")
        )
    return Found(files, len(set(inside)) - len(files))


def batches(table: Table, files: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    """All rows of all files, in order, as batches of `table.schema`.

    Raises:
        DataError: a file can't be read or lacks a column. All headers and footers are read before the first row.
    """
    found = [_names(table, file) for file in files]
    for number, (file, names) in enumerate(zip(files, found, strict=True)):
        try:
            source = _parquet(table, file, names) if _is_parquet(file) else _text(table, file)
            for numbers, faults, columns in source:
                seq = pa.array((number << ROW_BITS) | numbers)
                yield _batch(table, file, seq, faults, columns)
        except _UNREADABLE as error:
            raise _unreadable(table, file, error) from error


_UNREADABLE = (pa.ArrowException, OSError, EOFError, zlib.error)
Part = tuple[np.ndarray, pa.Array | None, dict[str, pa.Array]]  # row numbers, faults, columns by the lake's name


def _column(table: str, mapped: Section, name: str, kind: Kind, required: bool = False) -> Column:
    source = getattr(mapped, name)
    named = source != type(mapped).model_fields[name].default
    return Column(name, source, kind, f"data.columns.{table}.{name}", required, named)


def _within(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        if file.is_file() and not any(part.startswith((".", "_")) for part in file.relative_to(folder).parts):
            yield file


def _is_parquet(file: Path) -> bool:
    return file.name.endswith(".parquet")


def _unreadable(table: Table, file: Path, error: Exception) -> DataError:
    return DataError(
        f"{table.name}: {file} can't be read: {printable(str(error)) or type(error).__name__}. Put a whole file in its "
        f"place or move it away; what was prepared before is untouched"
    )


def printable(text: str) -> str:
    """Text of a lake, fit for a message or a JSON file: bytes that were not UTF-8 are escaped."""
    return text.encode("utf-8", errors="backslashreplace").decode()


def _names(table: Table, file: Path) -> list[str]:
    """Column names of a file, once it is sure that it has those that it must have."""
    try:
        parquet = _is_parquet(file)
        names = pq.read_schema(file).names if parquet else rows.header(file, table.sources)
    except _UNREADABLE as error:
        raise _unreadable(table, file, error) from error
    keyed = not parquet and rows.is_keyed(file)
    if keyed and not names:
        return []  # an empty day, or nothing but broken rows, which are counted
    for column in table.columns:
        if column.source not in names and (column.required or (column.mapped and not keyed)):
            raise _missing(file, names, f"column {column.source!r}", _remedy(column))
    choices = [column for column in table.columns if column.name in table.one_of]
    if choices and not any(column.source in names for column in choices):
        needed = " or ".join(repr(column.source) for column in choices)
        raise _missing(file, names, f"column {needed}", " or ".join(_remedy(column) for column in choices))
    return names


def _remedy(column: Column) -> str:
    return column.key if column.key == "data.base_features" else f'{column.key} = "..."'


def _missing(file: Path, names: Sequence[str], what: str, remedy: str) -> DataError:
    return DataError(
        f"{file} has no {what}; it has {', '.join(printable(name) for name in names)}. Name the right one in "
        f"recgpt.toml: {remedy}"
    )


def _parquet(table: Table, file: Path, names: Sequence[str]) -> Iterator[Part]:
    wanted = [name for name in dict.fromkeys(table.sources) if name in names]
    # Buffered and not pre-buffered: a file with one huge row group is then read a page at a time.
    with pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20) as source:
        first = 1
        for batch in source.iter_batches(rows.CHUNK_ROWS, columns=wanted):
            numbers = np.arange(first, first + batch.num_rows, dtype=np.int64)
            first += batch.num_rows
            yield numbers, None, dict(zip(batch.schema.names, batch.columns, strict=True))


def _text(table: Table, file: Path) -> Iterator[Part]:
    wanted = list(dict.fromkeys(table.sources))
    for chunk in rows.chunks(file, wanted):
        empty = (None,) * len(wanted)
        cells = zip(*(row or empty for row in chunk.rows), strict=True)
        columns, bad = {}, np.zeros(len(chunk.rows), dtype=np.bool_)
        for name, column in zip(wanted, cells, strict=True):
            columns[name], wrong = values.strings(list(column))
            bad |= wrong
        faults = [fault or (_NOT_UTF8 if wrong else None) for fault, wrong in zip(chunk.faults, bad, strict=True)]
        yield np.array(chunk.lines, dtype=np.int64), pa.array(faults, pa.string()), columns


_NOT_UTF8 = "not UTF-8"


def _batch(
    table: Table, file: Path, seq: pa.Array, faults: pa.Array | None, found: dict[str, pa.Array]
) -> pa.RecordBatch:
    """Cells of a lake to the types of `table.schema`; what could not be read is said in the faults and the notes."""
    notes = np.zeros(len(seq), dtype=np.int8)
    bad = np.zeros(len(seq), dtype=np.bool_)
    columns = []
    for column in table.columns:
        cells = found.get(column.source)
        if cells is None:
            columns.append(pa.nulls(len(seq), ARROW[column.kind]))
            continue
        try:
            if column.kind == "time":
                cells, unread = values.moments(cells)
                notes |= unread * np.int8(Note.UNREAD_TIME)
            elif column.kind == "number":
                cells, unread = values.numbers(cells)
                notes |= unread * np.int8(Note.UNREAD_NUMBER)
            else:
                cells, wrong = values.texts(cells)
                bad |= wrong
                cells, cut = values.trimmed(cells, None if column.kind == "id" else values.TEXT_LIMIT)
                notes |= cut * np.int8(Note.CUT)
        except (TypeError, pa.ArrowException) as error:
            raise DataError(
                f"{file}: column {column.source!r}: {error}. Name another in recgpt.toml: {_remedy(column)}"
            ) from error
        columns.append(cells)
    if bad.any():
        own = faults if faults is not None else pa.nulls(len(seq), pa.string())
        faults = pa.array(
            [fault or (_NOT_UTF8 if wrong else None) for fault, wrong in zip(own.to_pylist(), bad, strict=True)],
            pa.string(),
        )
    if faults is None:
        faults = pa.nulls(len(seq), pa.string())
    return pa.RecordBatch.from_arrays([*columns, seq, faults, pa.array(notes)], schema=table.schema)
