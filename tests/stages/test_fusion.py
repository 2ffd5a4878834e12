"""The weight of the two scores: which users say something, what they are asked, and the best of the grid."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from recgpt.settings import Score
from recgpt.sources.logs import Catalogue, History
from recgpt.stages import fusion, score
from recgpt.stages.fusion import GRID, fit_beta
from recgpt.stages.selection import Selection
from towers.repeats import Own

DAY = date(2026, 10, 31)
UNTIL = datetime(2026, 11, 1, tzinfo=UTC)
BEHAVIOURS = ("view", "purchase")
N = 5
AXES = torch.eye(N)  # the items' vectors, so that a user's or a tag's vector is the list of its scores


def test_the_grid_goes_by_twentieths() -> None:
    assert GRID == (
        0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5,
        0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0,
    )  # fmt: skip


class TestBeta:
    def test_by_hand(self) -> None:
        # The user's scores put the wanted item 2 second, the tags' put it first; from .5 on item 0 is above it:
        # .5 * .9 + .5 * .1 = .5 and .5 * .6 + .5 * .4 = .5 tie, and the tie goes to the lower row.
        users = [(np.array([0.9, 0.1, 0.6]), np.array([0.1, 0.1, 0.4]), np.array([2]))]
        fit = fit_beta(users, 2, (0.0, 0.25, 0.5, 1.0))
        assert fit is not None
        below = round(1 / np.log2(3), 6)
        assert fit.ndcg == ((0.0, 1.0), (0.25, 1.0), (0.5, below), (1.0, below))
        assert (fit.beta, fit.users) == (0.25, 1)  # of equal ones the nearest to a half

    def test_is_the_mean_over_users(self) -> None:
        by_tags = (np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([1]))
        by_user = (np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([1]))
        fit = fit_beta([by_tags, by_user, by_user], 1, (0.0, 1.0))
        assert fit is not None
        assert fit.ndcg == ((0.0, 0.333333), (1.0, 0.666667))
        assert fit.beta == 1.0

    def test_the_nearest_to_a_half_from_both_sides(self) -> None:
        same = (np.array([1.0, 0.0]), np.array([1.0, 0.0]), np.array([0]))
        for betas, best in (((0.0, 0.4, 0.7), 0.4), ((0.2, 0.6, 1.0), 0.6), (GRID, 0.5)):
            fit = fit_beta([same], 1, betas)
            assert fit is not None
            assert fit.beta == best

    def test_an_item_that_is_not_to_be_ranked_takes_no_place(self) -> None:
        hidden = (np.array([-np.inf, 0.5, 0.4]), np.array([-np.inf, 0.0, 0.0]), np.array([1]))
        fit = fit_beta([hidden], 1, (0.0, 1.0))
        assert fit is not None
        assert fit.ndcg == ((0.0, 1.0), (1.0, 1.0))

    def test_a_wanted_item_that_is_not_to_be_ranked_is_never_found(self) -> None:
        hidden = (np.array([-np.inf, 0.5]), np.array([-np.inf, 0.0]), np.array([0]))
        fit = fit_beta([hidden], 2, (0.5,))
        assert fit is not None
        assert fit.ndcg == ((0.5, 0.0),)

    def test_without_users_there_is_none(self) -> None:
        assert fit_beta([], 5) is None


def history(user: str, *events: tuple[str, int, int]) -> History:
    """Of (moment, behaviour, item)."""
    moments, behaviours, items = zip(*events, strict=True) if events else ((), (), ())
    return History(
        user,
        {},
        np.array(moments, "datetime64[s]"),
        np.array(behaviours, np.int16),
        np.array(items, np.int32),
        [None] * len(events),
        np.zeros(len(events), np.float32),
    )


HISTORIES = [
    # Item 0 was bought before; 3 is out of stock, -1 a search, 4 was only looked at.
    history(
        "ann", ("2026-10-01", 1, 0), ("2026-10-31T23:59:59", 0, 1), ("2026-11-01", 1, 2), ("2026-11-02", 1, 0),
        ("2026-11-03", 1, 3), ("2026-11-03", 1, -1), ("2026-11-04", 0, 4), ("2026-11-05", 1, 1), ("2026-11-06", 1, 1),
    ),
    history("bob", ("2026-10-01", 1, 0)),  # took nothing afterwards
    history("cat", ("2026-11-02", 1, 1)),  # has no tags
    history("dan", ("2026-11-02", 1, 4), ("2026-11-02", 1, 0)),
]  # fmt: skip
TAGS = {"ann": ["tea", "cup"], "bob": ["tea"], "dan": ["cup"]}
SCORES = {"tea": [0.1, 0.2, 0.3, 0.4, 0.5], "cup": [0.5, -0.4, 0.3, -0.2, 0.1]}


class FakeScorer:
    """Tags and vectors that are told; which items and for whom is the real selection's."""

    def __init__(self) -> None:
        catalogue = Catalogue(
            list("abcde"), [""] * N, [""] * N, [""] * N, np.zeros(N, np.float32), np.array([1, 1, 1, 0, 1], np.float32)
        )
        self.items = AXES
        self.selection = Selection(Score(), catalogue, BEHAVIOURS, UNTIL)
        self.own: tuple[Own, torch.Tensor] | None = None

    def tags(self, block: list[History]) -> dict[str, list[Any]]:
        assert all(len(one) == len(one.until(UNTIL)) for one in block)  # nothing of after the night
        return {name: [SimpleNamespace(tag=tag) for tag in tags] for name, tags in TAGS.items()}

    def events(self, block: list[History]) -> list[History]:
        return block

    def user_vectors(self, block: list[History], events: list[History]) -> torch.Tensor:
        assert events is block
        return torch.stack([torch.arange(5.0) + 10 * len(one) for one in block])

    def repeats(self, events: list[History], users: torch.Tensor) -> tuple[Own, torch.Tensor] | None:
        assert users.tolist() == list(range(len(events)))
        return self.own

    def tag_vectors(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([SCORES[text] for text in texts])


class FakeNight:
    day, until, n_users, users = DAY, UNTIL, 4, 9

    def __init__(self, only: frozenset[str] | None = None) -> None:
        self.only, self.told, self.asked = only, list[int](), list[Any]()
        self.config = SimpleNamespace(score=Score())
        self.logs = SimpleNamespace(behaviours=BEHAVIOURS, histories=self.histories)

    def histories(self, *asked: Any, **options: Any) -> Iterator[History]:
        self.asked = [*asked, options]
        return iter(HISTORIES)

    def progress(self, one: Any) -> None:
        assert (one.stage, one.total) == ("beta", 4)
        self.told.append(one.done)


def test_users_with_tags_who_took_something_new_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "BLOCK", 3)
    night: Any = FakeNight()
    scorer: Any = FakeScorer()
    (ann, dan) = fusion._held_out(night, scorer, days=7)
    assert night.asked == [datetime(2026, 11, 8, tzinfo=UTC), {"users": None, "limit": 9}]
    assert night.told == [3, 4]
    hidden = -np.inf
    assert ann[0].tolist() == [hidden, 21, 22, hidden, 24]  # two events before the night
    assert ann[1] == pytest.approx([hidden, 0.2, 0.3, hidden, 0.5])  # the better tag of each item
    assert ann[2].tolist() == [1, 2]  # new, offered, and bought: not 0, 3 or 4
    assert dan[0].tolist() == [0, 1, 2, hidden, 4]
    assert dan[1] == pytest.approx([0.5, -0.4, 0.3, hidden, 0.1])
    assert dan[2].tolist() == [0, 4]


def test_what_was_had_is_scored_by_its_counts() -> None:
    scorer: Any = FakeScorer()
    scorer.own = Own(torch.tensor([0, 0, 3]), torch.tensor([0, 2, 4]), torch.zeros(3, 1)), torch.tensor([7.0, 8.0, 9.0])
    (ann, dan) = fusion._held_out(FakeNight(), scorer, days=7)  # type: ignore[arg-type]
    assert ann[0].tolist() == [-np.inf, 21, 8, -np.inf, 24]  # item 0 she is not to get
    assert dan[0].tolist() == [0, 1, 2, -np.inf, 9]


def test_only_the_nights_users_are_read() -> None:
    night: Any = FakeNight(frozenset({"dan", "ann"}))
    scorer: Any = FakeScorer()
    list(fusion._held_out(night, scorer, days=1))
    assert night.asked == [datetime(2026, 11, 2, tzinfo=UTC), {"users": ["ann", "dan"], "limit": 9}]
