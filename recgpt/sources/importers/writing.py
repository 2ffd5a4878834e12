"""What an importer writes: `users.parquet`, `items.parquet`, `events.parquet` and `rejects.jsonl`.

Rows go out in row groups, so memory does not grow with the data set. Files are made in a folder beside the target and
moved there together at the end: an import that fails or is killed leaves the target as it was. A broken line is never
fatal: it is counted by reason and written to the rejects with its place.
"""

import gzip
import json
import os
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from recgpt.errors import DataError
from recgpt.words import BEHAVIOUR, BRAND, CATEGORY, DESCRIPTION, ITEM_ID, PRICE, TEXT, TIMESTAMP, TITLE, USER_ID, VALUE

ITEMS = pa.schema(
    [
        (ITEM_ID, pa.string()),
        (TITLE, pa.string()),
        (CATEGORY, pa.string()),
        (BRAND, pa.string()),
        (PRICE, pa.float64()),
        (DESCRIPTION, pa.string()),
    ]
)
EVENTS = pa.schema(
    [
        (USER_ID, pa.string()),
        (ITEM_ID, pa.string()),
        (TIMESTAMP, pa.timestamp("ms", tz="UTC")),
        (BEHAVIOUR, pa.string()),
        (VALUE, pa.float32()),
        (TEXT, pa.string()),
    ]
)
RATING = "rating"
FILES = ("users.parquet", "items.parquet", "events.parquet", "rejects.jsonl")

_GROUP = 50_000  # rows
_SHOWN = 500  # characters of a broken line that the rejects keep
_HOPELESS = 1_000  # a file whose first so many lines are all broken is not the file it was taken for


@dataclass(frozen=True)
class Counts:
    """Rows written, and lines that were not, by reason."""

    users: int
    items: int
    events: int
    rejected: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Sheet:
    """One Parquet file, written row by row."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.rows = path, 0
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._waiting: list[tuple[Any, ...]] = []

    def add(self, *row: Any) -> None:
        """One row, in the schema's order; its texts must be encodable (see `plain`)."""
        self._waiting.append(row)
        self.rows += 1
        if len(self._waiting) >= _GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            columns = zip(*self._waiting, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
            self._waiting.clear()


class Import:
    """The three sheets and the rejects of one import; a context, at whose good end the files stand in the target."""

    def __init__(self, target: Path, users: pa.Schema) -> None:
        target.mkdir(parents=True, exist_ok=True)
        self._target = target
        self._folder = Path(tempfile.mkdtemp(prefix=".import-", dir=target))
        self.users = Sheet(self._folder / "users.parquet", users)
        self.items = Sheet(self._folder / "items.parquet", ITEMS)
        self.events = Sheet(self._folder / "events.parquet", EVENTS)
        self._rejects = (self._folder / "rejects.jsonl").open("w", encoding="utf-8")
        self._rejected: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            for sheet in (self.users, self.items, self.events):
                sheet.close()
            self._rejects.close()
            if kind is None:
                for name in FILES:
                    os.replace(self._folder / name, self._target / name)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def reject(self, file: Path, line: int, reason: str, raw: bytes) -> None:
        self._rejected[reason] += 1
        shown = raw[: 4 * _SHOWN].decode("utf-8", "replace").strip()[:_SHOWN]
        row = {"file": file.name, "line": line, "reason": reason, "raw": shown}
        self._rejects.write(json.dumps(row, ensure_ascii=False) + "\n")

    @property
    def counts(self) -> Counts:
        return Counts(self.users.rows, self.items.rows, self.events.rows, dict(self._rejected))


class Reading:
    """The lines of one text file, gzipped or not, and how many of them could be used.

    Raises:
        DataError: there is no such file, it is damaged, or it is not what it was taken for.
    """

    def __init__(self, file: Path, wanted: str) -> None:
        if not file.is_file():
            raise DataError(f"no file {file}; wanted: {wanted}")
        self.file, self._wanted = file, wanted
        self._read = self._used = 0

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        with self.file.open("rb") as head:
            zipped = head.read(2) == b"\x1f\x8b"
        try:
            with gzip.open(self.file) if zipped else self.file.open("rb") as lines:
                for line in lines:
                    self._read += 1
                    if line.strip():
                        yield self._read, line
                    if self._read == _HOPELESS:
                        self._check()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{self.file} is damaged after line {self._read} ({error}): download it again") from None
        except OSError as error:
            raise DataError(f"{self.file} can't be read: {error}") from None
        self._check()

    def used(self) -> None:
        self._used += 1

    def _check(self) -> None:
        if self._read and not self._used:
            raise DataError(f"none of the {self._read} lines read of {self.file} is right; wanted: {self._wanted}")


def plain(text: str) -> str | None:
    """Text fit for UTF-8: half characters replaced, ends stripped; None if nothing is left."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.strip() or None
