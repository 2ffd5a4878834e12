import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recgpt.errors import DataError

USERS = [{"user_id": "ann", "age": "34"}, {"user_id": "bob", "age": None}]
ITEMS = [
    {"item_id": "cup", "title": 'A "cup", blue', "category": "Home > Tea", "brand": "Acme", "price": "4.5"},
    {"item_id": "pan", "title": "A pan\nof iron", "category": None, "brand": None, "price": None},
]
EVENTS = [
    {"user_id": "ann", "timestamp": "2026-01-02 10:00:00", "behaviour": "view", "item_id": "cup", "query": None},
    {"user_id": "bob", "timestamp": "2026-01-03 10:00:00", "behaviour": "search", "item_id": None, "query": "a pan"},
    {"user_id": "ann", "timestamp": "2026-01-01 10:00:00", "behaviour": "view", "item_id": "pan", "query": None},
]
ANN = [("2026-01-01T10:00:00", "view", "pan", None), ("2026-01-02T10:00:00", "view", "cup", None)]
BOB = [("2026-01-03T10:00:00", "search", None, "a pan")]


def _is_read(lake: Any) -> None:
    logs = lake.prepare()
    assert lake.events_of("ann") == ANN
    assert lake.events_of("bob") == BOB
    assert logs.history("ann", lake.later).features == {"age": "34"}
    assert logs.history("bob", lake.later).features == {}
    catalogue = logs.catalogue
    assert list(catalogue.ids) == ["cup", "pan"]
    assert list(catalogue.titles) == ['A "cup", blue', "A pan\nof iron"]
    assert list(catalogue.categories) == ["Home > Tea", ""]
    assert list(catalogue.brands) == ["Acme", ""]
    assert str(catalogue.prices.tolist()) == "[4.5, nan]"


@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz", "jsonl", "jsonl.gz"])
def test_every_format_says_the_same(lake: Any, suffix: str) -> None:
    for name, rows in (("users", USERS), ("items", ITEMS), ("events", EVENTS)):
        lake.write(f"{name}.{suffix}", rows)
    places = {name: f"data/{name}.{suffix}" for name in ("users", "items", "events")}
    lake.configure('base_features = ["age"]', **places)
    _is_read(lake)


def test_a_folder_and_a_glob_of_mixed_formats(lake: Any) -> None:
    lake.write("lake/items/items.parquet", ITEMS)
    lake.write("lake/users/a.csv", USERS[:1])
    lake.write("lake/users/b.jsonl.gz", USERS[1:])
    lake.write("lake/days/day=01/events.csv", EVENTS[:2])
    lake.write("lake/days/day=02/events.parquet", EVENTS[2:])
    lake.write("lake/days/_SUCCESS", "")
    lake.write("lake/days/.hidden.csv", "nothing,to,see")
    lake.write("lake/days/readme.txt", "not a table")
    where = {"users": "data/lake/users/*", "items": "data/lake/items"}
    for events in ("data/lake/days", "data/lake/days/day=*", "data/lake/**/events.*"):
        lake.configure('base_features = ["age"]', events=events, **where)
        _is_read(lake)
    lake.configure('base_features = ["age"]', events="data/lake/days", **where)
    counts = lake.prepare().counts["events"]
    assert counts["files"] == 2
    assert counts["notes"] == {"files of another format, not read": 1}


def test_an_absolute_path(lake: Any) -> None:
    lake.configure(events=str(lake.folder / "data" / "events.jsonl"))
    assert len(lake.events_of("ann")) == 1


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_csv_dialects(lake: Any, delimiter: str, start: bytes, end: str) -> None:
    lines = ["user_id,timestamp,behaviour,item_id", "ann,2026-01-02,view,cup", "", "ann,2026-01-03,view,pan", ""]
    lake.write("events.csv", start + end.join(lines).replace(",", delimiter).encode())
    lake.configure(events="data/events.csv")
    assert [event[2] for event in lake.events_of("ann")] == ["cup", "pan"]


def test_columns_are_mapped_and_others_not_read(lake: Any) -> None:
    rows = [{"uid": 7, "t": 1_767_322_800, "kind": "view", "asin": 5, "stars": 4, "note": {"a": 1}, "text": "secret"}]
    lake.write("events.parquet", rows)
    lake.write("users.parquet", [{"uid": 7.0, "name": "Ann Example", "age": 34}])
    lake.write("items.parquet", [{"asin": 5, "name": "A cup", "path": ["Home", "Tea"], "cost": 4}])
    mapping = """
    base_features = ["age"]
    [data.columns.users]
    user_id = "uid"
    [data.columns.items]
    item_id = "asin"
    title = "name"
    category = "path"
    price = "cost"
    [data.columns.events]
    user_id = "uid"
    timestamp = "t"
    behaviour = "kind"
    item_id = "asin"
    value = "stars"
    """
    lake.configure(mapping, **{name: f"data/{name}.parquet" for name in ("users", "items", "events")})
    logs = lake.prepare()
    assert lake.events_of("7") == [("2026-01-02T03:00:00", "view", "5", None)]
    history = logs.history("7", lake.later)
    assert history.features == {"age": "34"}
    assert history.values.tolist() == [4.0]
    assert logs.catalogue.categories == ["Home > Tea"]
    assert logs.catalogue.row_of("5") == 0
    written = b"".join(file.read_bytes() for file in (lake.folder / "work").rglob("*") if file.is_file())
    assert b"Ann Example" not in written
    assert b"secret" not in written


def test_a_column_that_is_not_mapped_may_even_be_broken(lake: Any) -> None:
    file = lake.write("events.parquet", [lake.event(text=f"a long review, number {n}") for n in range(2_000)])
    group = pq.read_metadata(file).row_group(0)
    (column,) = (group.column(n) for n in range(group.num_columns) if group.column(n).path_in_schema == "text")
    start = column.dictionary_page_offset
    whole = bytearray(file.read_bytes())
    whole[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    file.write_bytes(whole)
    lake.configure(events="data/events.parquet")
    assert len(lake.events_of("ann")) == 2_000


def test_one_column_may_be_mapped_twice(lake: Any) -> None:
    lake.configure('base_features = ["user_id"]')
    assert lake.prepare().history("ann", lake.later).features == {"user_id": "ann"}


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize(
    ("table", "row", "said"),
    [
        ("users", {"uid": "ann"}, 'no column .user_id.; it has uid. .* data.columns.users.user_id = "..."'),
        ("items", {"item_id": "cup", "name": "x"}, "no column .title.; it has item_id, name. .*columns.items.title = "),
        (
            "events",
            {"user_id": "ann", "timestamp": "2026-01-01", "event_type": "view", "item_id": "cup"},
            'no column .behaviour.; .* data.columns.events.behaviour = "..."',
        ),
        (
            "events",
            {"user_id": "ann", "timestamp": "2026-01-01", "behaviour": "view", "asin": "cup"},
            "no column 'item_id' or 'query'.*columns.events.item_id = .* or data.columns.events.query",
        ),
    ],
)
def test_a_missing_column_is_named_with_its_key(lake: Any, suffix: str, table: str, row: Any, said: str) -> None:
    file = lake.write(f"{table}.{suffix}", [row])
    lake.configure(**{table: f"data/{table}.{suffix}"})
    with pytest.raises(DataError, match=said) as error:
        lake.prepare()
    assert str(file) in str(error.value)


def test_a_missing_base_feature_is_named(lake: Any) -> None:
    lake.write("users.csv", USERS)
    lake.configure('base_features = ["ages"]', users="data/users.csv")
    with pytest.raises(DataError, match=r"no column 'ages'; it has user_id, age.*data\.base_features"):
        lake.prepare()


def test_an_optional_column_that_is_mapped_must_be_there_but_by_its_default_name_need_not(lake: Any) -> None:
    lake.write("items.csv", "item_id,title\ncup,A cup\n")
    lake.configure(items="data/items.csv")
    assert lake.prepare().catalogue.brands == [""]
    lake.configure('[data.columns.items]\nbrand = "maker"', items="data/items.csv")
    with pytest.raises(DataError, match=r"no column 'maker'.*data\.columns\.items\.brand"):
        lake.prepare()


def test_json_lines_may_leave_out_a_mapped_key(lake: Any) -> None:
    rows = [{"item_id": f"x{n}", "title": "x"} for n in range(150)] + [{"item_id": "cup", "title": "A", "maker": "B"}]
    lake.write("items.jsonl", rows)
    lake.configure('[data.columns.items]\nbrand = "maker"')
    catalogue = lake.prepare().catalogue
    row = catalogue.row_of("cup")
    assert row is not None
    assert catalogue.brands[row] == "B"


def test_a_column_of_an_impossible_type(lake: Any) -> None:
    lake.write("items.parquet", [{"item_id": "cup", "title": {"en": "A cup"}}])
    lake.configure(items="data/items.parquet")
    with pytest.raises(DataError, match=r"column 'title'.*struct.*data\.columns\.items\.title"):
        lake.prepare()


@pytest.mark.parametrize("place", ["data/nothing.csv", "data/empty", "data/*.parquet"])
def test_nothing_to_read_is_said(lake: Any, place: str) -> None:
    (lake.folder / "data" / "empty").mkdir()
    lake.configure(events=place)
    with pytest.raises(DataError, match=r"events: nothing to read at .*Set data\.events in recgpt\.toml"):
        lake.prepare()


def test_a_file_of_another_format_is_said(lake: Any) -> None:
    lake.write("events.xlsx", b"PK")
    lake.configure(events="data/events.xlsx")
    with pytest.raises(DataError, match=r"\.parquet, \.csv.*1 files of other formats"):
        lake.prepare()


def test_an_empty_csv_is_no_table_and_an_empty_json_lines_file_is_a_quiet_day(lake: Any) -> None:
    lake.write("days/1.jsonl", "")
    lake.write("days/2.jsonl", [lake.event()])
    lake.configure(events="data/days")
    assert len(lake.events_of("ann")) == 1
    lake.write("days/3.csv", "")
    with pytest.raises(DataError, match=r"3\.csv can't be read: it is empty"):
        lake.prepare()


@pytest.mark.parametrize("table", ["users", "items", "events"])
def test_a_table_without_rows_is_said(lake: Any, table: str) -> None:
    lake.write(f"{table}.jsonl", "")
    with pytest.raises(DataError, match=rf"{table}: no rows in .*data\.{table}"):
        lake.prepare()


def test_one_huge_row_group_comes_in_order(lake: Any) -> None:
    rows = [lake.event(item_id=("cup", "pan", "pot")[n % 7 % 3]) for n in range(40_000)]
    pq.write_table(pa.Table.from_pylist(rows), lake.folder / "data" / "events.parquet", row_group_size=len(rows))
    lake.configure(events="data/events.parquet")
    assert [event[2] for event in lake.events_of("ann")] == [row["item_id"] for row in rows]


def test_a_header_that_is_not_utf8_can_be_printed(lake: Any) -> None:
    lake.write("events.csv", "user_id,größe\nann,1\n".encode("latin-1"))
    lake.configure(events="data/events.csv")
    with pytest.raises(DataError) as error:
        lake.prepare()
    assert re.search(r"gr\\udcf6\\udcdfe", str(error.value)), str(error.value)
    str(error.value).encode()
