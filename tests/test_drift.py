"""Drift, against cases worked by hand."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from recgpt.drift import MIN_EVENTS, drift, user_drift
from recgpt.sources.logs import Catalogue, History

FULL = np.datetime64("2026-06-01", "s")


def test_the_same_shares_have_no_drift() -> None:
    assert drift({"a": 1, "b": 3}, {"a": 10, "b": 30}) == pytest.approx(0.0)
    assert drift({"a": 5}, {"a": 1}) == pytest.approx(0.0)


def test_all_else_but_as_even_is_sixty_percent() -> None:
    # H(p) = H(q) = 1 bit; no category in common: Jaccard 0; JS of disjoint distributions is 1 bit.
    assert drift({"a": 1, "b": 1}, {"c": 1, "d": 1}) == pytest.approx(0.3 + 0.3)


def test_half_the_categories_gone() -> None:
    # p = (1/2, 1/2), q = (1, 0). H(p) = 1 bit of at most log2(2) = 1, H(q) = 0. Jaccard 1/2.
    # JS = H(3/4, 1/4) - (1 + 0) / 2 = 0.811278 - 0.5
    assert drift({"a": 2, "b": 2}, {"a": 7}) == pytest.approx(0.4 + 0.3 * 0.5 + 0.3 * 0.311278, abs=1e-6)


def test_from_four_things_to_one_other() -> None:
    # p even over four, q all on a fifth: H(p) = 2 of at most log2(5) = 2.321928, H(q) = 0; Jaccard 0; JS 1.
    assert drift(dict.fromkeys("abcd", 1), {"e": 1}) == pytest.approx(0.4 * 2 / 2.321928 + 0.6, abs=1e-6)


def test_it_is_symmetric_and_bounded_and_says_nothing_of_nothing() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        one, other = (dict(zip("abcdef", rng.integers(0, 9, 6).tolist(), strict=True)) for _ in range(2))
        p, q = ({name: weight for name, weight in side.items() if weight} for side in (one, other))
        assert drift(p, q) == pytest.approx(drift(q, p))
        assert 0.0 <= drift(p, q) <= 1.0
    assert drift({}, {"a": 1}) == 0.0
    assert drift({"a": 1}, {}) == 0.0


def history(days: list[int], items: list[int]) -> History:
    """Events so many days after FULL."""
    moments = [FULL.astype(datetime) + timedelta(days=day) for day in days]
    return History(
        "u", {}, np.array(moments, "datetime64[s]"), np.zeros(len(days), np.int16), np.array(items, np.int32),
        [None] * len(days), np.full(len(days), np.nan, np.float32),
    )  # fmt: skip


CATALOGUE = Catalogue(["0", "1", "2"], ["", "", ""], ["A > a", "B > b", ""], ["", "", ""], np.zeros(3, np.float32))


def drifted(days: list[int], items: list[int], weights: list[float] | None = None) -> float:
    return user_drift(history(days, items), CATALOGUE, np.array(weights or [1.0] * len(days)), FULL)


def test_a_user_s_year_before_the_full_reading_against_all_since() -> None:
    n = MIN_EVENTS
    before, since = [*range(-n, 0)], [*range(n)]
    assert drifted(before + since, [0] * n + [1] * n) == pytest.approx(0.6)
    assert drifted(before + since, [0] * n + [0] * n) == pytest.approx(0.0)
    # What is more than a year old is left out, as are searches, what is not reliable and what has no category.
    old = [-400] * n
    assert drifted(old + before + since, [1] * n + [0] * n + [0] * n) == pytest.approx(0.0)
    noise = drifted(before + since * 4, [0] * n + [0] * n + [-1] * n + [2] * n + [1] * n, [1.0] * 4 * n + [0.0] * n)
    assert noise == pytest.approx(0.0)


def test_a_few_events_are_no_distribution() -> None:
    n = MIN_EVENTS
    assert drifted([*range(-n, 0), *range(n - 1)], [0] * n + [1] * (n - 1)) == 0.0
    assert drifted([*range(1 - n, 0), *range(n)], [0] * (n - 1) + [1] * n) == 0.0
