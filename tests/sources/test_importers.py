import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recgpt.errors import DataError
from recgpt.sources.importers import amazon, movielens

REVIEWS_2014 = [
    {
        "reviewerID": "A1",
        "asin": "0001",
        "reviewerName": "Jane Doe",
        "helpful": [2, 3],
        "reviewText": "Good &amp; warm.<br />Buy it",
        "overall": 5.0,
        "summary": "x",
        "unixReviewTime": 1393545600,
        "reviewTime": "02 28, 2014",
    },
    {"reviewerID": "A1", "asin": "0002", "overall": 1.0, "unixReviewTime": 1393632000},
    {"reviewerID": "A0", "asin": "0009", "overall": 3.0, "unixReviewTime": 1393632000},
]
METADATA_2014 = (
    "{'asin': '0001', 'title': \"Women's &quot;Soft&quot; Hat\", 'price': 12.5, 'brand': 'Lumo', "
    "'categories': [['Clothing'], ['Clothing', 'Women', 'Hats']], 'related': {'also_bought': ['0002']}, "
    "'description': 'A hat.\\nWarm.'}\n"
    "{'asin': '0002', 'categories': [['Clothing', 'Gloves']], 'imUrl': 'x'}\n"
)
REVIEWS_2018 = [
    {
        "overall": 4.0,
        "verified": True,
        "reviewTime": "01 1, 2018",
        "reviewerID": "A2",
        "asin": "B01",
        "style": {"Size:": " 1"},
        "reviewerName": "N",
        "reviewText": "fine",
        "summary": "s",
        "unixReviewTime": 1514764800,
    },
]
METADATA_2018 = [
    {
        "category": ["Beauty", "</span></span>", "Skin &amp; Face"],
        "description": ["Mild.", "<b>For all.</b>"],
        "title": "Tom &amp; Ann Cream",
        "brand": "Tom",
        "price": "$12.99",
        "asin": "B01",
        "main_cat": "All Beauty",
    },
    {
        "category": [],
        "title": "var aPageStart = (new Date()).getTime();",
        "brand": "",
        "price": ".a-box{}",
        "asin": "B02",
    },
    {"category": ["Beauty"], "title": "Twice", "price": "$1,005.10 - $2,000.00", "asin": "B03"},
    {"category": ["Beauty"], "title": "Twice again", "asin": "B03"},
]
REVIEWS_2023 = [
    {
        "rating": 2.0,
        "title": "meh",
        "text": "broke",
        "images": [],
        "asin": "C01-RED",
        "parent_asin": "C01",
        "user_id": "AE2",
        "timestamp": 1588687728923,
        "helpful_vote": 0,
        "verified_purchase": True,
    },
]
METADATA_2023 = [
    {
        "main_category": "All Beauty",
        "title": "Hair Tie",
        "average_rating": 4.8,
        "price": 9.5,
        "features": [],
        "description": ["Strong", "and soft"],
        "store": "Howard",
        "categories": [],
        "details": {"Brand": "Other"},
        "parent_asin": "C01",
    },
    {"main_category": None, "title": "Comb", "price": None, "store": None, "categories": ["Hair", "Combs"],
     "details": {"Brand": "Kent"}, "parent_asin": "C02", "description": []},
]  # fmt: skip


def lines(records: list[dict[str, object]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def gz(path: Path, content: str | bytes) -> Path:
    path.write_bytes(gzip.compress(content.encode() if isinstance(content, str) else content))
    return path


def table(folder: Path, name: str) -> list[dict[str, object]]:
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


def rejects(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "rejects.jsonl").read_text(encoding="utf-8").splitlines()]


def test_amazon_2014_reads_python_literals_and_makes_rows_for_items_without_metadata(tmp_path: Path) -> None:
    reviews = gz(tmp_path / "reviews_Hats_5.json.gz", lines(REVIEWS_2014))
    metadata = gz(tmp_path / "meta_Hats.json.gz", METADATA_2014)
    counts = amazon.convert([reviews], [metadata], tmp_path / "out")
    assert counts.as_dict() == {"users": 2, "items": 3, "events": 3, "rejected": {}}
    out = tmp_path / "out"
    assert table(out, "users") == [{"user_id": "A0"}, {"user_id": "A1"}]
    assert table(out, "items") == [
        {"item_id": "0001", "title": 'Women\'s "Soft" Hat', "category": "Clothing > Women > Hats", "brand": "Lumo",
         "price": 12.5, "description": "A hat. Warm."},
        {"item_id": "0002", "title": None, "category": "Clothing > Gloves", "brand": None, "price": None,
         "description": None},
        {"item_id": "0009", "title": None, "category": None, "brand": None, "price": None, "description": None},
    ]  # fmt: skip
    assert table(out, "events")[0] == {
        "user_id": "A1",
        "item_id": "0001",
        "timestamp": datetime(2014, 2, 28, tzinfo=UTC),
        "behaviour": "rating",
        "value": 5.0,
        "text": "Good & warm. Buy it",
    }
    assert "Jane" not in str([table(out, name) for name in ("users", "items", "events")])
    assert sorted(file.name for file in out.iterdir()) == sorted(
        ["users.parquet", "items.parquet", "events.parquet", "rejects.jsonl"]
    )


def test_amazon_2018_reads_garbage_prices_scripts_and_doubles(tmp_path: Path) -> None:
    reviews = gz(tmp_path / "All_Beauty.json.gz", lines(REVIEWS_2018))
    metadata = gz(tmp_path / "meta_All_Beauty.json.gz", lines(METADATA_2018))
    counts = amazon.convert([reviews], [metadata], tmp_path / "out")
    assert (counts.users, counts.items, counts.events, counts.rejected) == (1, 3, 1, {"duplicate item": 1})
    cream, script, twice = table(tmp_path / "out", "items")
    assert cream == {"item_id": "B01", "title": "Tom & Ann Cream", "category": "Beauty > Skin & Face", "brand": "Tom",
                     "price": 12.99, "description": "Mild. For all."}  # fmt: skip
    assert (script["title"], script["category"], script["brand"], script["price"]) == (None, None, None, None)
    assert (twice["title"], twice["price"]) == ("Twice", 1005.10)
    assert rejects(tmp_path / "out")[0]["line"] == 4


def test_amazon_2023_keys_events_by_parent_and_reads_milliseconds(tmp_path: Path) -> None:
    reviews = gz(tmp_path / "All_Beauty.jsonl.gz", lines(REVIEWS_2023))
    metadata = tmp_path / "meta_All_Beauty.jsonl"
    metadata.write_text(lines(METADATA_2023), encoding="utf-8")
    amazon.convert([reviews], [metadata], tmp_path / "out")
    (event,) = table(tmp_path / "out", "events")
    assert (event["user_id"], event["item_id"], event["value"]) == ("AE2", "C01", 2.0)
    assert event["timestamp"] == datetime(2020, 5, 5, 14, 8, 48, 923000, tzinfo=UTC)
    tie, comb = table(tmp_path / "out", "items")
    assert (tie["category"], tie["brand"], tie["price"], tie["description"]) == (
        "All Beauty", "Howard", 9.5, "Strong and soft",
    )  # fmt: skip
    assert (comb["category"], comb["brand"]) == ("Hair > Combs", "Kent")


def test_amazon_broken_lines_are_counted_by_reason_and_named(tmp_path: Path) -> None:
    good = json.dumps(REVIEWS_2018[0]).encode()
    broken = [
        b'{"reviewerID": "A2", "asin"',
        b"\xff\xfe{}",
        b"[1, 2]",
        b"__import__('os').system('true')",
        json.dumps({**REVIEWS_2018[0], "overall": "five"}).encode(),
        json.dumps({**REVIEWS_2018[0], "overall": True}).encode(),
        json.dumps({**REVIEWS_2018[0], "unixReviewTime": None}).encode(),
        json.dumps({**REVIEWS_2018[0], "reviewerID": ""}).encode(),
        json.dumps({**REVIEWS_2018[0], "asin": 7}).encode(),
        b"[" * 100_000,
    ]
    reviews = gz(tmp_path / "r.json.gz", b"\n".join([*broken, b"", good, b""]))
    metadata = gz(tmp_path / "m.json.gz", lines(METADATA_2018[:1]))
    counts = amazon.convert([reviews], [metadata], tmp_path / "out")
    assert counts.events == 1
    assert counts.rejected == {
        "neither JSON nor a Python literal": 3,
        "not UTF-8": 1,
        "not a record": 1,
        "no rating of 0 to 5": 2,
        "no time": 1,
        "no user": 1,
        "no item": 1,
    }
    written = rejects(tmp_path / "out")
    assert [row["line"] for row in written] == list(range(1, 11))
    assert written[4]["file"] == "r.json.gz"
    assert '"five"' in str(written[4]["raw"])
    assert len(str(written[9]["raw"])) <= 500


def test_amazon_text_with_half_a_character_is_still_written(tmp_path: Path) -> None:
    review = {**REVIEWS_2018[0], "reviewText": "smile \ud83d!"}
    reviews = gz(tmp_path / "r.json.gz", lines([review]))
    amazon.convert([reviews], [], tmp_path / "out")
    assert table(tmp_path / "out", "events")[0]["text"] == "smile �!"


def test_amazon_refuses_what_is_not_there_swapped_or_cut_short_and_leaves_the_target_alone(tmp_path: Path) -> None:
    reviews = gz(tmp_path / "r.json.gz", lines(REVIEWS_2018 * 50))
    metadata = gz(tmp_path / "m.json.gz", lines(METADATA_2018))
    out = tmp_path / "out"
    amazon.convert([reviews], [metadata], out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(DataError, match=r"no file .*none\.json\.gz; wanted: a review file"):
        amazon.convert([tmp_path / "none.json.gz"], [metadata], out)
    with pytest.raises(DataError, match=r"none of the 50 lines .* wanted: a metadata file"):
        amazon.convert([metadata], [reviews], out)
    with pytest.raises(DataError, match=r"none of the 4 lines .* wanted: a review file"):
        amazon.convert([metadata], [metadata], out)
    whole = gzip.compress(b"".join(json.dumps({**REVIEWS_2018[0], "n": n}).encode() + b"\n" for n in range(5000)))
    (tmp_path / "cut.json.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.json\.gz is damaged after line \d+ .*download it again"):
        amazon.convert([tmp_path / "cut.json.gz"], [metadata], out)
    (tmp_path / "empty.json").write_bytes(b"")
    with pytest.raises(DataError, match="no review in"):
        amazon.convert([tmp_path / "empty.json"], [metadata], out)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_amazon_writes_more_than_one_row_group(tmp_path: Path) -> None:
    many = "".join(
        json.dumps({"user_id": f"U{n % 70_000}", "parent_asin": "P", "rating": 3, "timestamp": 10**12 + n}) + "\n"
        for n in range(120_000)
    )
    (tmp_path / "r.jsonl").write_text(many, encoding="utf-8")
    counts = amazon.convert([tmp_path / "r.jsonl"], [], tmp_path / "out")
    assert (counts.users, counts.items, counts.events) == (70_000, 1, 120_000)
    assert pq.ParquetFile(tmp_path / "out" / "events.parquet").num_row_groups == 3
    users = pq.read_table(tmp_path / "out" / "users.parquet")["user_id"].to_pylist()
    assert users == sorted({f"U{n}" for n in range(70_000)})


def write_1m(folder: Path) -> Path:
    folder.mkdir()
    (folder / "users.dat").write_bytes(b"1::F::1::10::48067\n2::M::56::16::70072\n3::X::56::16::70072\n")
    (folder / "movies.dat").write_bytes(
        b"1::Toy Story (1995)::Animation|Children's|Comedy\n2::Mis\xe9rables, Les (1995)::Drama\n2::Again::Drama\n"
    )
    (folder / "ratings.dat").write_bytes(b"1::1::5::978300760\n2::2::3::978302109\n2::2::nine::1\n1::1\n")
    return folder


def test_movielens_1m(tmp_path: Path) -> None:
    counts = movielens.convert(write_1m(tmp_path / "ml-1m"), tmp_path / "out")
    assert counts.as_dict() == {
        "users": 2,
        "items": 2,
        "events": 2,
        "rejected": {"not a line of users.dat": 1, "duplicate id": 1, "not a line of ratings.dat": 2},
    }
    assert table(tmp_path / "out", "users") == [
        {"user_id": "1", "age": "under 18", "gender": "female", "occupation": "school student"},
        {"user_id": "2", "age": "56 and over", "gender": "male", "occupation": "self-employed"},
    ]
    toys, poor = table(tmp_path / "out", "items")
    assert (toys["title"], toys["category"], toys["description"]) == (
        "Toy Story (1995)", "Animation", "Genres: Animation, Children's, Comedy",
    )  # fmt: skip
    assert poor["title"] == "Misérables, Les (1995)"
    assert table(tmp_path / "out", "events")[0] == {
        "user_id": "1",
        "item_id": "1",
        "timestamp": datetime(2000, 12, 31, 22, 12, 40, tzinfo=UTC),
        "behaviour": "rating",
        "value": 5.0,
        "text": None,
    }


def test_movielens_100k(tmp_path: Path) -> None:
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    (folder / "u.user").write_bytes(b"1|24|M|technician|85711\n2|53|F|other|94043\n")
    flags = {"toys": "0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0", "unknown": "1" + "|0" * 18}
    (folder / "u.item").write_bytes(
        f"1|Toy Story (1995)|01-Jan-1995||http://x|{flags['toys']}\n"
        f"267|unknown||||{flags['unknown']}\n"
        f"3|Caf\xe9|01-Jan-1995||http://x|0|1\n".encode("latin-1")
    )
    (folder / "u.data").write_bytes(b"2\t1\t3\t881250949\n1\t267\t4\t881250950\n")
    counts = movielens.convert(folder, tmp_path / "out")
    assert (counts.users, counts.items, counts.events) == (2, 2, 2)
    assert counts.rejected == {"not a line of u.item": 1}
    assert rejects(tmp_path / "out")[0]["line"] == 3
    assert table(tmp_path / "out", "users")[0] == {
        "user_id": "1", "age": "24", "gender": "male", "occupation": "technician",
    }  # fmt: skip
    toys, unknown = table(tmp_path / "out", "items")
    assert (toys["category"], toys["description"]) == ("Animation", "Genres: Animation, Children's, Comedy")
    assert (unknown["category"], unknown["description"]) == (None, None)


def test_movielens_wrong_folder_names_the_files(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"users\.dat, movies\.dat, ratings\.dat \(ml-1m\) or u\.user, u\.item, u\.data"
    ):
        movielens.convert(tmp_path, tmp_path / "out")
    folder = write_1m(tmp_path / "ml-1m")
    (folder / "ratings.dat").write_bytes(b"userId,movieId,rating,timestamp\n1,1,5,978300760\n")
    with pytest.raises(DataError, match=r"none of the 2 lines .*ratings\.dat.* parted by '::'"):
        movielens.convert(folder, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
