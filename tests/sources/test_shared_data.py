"""The normalised sets in ../shared/data load by config alone."""

from pathlib import Path

import pytest

from recgpt.config import load
from recgpt.sources.logs import Logs
from recgpt.sources.prepare import prepare

DATA = (Path(__file__).resolve().parents[2] / "../shared/data").resolve()
BEAUTY = """
base_features = []
[data.columns.items]
category = "categories"
[data.columns.events]
behaviour = "event_type"
[behaviours.review]
reliable = true
weight = 3.0
word = "reviewed"
"""
JOURNEY = """
base_features = ["age", "household_size"]
[data.columns.items]
category = "category_path"
[data.columns.events]
behaviour = "event_type"
[behaviours.coupon_redeem]
reliable = true
weight = 1.0
word = "redeemed a coupon for"
[behaviours.campaign_exposure]
reliable = false
weight = 0.1
word = "was sent"
"""


def _load(name: str, more: str, folder: Path) -> Logs:
    source = DATA / name
    if not source.is_dir():
        pytest.skip(f"the data set {name} is not beside this checkout")
    places = "\n".join(f'{table} = "{source}/{table}.parquet"' for table in ("users", "items", "events"))
    (folder / "recgpt.toml").write_text(f"[data]\n{places}\n{more}")
    return prepare(load(folder))


@pytest.mark.parametrize(
    ("name", "users", "items", "events"),
    [("amazon_beauty_2014", 22_363, 12_101, 198_502), ("amazon_beauty_2014/slice500", 500, 4_511, 8_410)],
)
def test_amazon_beauty(tmp_path: Path, name: str, users: int, items: int, events: int) -> None:
    logs = _load(name, BEAUTY, tmp_path)
    assert (logs.n_users, len(logs.catalogue)) == (users, items)
    assert (logs.counts["events"]["read"], logs.counts["events"]["rejected"]) == (events, {})
    row = logs.catalogue.row_of("B0020YLEYK")
    assert row is not None
    assert logs.catalogue.categories[row] == "Beauty > Skin Care > Face > Creams & Moisturizers"


def test_complete_journey(tmp_path: Path) -> None:
    logs = _load("complete_journey", JOURNEY, tmp_path)
    assert (logs.n_users, len(logs.catalogue)) == (2_469, 92_348)
    counts = logs.counts["events"]
    assert (counts["read"], counts["kept"]) == (1_477_998, 1_469_307)
    assert counts["rejected"] == {"neither item_id nor query": 8_691}
    assert counts["notes"] == {}
