"""Which rows are drawn, and how a sample is spread."""

from types import SimpleNamespace
from typing import Any

import pytest

from recgpt.labels.sampling import Drawing, allocate, drawn
from recgpt.settings import Judge
from recgpt.words import Task


class Sizes:
    """Logs that know how many events a user has."""

    def __init__(self, catalogue: Any, sizes: dict[str, int]) -> None:
        self.catalogue, self._sizes = catalogue, sizes

    def sizes(self, users: set[str]) -> dict[str, int]:
        return {user: self._sizes[user] for user in users if user in self._sizes}


@pytest.fixture
def night(shelf: Any) -> Any:
    config = shelf.config.model_copy(update={"judge": Judge(share=0.5)})
    return SimpleNamespace(store=shelf.store, config=config, logs=Sizes(shelf.catalogue, {"busy": 300, "idle": 2}))


def ids(night: Any, drawing: Drawing) -> list[int]:
    return [number for _, page in drawn(night, drawing) for number in page]


@pytest.mark.parametrize(
    ("counts", "n", "given"),
    [
        ({"a": 50, "b": 30, "c": 20}, 10, {"a": 5, "b": 3, "c": 2}),
        ({"a": 50, "b": 30, "c": 20}, 100, {"a": 50, "b": 30, "c": 20}),
        ({"a": 50, "b": 30, "c": 20}, 500, {"a": 50, "b": 30, "c": 20}),
        # 3.6, 3.3, 3.1: nine whole ones, and the tenth to the largest remainder.
        ({"a": 36, "b": 33, "c": 31}, 10, {"a": 4, "b": 3, "c": 3}),
        # Exact shares 9.8, .1, .1: each has one, and it is the large one that gives.
        ({"a": 98, "b": 1, "c": 1}, 10, {"a": 8, "b": 1, "c": 1}),
        # Fewer to draw than strata: the largest go first.
        ({"a": 98, "b": 1, "c": 1}, 2, {"a": 2, "b": 0, "c": 0}),
        ({"a": 2, "b": 2, "c": 2}, 2, {"a": 1, "b": 1, "c": 0}),
        ({}, 5, {}),
    ],
)
def test_a_sample_is_shared_out_by_size(counts: dict[str, int], n: int, given: dict[str, int]) -> None:
    assert allocate(counts, n) == given


def test_the_nightly_share_is_about_its_share_and_always_the_same(shelf: Any, night: Any) -> None:
    interest = shelf.interest(user="busy")
    tags = [shelf.tag(interest, f"tag {number}") for number in range(200)]
    first = ids(night, Drawing((Task.TAGS,)))
    assert set(first) < set(tags)
    assert 70 < len(first) < 130
    assert ids(night, Drawing((Task.TAGS,))) == first == sorted(first)
    assert ids(night, Drawing((Task.TAGS,), seed=1)) != first
    assert {task for task, _ in drawn(night, Drawing())} <= {Task.INTERESTS, Task.TAGS}


def test_a_sample_has_its_number_and_a_larger_one_holds_it(shelf: Any, night: Any) -> None:
    interest = shelf.interest(user="busy")
    for number in range(100):
        shelf.tag(interest, f"tag {number}")
    shelf.tag(interest, "gone", state="retired")
    small, large = (ids(night, Drawing((Task.TAGS,), sample=n)) for n in (10, 30))
    assert (len(small), len(large)) == (10, 30)
    assert set(small) < set(large)
    assert ids(night, Drawing((Task.TAGS,), sample=10)) == small
    assert ids(night, Drawing((Task.TAGS,), sample=10, seed=1)) != small
    assert len(ids(night, Drawing((Task.TAGS,), sample=500))) == 100


def test_rare_strata_are_drawn_from_too(shelf: Any, night: Any) -> None:
    busy = [shelf.interest(f"i{n}", "busy") for n in range(60)]
    idle = shelf.interest("tennis", "idle", items=("i3",))
    unknown = shelf.interest("left", "gone")
    tags = [shelf.tag(number, "tag", "busy") for number in busy]
    tennis = shelf.tag(idle, "racket", "idle")
    by_activity = ids(night, Drawing((Task.INTERESTS,), sample=3, strata=("user_activity",)))
    assert set(by_activity) > {idle, unknown}
    by_category = ids(night, Drawing((Task.TAGS,), sample=2, strata=("category",)))
    assert tennis in by_category
    assert set(by_category) - {tennis} < set(tags)
    both = ids(night, Drawing((Task.INTERESTS,), sample=4, strata=("user_activity", "category")))
    assert set(both) > {idle, unknown}


def test_lines_are_spread_by_their_item_and_by_how_many_they_are_served_to(shelf: Any, night: Any) -> None:
    usual = [shelf.explanation("stargazing", "i1", f"line {n}", served=200) for n in range(40)]
    tennis = shelf.explanation("tennis", "i3", "a line", served=200)
    seldom = shelf.explanation("stargazing", "i1", "another line", served=1)
    lost = shelf.explanation("stargazing", "gone", "a lost line", served=200)
    found = ids(night, Drawing((Task.EXPLANATIONS,), sample=4, strata=("category", "user_activity")))
    assert set(found) > {tennis, seldom, lost}
    assert set(found) - {tennis, seldom, lost} < set(usual)
