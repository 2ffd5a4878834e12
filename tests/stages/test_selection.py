"""Which items are offered, to whom, and how many of a kind."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from recgpt.settings import Score
from recgpt.sources.logs import Catalogue, History
from recgpt.stages.selection import Selection

NIGHT = datetime(2026, 11, 1, tzinfo=UTC)
CATEGORIES = ["Home > Tea", "Home > Tea > Green", "Home > Teapots", "Home", "", "Sport"]
BRANDS = ["Acme", "Acme", "", "", "Summit", "Acme"]
N = len(CATEGORIES)


def selection(stocks: list[float] | None = None, **rules: Any) -> Selection:
    catalogue = Catalogue(
        [f"i{n}" for n in range(N)],
        [""] * N,
        CATEGORIES,
        BRANDS,
        np.zeros(N, np.float32),
        None if stocks is None else np.array(stocks, np.float32),
    )
    return Selection(Score(**rules), catalogue, ("view", "purchase", "rating"), NIGHT)


def history(*events: tuple[str, int, int]) -> History:
    """Of (day, behaviour, item)."""
    days, behaviours, items = zip(*events, strict=True) if events else ((), (), ())
    return History(
        "ann",
        {},
        np.array(days, "datetime64[s]"),
        np.array(behaviours, np.int16),
        np.array(items, np.int32),
        [None] * len(events),
        np.zeros(len(events), np.float32),
    )


def test_everything_is_offered_by_default() -> None:
    assert selection().rows.tolist() == list(range(N))


def test_what_is_out_of_stock_is_not_offered_and_the_unknown_is() -> None:
    assert selection([3, 0, np.nan, -1, 0.5, 1]).rows.tolist() == [0, 2, 4, 5]


def test_categories_are_paths_and_what_is_below_them() -> None:
    assert selection(categories=("Home > Tea",)).rows.tolist() == [0, 1]
    assert selection(categories=("Home > Tea", "Sport")).rows.tolist() == [0, 1, 5]
    assert selection(without_categories=("Home > Tea",)).rows.tolist() == [2, 3, 4, 5]
    assert selection(categories=("Home",), without_categories=("Home > Tea > Green",)).rows.tolist() == [0, 2, 3]
    assert selection(categories=("Garden",)).rows.tolist() == []


def test_filters_hold_together_and_places_are_among_what_is_left() -> None:
    chosen = selection([1, 1, 0, 1, 1, 1], without_categories=("Sport",))
    assert chosen.rows.tolist() == [0, 1, 3, 4]
    assert chosen.places(np.arange(N)).tolist() == [0, 1, -1, 2, 3, -1]


def test_a_user_is_not_offered_what_they_bought() -> None:
    seen = history(("2026-10-01", 0, 0), ("2026-10-02", 1, 4), ("2026-10-03", 1, -1), ("2026-10-04", 1, 1))
    assert selection().left_out(seen).tolist() == [1, 4]
    assert selection(leave_out=("view", "purchase")).left_out(seen).tolist() == [0, 1, 4]
    assert selection(leave_out=()).left_out(seen).tolist() == []
    assert selection().left_out(history()).tolist() == []


def test_what_was_bought_long_ago_may_come_again() -> None:
    seen = history(("2026-10-01", 1, 0), ("2026-10-22", 1, 1), ("2026-10-31", 1, 2))
    assert selection(leave_out_days=10).left_out(seen).tolist() == [1, 2]  # since 2026-10-22, the moment included
    assert selection(leave_out_days=9).left_out(seen).tolist() == [2]


SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
ITEMS = np.arange(6)
ONE_TAG = np.zeros(6, np.int64)
APART = np.eye(6, dtype=np.float32)


def chosen(tags: Any = ONE_TAG, rows: Any = ITEMS, scores: Any = SCORES, vectors: Any = APART, **rules: Any) -> Any:
    return selection(**{"per_tag": 6, **rules}).choose(np.asarray(scores), np.asarray(rows), np.asarray(tags), vectors)


def test_the_list_is_the_best_in_order() -> None:
    assert chosen(scores=SCORES[::-1], top_k=3).tolist() == [5, 4, 3]


def test_equal_scores_stand_by_item_then_by_tag() -> None:
    assert chosen(scores=[0.5] * 4, rows=[3, 1, 1, 2], tags=[7, 9, 8, 7], top_k=3).tolist() == [2, 3, 0]


def test_no_tag_brings_more_than_its_quota_and_no_item_comes_twice() -> None:
    assert chosen(tags=[1, 1, 1, 2, 2, 1], per_tag=2).tolist() == [0, 1, 3, 4]
    assert chosen(rows=[3, 3, 4, 4, 3, 5], tags=[1, 2, 1, 2, 3, 3]).tolist() == [0, 2, 5]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("per_brand", [0, 2, 3, 4]), ("per_category", [0, 1, 2, 3, 4, 5])],  # no brand is no kind; Acme comes once
)
def test_quotas_of_brand_and_category(rule: str, expected: list[int]) -> None:
    assert chosen(**{rule: 1}).tolist() == expected


def test_a_quota_of_a_category_is_of_the_whole_path() -> None:
    assert chosen(rows=[0, 0, 1, 1, 2, 3], tags=[1, 2, 1, 2, 1, 1], per_category=1).tolist() == [0, 2, 4, 5]


def test_diversity_draws_alike_items_apart() -> None:
    alike = np.eye(6, dtype=np.float32)
    alike[1] = alike[0]
    assert chosen(vectors=alike, top_k=2, diversity=0.5).tolist() == [0, 2]
    assert chosen(vectors=alike, top_k=2).tolist() == [0, 1]


def test_the_pool_is_never_smaller_than_the_list() -> None:
    assert selection(pool=5, top_k=20).pool == 20
    assert selection(pool=50, top_k=20).pool == 50
