"""Amazon Reviews of 2014, 2018 and 2023 (McAuley Lab), raw review and metadata files, into the three tables.

Lines are JSON, or Python literals as in the metadata of 2014, which are parsed and never evaluated. A review is an
event of behaviour `rating`: its value is the stars, its text the review. In 2023 an item is a `parent_asin`, as in its
metadata; before that an `asin`. An item that is reviewed but has no metadata gets a row without a title, so that its
events count. Users are known by id alone; reviewers' names are left behind.

Memory grows with the number of items (their ids), not with users or reviews.

Sources: jmcauley.ucsd.edu/data/amazon (2014), nijianmo.github.io/amazon (2018), amazon-reviews-2023.github.io.
"""

import ast
import html
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from recgpt.errors import DataError
from recgpt.sources.importers.writing import RATING, Counts, Import, Reading, plain
from recgpt.words import CATEGORY_SEPARATOR, ITEM_ID, USER_ID

_USERS = pa.schema([(USER_ID, pa.string())])
_REVIEW_FILES = (
    "a review file as downloaded: reviews_Beauty_5.json.gz (2014), All_Beauty.json.gz (2018) or All_Beauty.jsonl.gz "
    "(2023), in each line a user, an item, stars and a time (reviewerID, asin, overall, unixReviewTime; or user_id, "
    "parent_asin, rating, timestamp)"
)
_METADATA_FILES = (
    "a metadata file as downloaded: meta_Beauty.json.gz (2014), meta_All_Beauty.json.gz (2018) or "
    "meta_All_Beauty.jsonl.gz (2023), in each line an item (asin or parent_asin) and its title"
)
_TAG = re.compile(r"<[^<>]{1,500}>")
_PRICE = re.compile(r"(?:from\s*)?\$?\s*(\d[\d,]*(?:\.\d+)?)(?:\s*-\s*\$?\s*\d[\d,]*(?:\.\d+)?)?")
_LATEST = 4_102_444_800  # 2100, in seconds; later ones are no times


class _Broken(Exception):
    """Why a line can't be used."""


def convert(reviews: Sequence[Path], metadata: Sequence[Path], target: Path) -> Counts:
    """Write users, items, events and rejects into `target`; a file may hold any of the three years' forms.

    Raises:
        DataError: a file is missing or damaged, or none of its lines is what it should be. `target` is then as it was.
    """
    if not reviews:
        raise DataError(f"no review file given; wanted: {_REVIEW_FILES}")
    review_files = [Reading(file, _REVIEW_FILES) for file in reviews]
    metadata_files = [Reading(file, _METADATA_FILES) for file in metadata]
    with Import(target, _USERS) as out:
        seen: set[str] = set()
        for reading in metadata_files:
            for number, line in reading:
                try:
                    item = _item(_record(line))
                    reading.used()
                    if item[0] in seen:
                        raise _Broken("duplicate item")
                    seen.add(item[0])
                    out.items.add(*item)
                except _Broken as broken:
                    out.reject(reading.file, number, str(broken), line)
        for reading in review_files:
            for number, line in reading:
                try:
                    out.events.add(*_event(_record(line)))
                    reading.used()
                except _Broken as broken:
                    out.reject(reading.file, number, str(broken), line)
        if not out.events.rows:
            raise DataError(f"no review in {', '.join(map(str, reviews))}; wanted: {_REVIEW_FILES}")
        _from_events(out, seen)
        return out.counts


def _from_events(out: Import, seen: set[str]) -> None:
    """Users, and items without metadata, sorted: DuckDB spills to disk what does not fit."""
    out.events.close()
    spill = out.events.path.with_name("spill")
    with duckdb.connect(config={"memory_limit": "1GB", "threads": 2, "temp_directory": str(spill)}) as ducks:
        ducks.execute("SET enable_progress_bar = false")
        for column, sheet in ((ITEM_ID, out.items), (USER_ID, out.users)):
            file = pq.ParquetFile(out.events.path)
            schema = pa.schema([file.schema_arrow.field(column)])
            ducks.register("events", pa.RecordBatchReader.from_batches(schema, file.iter_batches(columns=[column])))
            found = ducks.execute(f"SELECT DISTINCT {column} FROM events ORDER BY 1")  # noqa: S608 (a name of ours)
            while rows := found.fetchmany(10_000):
                for (name,) in rows:
                    if sheet is out.users:
                        sheet.add(name)
                    elif name not in seen:
                        sheet.add(name, None, None, None, None, None)


def _record(line: bytes) -> dict[str, Any]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise _Broken("not UTF-8") from None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        if not text.startswith("{"):
            raise _Broken("neither JSON nor a Python literal") from None
        try:
            record = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise _Broken("neither JSON nor a Python literal") from None
    if not isinstance(record, dict):
        raise _Broken("not a record")
    return record


def _event(record: dict[str, Any]) -> tuple[str, str, int, str, float, str | None]:
    """In the order of `writing.EVENTS`; time in milliseconds."""
    user = _id(record, "reviewerID", "user_id", missing="no user")
    item = _id(record, "parent_asin", "asin", missing="no item")
    stars = _number(record.get("overall", record.get("rating")))
    if stars is None or not 0 <= stars <= 5:
        raise _Broken("no rating of 0 to 5")
    seconds = _number(record.get("unixReviewTime"))
    if seconds is None:
        milliseconds = _number(record.get("timestamp"))
        seconds = None if milliseconds is None else milliseconds / 1000
    if seconds is None or not 0 < seconds < _LATEST:
        raise _Broken("no time")
    return user, item, round(seconds * 1000), RATING, stars, _text(record.get("reviewText", record.get("text")))


def _item(record: dict[str, Any]) -> tuple[str, str | None, str | None, str | None, float | None, str | None]:
    """In the order of `writing.ITEMS`."""
    if any(key in record for key in ("reviewerID", "user_id")):
        raise _Broken("a review among the metadata")
    item = _id(record, "parent_asin", "asin", missing="no item")
    title = _text(record.get("title"))
    if title and ("getTime" in title or "function(" in title):  # 2018: the page's script where the title should be
        title = None
    details = record.get("details")
    brand = record.get("brand") or record.get("store") or (details.get("Brand") if isinstance(details, dict) else None)
    return item, title, _category(record), _text(brand), _price(record.get("price")), _text(record.get("description"))


def _category(record: dict[str, Any]) -> str | None:
    """2014: the longest of several paths; 2018 and 2023: the one; else the department."""
    found = record.get("categories") or record.get("category") or []
    paths = [path for path in found if isinstance(path, list)] if isinstance(found, list) else []
    path = max(paths, key=len) if paths else found if isinstance(found, list) else [found]
    parts = [_text(part) for part in path if isinstance(part, str) and "</" not in part]
    named = [part.replace(">", "/") for part in parts if part]
    if not named and isinstance(main := record.get("main_category"), str):
        named = [part for part in [_text(main)] if part]
    return CATEGORY_SEPARATOR.join(named) or None


def _price(price: object) -> float | None:
    """Of a range the lower end; of anything else but a price, none."""
    if isinstance(price, str):
        found = _PRICE.fullmatch(price.strip())
        price = found[1].replace(",", "") if found else None
    return _number(price)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _id(record: dict[str, Any], *names: str, missing: str) -> str:
    for name in names:
        value = record.get(name)
        if isinstance(value, str) and (text := plain(value)):
            return text
    raise _Broken(missing)


def _text(value: object) -> str | None:
    """HTML taken off and whitespace folded; a list's texts joined; None where there is nothing."""
    if isinstance(value, list):
        value = " ".join(part for part in value if isinstance(part, str))
    if not isinstance(value, str):
        return None
    if "&" in value:
        value = html.unescape(value)
    if "<" in value:
        value = _TAG.sub(" ", value)
    return plain(" ".join(value.split()))
