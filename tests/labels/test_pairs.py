"""Which rows are compared with which."""

from types import SimpleNamespace
from typing import Any

import pytest

from recgpt.labels import pairs
from recgpt.labels.pairs import MOST_OF_ONE, draw
from recgpt.words import Task


@pytest.fixture
def night(shelf: Any, logs: Any) -> Any:
    return SimpleNamespace(store=shelf.store, config=shelf.config, logs=logs)


def drawn(night: Any, task: Task, n: int = 100, seed: int = 0) -> list[tuple[str, str]]:
    return [(pair.left.claim, pair.right.claim) for pair in draw(night, task, n, seed)]


def test_tags_are_compared_within_an_interest(shelf: Any, night: Any) -> None:
    one, other = shelf.interest(), shelf.interest("tennis", items=("i3",))
    for interest, tag in ((one, "torch"), (other, "racket"), (one, "chart"), (one, "Torch"), (other, "grip")):
        shelf.tag(interest, tag, state="retired" if tag == "chart" else "active")
    # The same words again are no other text.
    assert sorted(drawn(night, Task.TAGS)) == [("chart", "Torch"), ("racket", "grip"), ("torch", "chart")]


def test_names_are_compared_where_one_user_has_them_for_the_same_evidence(shelf: Any, night: Any) -> None:
    shelf.interest("stargazing", "ann")
    shelf.interest("night skies", "ann", state="retired")
    shelf.interest("astronomy", "bob")
    shelf.interest("tennis", "ann", items=("i3",))
    assert drawn(night, Task.INTERESTS) == [("stargazing", "night skies")]


def test_lines_are_compared_for_one_interest_and_item(shelf: Any, night: Any) -> None:
    for interest, item, text in (
        ("stargazing", "i1", "one"), ("stargazing", "i2", "two"), ("astronomy", "i1", "three"),
        ("stargazing", "i1", "four"), ("tennis", "i3", "five"), ("tennis", "i3", "five"),
    ):  # fmt: skip
        shelf.explanation(interest, item, text)
    assert drawn(night, Task.EXPLANATIONS) == [("one", "four")]


def test_a_draw_is_the_same_again_and_no_input_fills_it(
    shelf: Any, night: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        interest = shelf.interest(name)
        for number in range(6):
            shelf.tag(interest, f"{name} {number}")
    whole = drawn(night, Task.TAGS)
    assert len(whole) == 3 * MOST_OF_ONE
    few = drawn(night, Task.TAGS, 4)
    assert len(few) == 4
    assert set(few) < set(whole)
    assert drawn(night, Task.TAGS, 4) == few
    assert drawn(night, Task.TAGS, 4, seed=1) != few
    monkeypatch.setattr(pairs, "PAGE", 1)
    assert drawn(night, Task.TAGS) == whole


@pytest.mark.parametrize("task", Task)
def test_nothing_to_compare(night: Any, task: Task) -> None:
    assert drawn(night, task) == []
