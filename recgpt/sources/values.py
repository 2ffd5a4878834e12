"""Cells of any lake, turned into the few Arrow types that the rest of recgpt sees.

Text is UTF-8 and at most `TEXT_LIMIT` characters, an empty cell is null, a list is joined into a path, a number is a
float64 and a moment is an int64 of microseconds since 1970 UTC. Nothing raises for a cell: what can't be read becomes
null and is said in a mask beside the values. Only a column whose whole type makes no sense (a struct as a price) raises
`TypeError`. Control characters and markup are left alone: they are data until they are rendered.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recgpt.words import CATEGORY_SEPARATOR

TEXT_LIMIT: Final = 2_000  # characters; no title, category, query or feature says more than this
ID_LIMIT: Final = 255  # characters; what the store's tables hold

Mask = npt.NDArray[np.bool_]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_FARTHEST_S = 2**62 // 1_000_000  # seconds whose microseconds still fit an int64


def texts(column: pa.Array) -> tuple[pa.Array, Mask]:
    """Any column as strings (N,), and where a cell was not UTF-8 (N,), those being null."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return strings([_joined(cell) for cell in column])
    if pa.types.is_floating(kind):  # an id that pandas made a float because some were missing: 123.0 is "123"
        column = column.cast(pa.float64())
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
        whole = pc.and_(pc.equal(column, pc.floor(column)), pc.less(pc.abs(column), 2.0**53))
        if pc.all(whole).as_py() is not False:
            column = column.cast(pa.int64())
    elif _is_text(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return _checked(column)
    elif pa.types.is_nested(kind):
        raise TypeError(f"its type {kind} is not text")
    return column.cast(pa.string()), np.zeros(len(column), dtype=np.bool_)


def strings(values: list[str | None]) -> tuple[pa.Array, Mask]:
    """Python strings as Arrow; one with a lone surrogate (a byte that was not UTF-8) becomes null and is marked."""
    bad = np.zeros(len(values), dtype=np.bool_)
    try:
        return pa.array(values, pa.string()), bad
    except UnicodeEncodeError:
        bad[:] = [value is not None and not _encodes(value) for value in values]
        kept = [None if wrong else value for value, wrong in zip(values, bad, strict=True)]
        return pa.array(kept, pa.string()), bad


def text_of(value: Any) -> str | None:
    """One JSON value as text: a list is a path, 12.0 is "12", null is nothing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | tuple):
        # One level only: a path is flat, and a hostile row may be nested a thousand deep.
        return CATEGORY_SEPARATOR.join(str(part) for part in value if part is not None and part != "")
    return str(value)


def trimmed(column: pa.Array, limit: int | None = TEXT_LIMIT) -> tuple[pa.Array, Mask]:
    """Blank cells to null, and those longer than `limit` cut; says where it cut. An id is never cut."""
    blank = pc.fill_null(pc.or_(pc.equal(column, ""), pc.utf8_is_space(column)), fill_value=True)
    column = pc.if_else(blank, pa.scalar(None, pa.string()), column)
    if limit is None:
        return column, np.zeros(len(column), dtype=np.bool_)
    long = pc.fill_null(pc.greater(pc.utf8_length(column), limit), fill_value=False)
    if pc.any(long).as_py():
        column = pc.utf8_slice_codeunits(column, 0, limit)
    return column, long.to_numpy(zero_copy_only=False)


def numbers(column: pa.Array) -> tuple[pa.Array, Mask]:
    """Any column as float64 (N,), and where something was there that is no finite number, those being null."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = column.cast(pa.float64(), safe=False)
    elif pa.types.is_null(kind):
        return column.cast(pa.float64()), np.zeros(len(column), dtype=np.bool_)
    else:
        text, _ = trimmed(texts(column)[0])
        values = pa.array([_number(cell) for cell in text.to_pylist()], pa.float64())
        column = text
    finite = pc.fill_null(pc.is_finite(values), fill_value=False)
    # A NaN in a float column is how pandas writes a missing value; anywhere else it is a cell that is no number.
    missing = pc.is_null(column, nan_is_null=pa.types.is_floating(kind))
    bad = pc.and_not(pc.invert(finite), missing)
    return pc.if_else(finite, values, pa.scalar(None, pa.float64())), bad.to_numpy(zero_copy_only=False)


def moments(column: pa.Array) -> tuple[pa.Array, Mask]:
    """Any column as microseconds since 1970 UTC, int64 (N,), and where something was there that is no moment.

    Arrow timestamps of any unit and zone and dates (naive: UTC), ISO 8601 text (no offset: UTC), and numbers or digit
    strings since 1970 in seconds, milliseconds, microseconds or nanoseconds, told apart by their size.
    """
    kind = column.type
    if pa.types.is_date(kind):
        column, kind = column.cast(pa.timestamp("s")), pa.timestamp("s")
    if pa.types.is_timestamp(kind):
        return _counted(column.cast(pa.int64()), kind.unit)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = column.cast(pa.float64(), safe=False)  # 2**53 and beyond lose digits, not the second
        missing = pc.is_null(values, nan_is_null=True).to_numpy(zero_copy_only=False)
        counted = _scaled(pc.fill_null(values, 0.0).to_numpy())
        far = ~(np.abs(counted) < 2.0**62) & ~missing
        whole = np.where(far | missing, 0.0, counted).astype(np.int64)
        return pa.array(whole, mask=far | missing), far
    text, _ = trimmed(texts(column)[0])
    read = pa.array([None if cell is None else _moment(cell) for cell in text.to_pylist()], pa.int64())
    return read, pc.and_not(pc.is_null(read), pc.is_null(text)).to_numpy(zero_copy_only=False)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _checked(column: pa.Array) -> tuple[pa.Array, Mask]:
    """Parquet promises UTF-8 in a string column and nobody holds it to that, so every cell is checked."""
    try:
        column = column.cast(pa.string())
        column.validate(full=True)
    except pa.ArrowInvalid:
        return strings([_decoded(cell) for cell in column.cast(pa.large_binary()).to_pylist()])
    return column, np.zeros(len(column), dtype=np.bool_)


def _joined(cell: pa.Scalar) -> str | None:
    try:
        return text_of(cell.as_py())
    except UnicodeDecodeError:
        return "\udcff"  # a lone surrogate: not UTF-8


def _decoded(cell: bytes | None) -> str | None:
    return None if cell is None else cell.decode("utf-8", errors="surrogateescape")


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(cell: str | None) -> float | None:
    return float(cell) if cell is not None and _NUMBER.fullmatch(cell.strip()) else None


def _counted(ticks: pa.Array, unit: str) -> tuple[pa.Array, Mask]:
    """Ticks of an Arrow timestamp as microseconds; those too far away to count are marked, not wrapped around."""
    if unit == "ns":
        floored = np.floor_divide(pc.fill_null(ticks, 0).to_numpy(), 1_000)
        return pa.array(floored, mask=ticks.is_null().to_numpy(zero_copy_only=False)), np.zeros(len(ticks), np.bool_)
    per_tick = _MICROSECONDS[unit]
    limit = _FARTHEST_S * (1_000_000 // per_tick)
    far = pc.fill_null(pc.or_(pc.greater(ticks, limit), pc.less(ticks, -limit)), fill_value=False)
    near = pc.if_else(far, pa.scalar(None, pa.int64()), ticks)
    return pc.multiply(near, per_tick), far.to_numpy(zero_copy_only=False)


def _scaled(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Epoch numbers to microseconds. 1e11 seconds is the year 5138, 1e11 milliseconds is 1973: no doubt between."""
    size = np.abs(values)
    factor = np.select([size < 1e11, size < 1e14, size < 1e17], [1e6, 1e3, 1.0], 1e-3)
    scaled: npt.NDArray[np.float64] = values * factor
    return scaled


@lru_cache(maxsize=65_536)  # day-granular logs repeat their moments
def _moment(cell: str) -> int | None:
    cell = cell.strip()
    if _NUMBER.fullmatch(cell):
        counted = float(_scaled(np.array([float(cell)]))[0])
        return int(counted) if abs(counted) < 2.0**62 else None
    try:
        moment = datetime.fromisoformat(cell.removesuffix(" UTC"))
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = datetime.resolution
