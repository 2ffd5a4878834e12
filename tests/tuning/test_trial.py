"""What a version makes on a store of its own, and the shares that come of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
import pytest
from scripted import Body, instead, task
from versions import by_category, system, tuned

import prompts
from judges import Verdict
from recgpt.engine.open import open_engine
from recgpt.errors import DataError
from recgpt.labels.targets import Target
from recgpt.serving import Serving, stored_prompt
from recgpt.sources.prepare import prepare
from recgpt.stages.answers import Refused
from recgpt.stages.night import Night
from recgpt.store.tables import Base, Explanation, Memory, Rejection, Unit
from recgpt.store.tables import Request as RequestRow
from recgpt.tuning.split import held_out, key_of
from recgpt.tuning.trial import Turn, Turns, inputs, share, turns, values
from recgpt.words import Stage, Task

YES, NO = Verdict(True, None, None), Verdict(False, None, None)
CRITERIA = ["grounded", "specific"]


@pytest.fixture
def half(project: Any) -> Any:
    """Half of the users, and of the names of interests, are held out."""
    project.configure(tuning={"held_out": 0.5}, interests={"min_items": 2, "min_days": 2, "min_span_days": 7})
    project.server.answer = instead(by_category)
    return project


def night_of(project: Any) -> Night:
    return Night(project.config, project.store, prepare(project.config), project.night)


async def approve(target: Target) -> Mapping[str, Verdict]:
    return {"grounded": YES, "specific": YES}


def attempt(
    night: Night,
    given: Any,
    served: Serving | None = None,
    judge: Callable[[Target], Awaitable[Mapping[str, Verdict]]] = approve,
) -> Turns:
    async def tried() -> Turns:
        async with open_engine(night.config, night.store) as model:
            return await turns(night, given, served or night.serving, model, judge)

    return asyncio.run(tried())


def counts(project: Any) -> dict[str, int]:
    """Rows of every table but of the ledger."""
    ledger = {"requests", "answers", "prompt_versions"}
    tables = [one.class_ for one in Base.registry.mappers if one.local_table.name not in ledger]
    return {table.__tablename__: len(project.rows(table)) for table in tables}


def test_held_out_users_alone_and_the_others_alone(half: Any) -> None:
    half.run(Stage.INTERESTS, Stage.TAGS)
    night, rules = night_of(half), half.config.tuning
    for one in (Task.INTERESTS, Task.TAGS):
        measured, learnt = inputs(night, one, 100), inputs(night, one, 100, held=False)
        assert measured.keys
        assert learnt.keys
        assert all(held_out(key, rules) for key in measured.keys)
        assert not any(held_out(key, rules) for key in learnt.keys)
        assert set(attempt(night, measured)) <= set(measured.keys)
    asked_of = {row.user_id for key, rows in measured.rows.items() for row in rows}
    assert asked_of == set(measured.keys)
    assert len(inputs(night, Task.INTERESTS, 2).keys) == 2
    assert set(inputs(night, Task.INTERESTS, 2).keys) <= set(inputs(night, Task.INTERESTS, 4).keys)


def test_explanations_go_by_the_interests_name(half: Any) -> None:
    half.run()
    night, rules = night_of(half), half.config.tuning
    measured, learnt = inputs(night, Task.EXPLANATIONS, 100), inputs(night, Task.EXPLANATIONS, 100, held=False)
    assert not set(measured.keys) & set(learnt.keys)
    for given, held in ((measured, True), (learnt, False)):
        found = attempt(night, given)
        assert set(found) == set(given.keys)
        for key, turn in found.items():
            assert held_out(key, rules) is held
            assert {key_of(None, target.interest) for target, _ in turn.rows} <= {key}
            assert turn.replies
    assert set(measured.keys) | set(learnt.keys) == {key_of(None, row.interest) for row in half.rows(Explanation)}


def test_the_nights_own_rows_stay_and_the_ledger_is_shared(half: Any, asked: Callable[[], int]) -> None:
    half.run(Stage.INTERESTS)
    night, before = night_of(half), counts(half)
    version = tuned(half)
    requests = len(half.rows(RequestRow))
    asked()
    serving = attempt(night, inputs(night, Task.INTERESTS, 100))
    assert asked() == 0  # the night asked the very same
    assert serving
    tried = night.serving.with_prompt(stored(half, version))
    found = attempt(night, inputs(night, Task.INTERESTS, 100), tried)
    assert asked() == sum(len(turn.replies) for turn in found.values())
    assert len(half.rows(RequestRow)) > requests
    attempt(night, inputs(night, Task.INTERESTS, 100), tried)
    assert asked() == 0
    assert counts(half) == before
    assert not list(half.config.work_folder.glob("trial-*"))


def stored(project: Any, version: str) -> prompts.Prompt:
    from sqlalchemy.orm import Session

    with Session(project.store) as session:
        return stored_prompt(session, version)


def test_the_version_writes_what_is_judged_and_gates_refuse(half: Any) -> None:
    half.server.answer = instead(
        lambda body: json.dumps({"interest": "sundries"}) if "BETTER" in system(body) else None
    )
    night = night_of(half)
    found = attempt(night, inputs(night, Task.INTERESTS, 100), night.serving.with_prompt(stored(half, tuned(half))))
    assert {target.claim for turn in found.values() for target, _ in turn.rows} == {"sundries"}
    assert {refused.gate for turn in found.values() for refused, _ in turn.refusals} == {"duplicate"}
    assert all(len(turn.rows) == 1 for turn in found.values())
    assert not half.rows(Rejection)


def test_a_prompt_that_updates_is_tried_on_a_memory_that_it_updates(half: Any) -> None:
    half.configure(tuning={"held_out": 0.5}, interests={"strategy": "read"})
    seen: list[str] = []

    def read(body: Body) -> Any:
        seen.append(task(body))
        return json.dumps({"interests": []} if task(body) == "interests_read" else {"operations": []})

    half.server.answer = read
    night = night_of(half)
    given = inputs(night, Task.INTERESTS, 100, prompt="interests_update")
    found = attempt(night, given)
    assert set(seen) == {"interests_read", "interests_update"}
    assert {reply.request.task for turn in found.values() for reply in turn.replies} <= {
        "interests_update",
        "interests_read",
    }
    assert seen.count("interests_update") == sum(
        reply.request.task == "interests_update" for turn in found.values() for reply in turn.replies
    )
    assert not half.rows(Memory)
    assert not half.rows(Unit)
    seen.clear()
    attempt(night, inputs(night, Task.INTERESTS, 100, prompt="interests_read"))
    assert set(seen) <= {"interests_read"}


def test_nothing_to_try_on_says_what_to_do(project: Any) -> None:
    night = night_of(project)
    with pytest.raises(DataError, match="recgpt interests"):
        inputs(night, Task.TAGS, 10)
    with pytest.raises(DataError, match="recgpt score"):
        inputs(night, Task.EXPLANATIONS, 10)
    project.configure(tuning={"held_out": 0.0001})
    with pytest.raises(DataError, match=r"raise tuning\.held_out"):
        inputs(night_of(project), Task.INTERESTS, 10)


def turn(*rows: dict[str, Verdict], refused: int = 0) -> Turn:
    made = [(Target(Task.INTERESTS, number, "given", "claim"), row) for number, row in enumerate(rows)]
    return Turn(made, [(Refused("name", "x"), None)] * refused)


GOOD, BAD, HALF = (
    {"grounded": YES, "specific": YES},
    {"grounded": NO, "specific": NO},
    {"grounded": YES, "specific": NO},
)


def test_a_share_is_of_the_rows_and_all_is_without_a_defect() -> None:
    found = values(
        {"u1": turn(GOOD, HALF), "u2": turn(), "u4": turn({"grounded": YES})}, {}, ["u1", "u2", "u3", "u4"], CRITERIA
    )
    np.testing.assert_array_equal(found["grounded"], [1.0, 0.0, np.nan, 1.0])
    np.testing.assert_array_equal(found["specific"], [0.5, 0.0, np.nan, np.nan])
    np.testing.assert_array_equal(found["all"], [0.5, 0.0, np.nan, np.nan])  # of a half-judged row nothing is known
    assert share(turn({"grounded": NO}), None, "all", CRITERIA) == 0.0  # but that one defect is enough


def test_what_is_left_out_and_the_other_gets_right_is_missing() -> None:
    few, many = turn(GOOD), turn(GOOD, GOOD, GOOD, BAD)
    assert share(few, many, "all", CRITERIA) == pytest.approx(1 / 3)
    assert share(many, few, "all", CRITERIA) == pytest.approx(3 / 4)
    assert share(few, turn(GOOD, BAD, BAD), "all", CRITERIA) == 1.0  # what is better left out costs nothing
    assert share(turn(GOOD, {}), many, "all", CRITERIA) == pytest.approx(1 / 2)  # one of them is unknown, not missing
    assert share(turn(), many, "all", CRITERIA) == 0.0
    assert share(turn(GOOD), None, "all", CRITERIA, failed=3) == 0.25
