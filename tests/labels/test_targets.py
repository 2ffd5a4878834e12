"""Rows as they are shown to whoever judges them."""

from datetime import date
from typing import Any

from judges import load_criteria
from recgpt.labels.targets import PAGE, Target, load_targets
from recgpt.settings import Environment
from recgpt.words import Task


def load(shelf: Any, logs: Any, task: Task, ids: list[int]) -> list[Target]:
    return list(load_targets(shelf.store, logs, shelf.config, task, ids))


def test_each_task_is_shown_in_the_words_of_its_criteria(shelf: Any, logs: Any) -> None:
    interest = shelf.interest(items=("i2", "i1", "gone", "i1"))
    tag = shelf.tag(interest, "red light torch", since_night=date(2026, 7, 1))
    line = shelf.explanation("stargazing", "i1", "For stargazing: a telescope.")
    lost = shelf.explanation("stargazing", "gone", "For stargazing: nothing.")
    given = "- astronomy: refractor telescope\n- astronomy: star chart"
    assert load(shelf, logs, Task.INTERESTS, [interest]) == [
        Target(
            Task.INTERESTS,
            interest,
            given,
            "stargazing",
            "u1",
            "stargazing",
            "autumn",
            None,
            "On 2026-10-31 only: seen x4",
        )
    ]
    assert load(shelf, logs, Task.TAGS, [tag]) == [
        Target(Task.TAGS, tag, "stargazing", "red light torch", "u1", "stargazing", "summer")
    ]
    found = load(shelf, logs, Task.EXPLANATIONS, [lost, line, 999])
    assert [one.given for one in found] == [
        "Interest: stargazing\nProduct: refractor telescope", "Interest: stargazing\nProduct: no longer sold",
    ]  # fmt: skip
    assert {one.user_id for one in found} == {None}


def test_the_season_is_shown_to_the_criterion_that_asks_about_it(shelf: Any, logs: Any) -> None:
    object.__setattr__(
        shelf, "config", shelf.config.model_copy(update={"environment": Environment(hemisphere="south")})
    )
    (tag,) = load(shelf, logs, Task.TAGS, [shelf.tag(shelf.interest(), "sun hat")])
    (line,) = load(shelf, logs, Task.EXPLANATIONS, [shelf.explanation("tennis", "i3", "For tennis: overgrips.")])
    for target in (tag, line):
        criteria = {one.name: one for one in load_criteria(target.task)}
        for name, one in criteria.items():
            told = target.given_for(one).removeprefix(target.given)
            assert told == ("" if name != "timely" else ". Season: spring" if target is tag else "\nSeason: spring")
            # ... in the words of the file's own cases.
            if name == "timely":
                assert all(told.rsplit(" ", 1)[0] in case.given for case in one.cases)


def test_how_an_interest_came_about_is_shown_to_the_criterion_that_asks_about_it(shelf: Any, logs: Any) -> None:
    events = [("2026-03-02", "view"), ("2026-05-09", "view"), ("2026-05-09", "purchase"), ("2026-04-01", "view")]
    evidence = [{"timestamp": f"{day}T08:00:00+00:00", "behaviour": kind, "item_id": "i1"} for day, kind in events]
    interest = shelf.interest(evidence=evidence)
    (found,) = load(shelf, logs, Task.INTERESTS, [interest])
    for one in load_criteria(Task.INTERESTS):
        told = found.given_for(one).removeprefix(found.given)
        expected = "\nOn 3 days from 2026-03-02 to 2026-05-09: viewed x3, bought x1" if one.name == "willing" else ""
        assert told == expected, one.name


def test_rows_come_by_id_and_retired_ones_too(shelf: Any, logs: Any) -> None:
    interest = shelf.interest()
    ids = [shelf.tag(interest, f"tag {number}", state="retired") for number in range(PAGE + 2)]
    assert [one.id for one in load(shelf, logs, Task.TAGS, ids[::-1])] == ids
