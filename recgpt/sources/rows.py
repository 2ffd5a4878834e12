"""CSV and JSON Lines, read row by row so that one bad row costs one row.

A cell that is not UTF-8 comes through as a lone surrogate and is found later, by the column it is in; a row that can't
be taken apart at all comes through empty, with its fault. Nothing is held but the rows of one chunk. A file that can't
be opened, decompressed or has no header raises what Python raises: the caller knows the file and says the remedy.
"""

import csv
import gzip
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from recgpt.sources.values import text_of

CHUNK_ROWS: Final = 16_384
DELIMITERS: Final = ",;\t|"
PEEKED_ROWS: Final = 100  # of a JSON Lines file, to see which keys it has


@dataclass
class Chunk:
    """Rows of one file: their line numbers (from 1), their faults, and the wanted columns that the file has."""

    lines: list[int] = field(default_factory=list)
    faults: list[str | None] = field(default_factory=list)
    rows: list[Sequence[str | None]] = field(default_factory=list)  # one cell a wanted column; () for a broken row

    def add(self, line: int, row: Sequence[str | None] = (), fault: str | None = None) -> None:
        self.lines.append(line)
        self.faults.append(fault)
        self.rows.append(row)


def header(file: Path, wanted: Sequence[str]) -> list[str]:
    """Column names of a file: a CSV's header, or all keys of the first rows of JSON Lines."""
    with _open(file) as lines:
        if not is_keyed(file):
            return _csv_header(lines, wanted)[0]
        objects = (_parsed(line)[0] for line in itertools.islice(lines, PEEKED_ROWS))
        return list(dict.fromkeys(key for found in objects for key in found))


def chunks(file: Path, wanted: Sequence[str]) -> Iterator[Chunk]:
    """The wanted columns of a file, `CHUNK_ROWS` rows at a time; a column that the file lacks is null throughout."""
    with _open(file) as lines:
        rows = _json_rows(lines, wanted) if is_keyed(file) else _csv_rows(lines, wanted)
        chunk = Chunk()
        for line, row, fault in rows:
            chunk.add(line, row, fault)
            if len(chunk.lines) == CHUNK_ROWS:
                yield chunk
                chunk = Chunk()
        if chunk.lines:
            yield chunk


Row = tuple[int, Sequence[str | None], str | None]


def is_keyed(file: Path) -> bool:
    """JSON Lines: every row names its own columns, so a column may be absent from any of them."""
    return file.name.removesuffix(".gz").endswith(".jsonl")


def _open(file: Path) -> TextIO:
    raw = gzip.GzipFile(file, "rb") if file.name.endswith(".gz") else file.open("rb")
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _csv_header(lines: TextIO, wanted: Sequence[str]) -> tuple[list[str], str]:
    """The header and the delimiter: the one under which the most wanted columns are found, else a comma."""
    first = lines.readline()
    if not first.strip():
        raise EOFError("it is empty: a CSV file starts with a line of column names")
    splits = [
        ([name.strip() for name in next(csv.reader([first], delimiter=delimiter))], delimiter)
        for delimiter in DELIMITERS
    ]
    return max(splits, key=lambda split: len(set(split[0]) & set(wanted)))  # the first of the best


def _csv_rows(lines: TextIO, wanted: Sequence[str]) -> Iterator[Row]:
    names, delimiter = _csv_header(lines, wanted)
    places = [names.index(name) if name in names else -1 for name in wanted]
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        before = reader.line_num
        fault = None
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            row, fault = [], "broken CSV"
        if not row and fault is None:
            continue  # a blank line
        if fault is None and len(row) != len(names):
            fault = "wrong number of fields"
        if fault is None:
            yield before + 2, [row[place] if place >= 0 else None for place in places], None
        else:
            # A quote that is never closed swallows the lines after it: each of them is a lost row and counts as one.
            for line in range(before + 1, reader.line_num + 1):
                yield line + 1, (), fault


def _json_rows(lines: TextIO, wanted: Sequence[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if line.isspace():
            continue
        found, fault = _parsed(line)
        try:
            row = [text_of(found.get(name)) for name in wanted] if fault is None else ()
        except RecursionError:  # nested as deep as the parser goes, which is deeper than the printer does
            row, fault = (), "not JSON"
        yield number, row, fault


def _parsed(line: str) -> tuple[dict[str, Any], str | None]:
    """The object on a line of JSON, or what is wrong with it."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}, "not JSON"
    return (found, None) if isinstance(found, dict) else ({}, "not a JSON object")
