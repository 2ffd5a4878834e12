"""Figures that can be worked out by hand."""

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recgpt.evaluation.truth import majority, read_truth, score, share_of_repeats
from recgpt.words import Horizon

LONG, SHORT = Horizon.LONG_TERM, Horizon.SHORT_TERM


def test_score_by_hand() -> None:
    truth = {
        "a": {"Tea": LONG, "Yoga": LONG, "Fishing": SHORT, "Cycling": LONG},
        "b": {"Tea": LONG},
        "c": {"Yoga": SHORT},
        "not asked": {"Tea": LONG},
    }
    found = {
        "a": ["Tea", "Tea", "Yoga", "Baking"],  # two right, a duplicate, one wrong
        "b": ["Tea"],
        "c": [],
        "d": ["Tea", None],  # has no true interest
    }
    result = score(found, truth)
    assert (result.users, result.found, result.right, result.true) == (4, 7, 3, 6)
    assert result.precision == pytest.approx(3 / 7)
    assert result.recall == pytest.approx(3 / 6)
    assert result.macro_precision == pytest.approx((2 / 4 + 1 + 0) / 3)
    assert result.macro_recall == pytest.approx((2 / 4 + 1 + 0) / 3)
    assert result.recall_by_horizon == {"long_term": pytest.approx(3 / 4), "short_term": 0.0}


def test_nothing_to_count_is_not_a_figure() -> None:
    result = score({"a": []}, {})
    assert (result.precision, result.recall, result.macro_precision, result.macro_recall) == (None, None, None, None)
    assert share_of_repeats([], ["x"]) is None


def test_truth_of_a_night(tmp_path: Path) -> None:
    night = date(2026, 6, 1)
    rows = [
        ("a", "goes on", "long_term", date(2025, 1, 1), None),
        ("a", "begins that day", "long_term", night, None),
        ("a", "ended 60 days before", "long_term", date(2025, 1, 1), date(2026, 4, 2)),
        ("a", "ended 61 days before", "long_term", date(2025, 1, 1), date(2026, 4, 1)),
        ("a", "ends later", "short_term", date(2026, 5, 20), date(2026, 6, 20)),
        ("b", "over", "long_term", date(2025, 1, 1), date(2025, 2, 1)),
        ("c", "goes on", "long_term", date(2025, 1, 1), None),
    ]
    columns = [pa.array(column) for column in zip(*rows, strict=True)]
    path = tmp_path / "interests.parquet"
    pq.write_table(pa.table(columns, names=["user_id", "category", "horizon", "begin", "end"]), path)
    at = datetime(2026, 6, 1, tzinfo=UTC)
    expected = {"goes on": LONG, "ended 60 days before": LONG, "ends later": SHORT}
    assert read_truth(path, at) == {"a": expected, "c": {"goes on": LONG}}
    assert read_truth(path, at, users=["a", "b"]) == {"a": expected}


def test_majority() -> None:
    assert majority(["Tea", "Yoga", "Yoga", None, "", None]) == "Yoga"
    assert majority(["Tea", "Yoga"]) == "Tea"
    assert majority([None, ""]) is None


def test_share_of_repeats() -> None:
    assert share_of_repeats(["Green  tea", "Yoga at home", "GREEN TEA", "Tea"], ["green tea", "x"]) == 0.5
