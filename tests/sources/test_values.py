from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from recgpt.sources import values

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECONDS = int(MOMENT.timestamp())


@pytest.mark.parametrize(
    "column",
    [
        pa.array([MOMENT], pa.timestamp("s", tz="UTC")),
        pa.array([MOMENT], pa.timestamp("ms", tz="Asia/Shanghai")),
        pa.array([MOMENT.replace(tzinfo=None)], pa.timestamp("us")),
        pa.array([SECONDS * 10**9 + 999], pa.int64()).cast(pa.timestamp("ns")),
        pa.array([SECONDS]),
        pa.array([SECONDS * 1_000]),
        pa.array([SECONDS * 1_000_000]),
        pa.array([SECONDS * 1_000_000_000]),
        pa.array([float(SECONDS)]),
        pa.array([Decimal(SECONDS)]),
        pa.array([str(SECONDS)]),
        pa.array([f"{SECONDS}000"]),
        pa.array([f"{SECONDS}.0"]),
        pa.array(["2026-01-02T03:04:05Z"]),
        pa.array(["2026-01-02 03:04:05"]),
        pa.array(["2026-01-02 03:04:05 UTC"]),
        pa.array(["2026-01-02T05:04:05.000+02:00"]),
        pa.array(["2026-01-02 03:04:05"]).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_one_moment_in_many_spellings(column: pa.Array) -> None:
    read, unread = values.moments(column)
    assert read.to_pylist() == [SECONDS * 1_000_000]
    assert read.type == pa.int64()
    assert not unread.any()


def test_a_day_is_its_first_moment() -> None:
    assert values.moments(pa.array([date(1970, 1, 2)]))[0].to_pylist() == [86_400_000_000]
    assert values.moments(pa.array(["1970-01-02"]))[0].to_pylist() == [86_400_000_000]


def test_what_is_no_moment_is_said_and_what_is_missing_is_not() -> None:
    read, unread = values.moments(pa.array(["soon", "2026-13-01", "9" * 400, "1e300", "", " ", None, "0"]))
    assert read.to_pylist() == [None] * 7 + [0]
    assert unread.tolist() == [True, True, True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([2**62, None, -(2**62)], pa.timestamp("s")), [True, False, True]),
        (pa.array([float("inf"), float("nan"), None]), [True, False, False]),
    ],
)
def test_a_moment_too_far_to_count_does_not_wrap_around(column: pa.Array, expected: list[bool]) -> None:
    read, unread = values.moments(column)
    assert read.to_pylist() == [None] * 3
    assert unread.tolist() == expected


def test_numbers_and_what_is_none() -> None:
    read, unread = values.numbers(pa.array(["12.50", " 7 ", "-1e2", "$3", "12,5", "nan", "inf", "1_000", "", None]))
    assert read.to_pylist() == [12.5, 7.0, -100.0, None, None, None, None, None, None, None]
    assert unread.tolist() == [False] * 3 + [True] * 5 + [False] * 2


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, None], pa.int32()), [1.0, None]),
        (pa.array([2.5, float("nan")]), [2.5, None]),
        (pa.array([Decimal("9.99"), None]), [9.99, None]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_numbers_of_number_columns(column: pa.Array, expected: list[float | None]) -> None:
    read, unread = values.numbers(column)
    assert read.to_pylist() == expected
    assert not unread.any()


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([17, None], pa.int64()), ["17", None]),
        (pa.array([17.0, float("nan"), 1e10]), ["17", None, "10000000000"]),
        (pa.array([1.5, 2.0]), ["1.5", "2"]),
        (pa.array([True, None]), ["true", None]),
        (pa.array([["A", "B"], [], None, ["C", None, "D"]]), ["A > B", "", None, "C > D"]),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        (pa.array([b"caf\xc3\xa9", None], pa.binary()), ["café", None]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.nulls(1), [None]),
    ],
)
def test_anything_as_text(column: pa.Array, expected: list[str | None]) -> None:
    read, bad = values.texts(column)
    assert read.to_pylist() == expected
    assert read.type == pa.string()
    assert not bad.any()


def _as(kind: pa.DataType, cells: list[bytes]) -> pa.Array:
    """Bytes in a column that claims to be text, as some writers leave them."""
    raw = pa.array(cells, pa.binary())
    return pa.Array.from_buffers(kind, len(raw), raw.buffers())


@pytest.mark.parametrize(
    "column",
    [
        _as(pa.string(), [b"good", b"caf\xe9"]),
        pa.array([b"good", b"caf\xe9"], pa.binary()),
        pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), _as(pa.string(), [b"good", b"caf\xe9"])),
    ],
    ids=lambda column: str(column.type),
)
def test_a_text_column_with_bytes_that_are_no_utf8(column: pa.Array) -> None:
    read, bad = values.texts(column)
    assert read.to_pylist() == ["good", None]
    assert bad.tolist() == [False, True]


def test_a_struct_is_no_text() -> None:
    with pytest.raises(TypeError, match="struct"):
        values.texts(pa.array([{"a": 1}]))


def test_long_text_is_cut_by_characters_and_blank_is_nothing() -> None:
    long = "é" * (values.TEXT_LIMIT + 1)
    read, cut = values.trimmed(pa.array([long, "é" * values.TEXT_LIMIT, "", " \t", None, "x"]))
    assert read.to_pylist() == [long[:-1], long[:-1], None, None, None, "x"]
    assert cut.tolist() == [True, False, False, False, False, False]
    assert values.trimmed(pa.array([long]), None)[0].to_pylist() == [long]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), ("a", "a"), (True, "true"), (3, "3"), (3.0, "3"), (3.5, "3.5"), (["A", None, "B", ""], "A > B")],
)
def test_a_json_value_as_text(value: Any, expected: str | None) -> None:
    assert values.text_of(value) == expected
