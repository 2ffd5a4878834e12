"""Labels in SQL: what holds, what does not any more, on both databases."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from judges import Criterion
from recgpt.labels import store as room
from recgpt.labels.store import add, judge_id, labels, matrix
from recgpt.settings import Store
from recgpt.store.tables import Label
from recgpt.words import Task

Criteria = dict[str, Criterion]


@pytest.fixture(params=["sqlite", "postgresql"])
def anywhere(request: pytest.FixtureRequest, shelf: Any, tmp_path: Path) -> Any:
    """The shelf on each database."""
    url = Store().url if request.param == "sqlite" else str(request.getfixturevalue("postgres"))
    return type(shelf)(tmp_path / "both", url)


def row(criterion: Criterion, target: int, verdict: bool, judge: str = "m@r", **columns: Any) -> Label:
    return Label(task="tags", target_id=target, criterion=criterion.name, verdict=verdict, judge=judge,
                 prompt_version=columns.pop("version", criterion.version), **columns)  # fmt: skip


def said(shelf: Any, **chosen: Any) -> list[tuple[str, int, str, bool]]:
    return [(one.judge, one.target_id, one.criterion, one.verdict) for one in labels(shelf.store, Task.TAGS, **chosen)]


def test_of_one_judge_on_one_question_the_last_word_holds(anywhere: Any, tags: Criteria) -> None:
    valid, specific = tags["valid"], tags["specific"]
    with Session(anywhere.store) as session, session.begin():
        add(
            session,
            [row(valid, 1, True), row(specific, 1, True), row(valid, 2, True), row(valid, 1, True, "human:eva")],
        )
        add(session, [row(valid, 1, False), row(valid, 1, True, version="sha256:old")])
    assert said(anywhere) == [
        ("m@r", 1, "specific", True), ("m@r", 2, "valid", True), ("human:eva", 1, "valid", True),
        ("m@r", 1, "valid", False), ("m@r", 1, "valid", True),
    ]  # fmt: skip
    assert len(anywhere.labels()) == 6  # nothing is deleted
    assert [one.verdict for one in anywhere.labels(Label.superseded)] == [True]


def test_two_that_write_at_once_can_not_both_hold(anywhere: Any, tags: Criteria) -> None:
    with Session(anywhere.store) as session, session.begin():
        session.add(row(tags["valid"], 1, True))
    with pytest.raises(IntegrityError), Session(anywhere.store) as session, session.begin():
        session.add(row(tags["valid"], 1, False))
    with Session(anywhere.store) as session, session.begin():  # one that holds no longer stands in nobody's way
        session.add(row(tags["valid"], 1, False, superseded=True))


def test_a_choice_of_labels(shelf: Any, tags: Criteria, monkeypatch: pytest.MonkeyPatch) -> None:
    for judge in ("m@r", "human:eva"):
        for name in ("valid", "specific"):
            shelf.label(judge, tags[name], [(1, True), (2, False)])
    shelf.put(Label(task="interests", target_id=1, criterion="grounded", verdict=True, judge="m@r", prompt_version="v"))
    whole = said(shelf)
    assert len(whole) == 8
    assert said(shelf, judges=["m@r"], criteria=["valid"], targets=[2, 3]) == [("m@r", 2, "valid", False)]
    assert said(shelf, judges=[]) == []
    monkeypatch.setattr(room, "PAGE", 3)
    assert said(shelf) == whole


def test_the_matrix_has_each_judges_latest_label(shelf: Any, tags: Criteria) -> None:
    valid = tags["valid"]
    shelf.label("m@r", valid, [(1, True)], prompt_version="sha256:old")
    shelf.label("m@r", valid, [(1, False), (2, True)])
    shelf.label("human:eva", valid, [(1, True)])
    found = matrix(shelf.store, Task.TAGS)
    assert {key: {judge: one.verdict for judge, one in given.items()} for key, given in found.items()} == {
        (1, "valid"): {"m@r": False, "human:eva": True},
        (2, "valid"): {"m@r": True},
    }


def test_another_form_is_another_judge() -> None:
    assert judge_id("m", "r", "verdict") == "m@r"
    assert judge_id("m", "r", "said") == "m@r#said"
    assert judge_id("m", "r", "examples") == "m@r#examples"
