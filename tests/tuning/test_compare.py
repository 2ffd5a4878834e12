"""A version beside the one that serves: what wins, what does not, and whose word is taken."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_server import status
from scripted import Body, claim, instead, task, verdict
from sqlalchemy.orm import Session
from versions import JUDGE, by_category, system, told_better, trust, tuned

import prompts
from judges import load_criteria
from recgpt.errors import ConfigError, DataError, EngineError
from recgpt.labels.panel import panel_id
from recgpt.sources.prepare import prepare
from recgpt.stages.night import Night
from recgpt.store.tables import Explanation, Interest, Label, ModelVersion, PromptVersion, now
from recgpt.tuning.compare import Comparison, Rules, evaluate
from recgpt.tuning.promote import find, promote
from recgpt.tuning.split import held_out, key_of
from recgpt.words import Task

FIXED = "sha256:" + "c4" * 32


@pytest.fixture
def naming(project: Any) -> Any:
    """The packaged prompt names everything "sundries", which no judge accepts; one that is told BETTER names well."""
    configure(project)

    project.server.answer = instead(told_better)
    trust(project)
    return project


def configure(project: Any, **sections: Any) -> None:
    rules = {"min_items": 2, "min_days": 2, "min_span_days": 7}
    project.configure(tuning={"held_out": 0.6}, interests=rules, **sections)


def measure(project: Any, version: str, **rules: Any) -> Comparison:
    night = Night(project.config, project.store, prepare(project.config), project.night)
    return asyncio.run(evaluate(night, find(project.store, version), Rules(**rules)))


def test_one_that_names_better_is_promoted_and_a_copy_is_not(naming: Any) -> None:
    better, copy = tuned(naming), tuned(naming, said="Name it.")
    found = measure(naming, better)
    assert found.decision.promoted
    assert found.decision.differences["all"].mean == 1.0
    assert (found.against, found.judge, found.untrusted) == (None, JUDGE, "")
    assert found.rows["new"] >= found.rows["old"] == found.users <= found.of
    assert set(found.decision.differences) == {one.name for one in load_criteria(Task.INTERESTS)} | {"all"}
    same = measure(naming, copy)
    assert not same.decision.promoted
    assert same.decision.differences["all"].mean == 0.0
    with pytest.raises(DataError, match="the gate did not pass it"):
        promote(naming.store, copy)
    assert promote(naming.store, better).reason == found.decision.why


def test_what_came_of_it_is_kept_with_the_version(naming: Any) -> None:
    version = tuned(naming, result={"tuning": {"validation": 0.5}})
    found = measure(naming, version)
    (row,) = naming.rows(PromptVersion, PromptVersion.version == version)
    assert row.result == {"tuning": {"validation": 0.5}, "gate": json.loads(json.dumps(found.as_dict()))}
    assert {"promoted", "aim", "why", "against", "judge", "untrusted", "users", "of", "rows", "at"} < set(
        row.result["gate"]
    )


def test_the_same_again_asks_nothing(naming: Any, asked: Callable[[], int]) -> None:
    version = tuned(naming)
    first = measure(naming, version)
    assert asked() > 0
    assert measure(naming, version).decision == first.decision
    assert asked() == 0
    assert not naming.rows(Label)
    assert not naming.rows(Interest)


def test_it_is_held_against_what_serves_now(naming: Any) -> None:
    first, second = tuned(naming), tuned(naming, said="Name it BETTER still.")
    measure(naming, first)
    promote(naming.store, first)
    found = measure(naming, second)
    assert found.against == first
    assert not found.decision.promoted  # it is no better than that
    assert found.decision.differences["all"].mean == 0.0


def test_a_judge_that_is_not_trusted_decides_nothing_unless_forced(naming: Any) -> None:
    version = tuned(naming)
    trust(naming, kappa=0.1)
    with pytest.raises(DataError, match=r"kappa is 0\.10 over 100 cases"):
        measure(naming, version)
    assert find(naming.store, version).gate is None
    found = measure(naming, version, force=True)
    assert found.decision.promoted
    assert "kappa is 0.10" in found.untrusted
    with pytest.raises(DataError, match="not trusted"):
        promote(naming.store, version)
    assert promote(naming.store, version, force=True).forced


def test_a_passport_of_other_criteria_is_none(naming: Any) -> None:
    version = tuned(naming)
    trust(naming, "interests", criteria=["grounded"])
    with pytest.raises(DataError, match="says nothing of reasonable, specific, willing"):
        measure(naming, version)


def test_the_aim_is_a_criterion_and_the_margin_is_the_callers(naming: Any) -> None:
    version = tuned(naming)
    assert measure(naming, version, aim="specific").decision.aim == "specific"
    with pytest.raises(ConfigError, match="'pretty' is no criterion"):
        measure(naming, version, aim="pretty")
    assert measure(naming, version, users=2).of == 2


def asks(body: Body, criterion: str) -> bool:
    (one,) = load_criteria(Task.INTERESTS, [criterion])
    return task(body) == Task.INTERESTS and one.question in system(body)


def test_a_fall_beyond_the_margin_holds_back_and_a_wider_margin_lets_through(naming: Any) -> None:
    """What was one bad name has become many good ones that are not specific."""
    version, usual = tuned(naming), naming.server.answer

    def script(body: Body) -> Any:
        if asks(body, "specific"):
            return verdict(body, "yes" if claim(body) == "sundries" else "no")
        return usual(body)

    naming.server.answer = script
    found = measure(naming, version, aim="grounded")
    assert not found.decision.promoted
    assert "specific falls by more than 0.03" in found.decision.why
    assert measure(naming, version, aim="grounded", margin=1.0).decision.promoted
    configure(naming, **{"tuning.gate.margins.interests": {"specific": 1.0, "willing": 0.5}})
    found = measure(naming, version, aim="grounded")
    assert found.decision.promoted
    assert found.as_dict()["margins"] == {"all": 0.03, "reasonable": 0.03, "specific": 1.0, "willing": 0.5}
    configure(naming, **{"tuning.gate.margins.interests": {"pretty": 0.5}})
    with pytest.raises(ConfigError, match=r"\[tuning\.gate\.margins\.interests\]: pretty is no criterion"):
        measure(naming, version, aim="grounded")


def test_a_prompt_that_is_not_in_use_is_not_measured(naming: Any) -> None:
    version = tuned(naming, name="tags_single")
    with pytest.raises(ConfigError, match="tags_single is not asked as the project is configured, interest_tags is"):
        measure(naming, version)


def test_a_judges_adapter_is_measured_against_people(naming: Any) -> None:
    adapter(naming, "judge.tags")
    with pytest.raises(DataError, match="recgpt judge label tags"):
        measure(naming, FIXED)


def adapter(project: Any, of: str) -> None:
    row = {"kind": "adapter", "name": "recgpt-c4", "path": "adapters/c4", "trained_until": now()}
    with Session(project.store) as session:
        session.add(ModelVersion(version=FIXED, result={"task": of}, **row))
        session.commit()


def test_an_adapter_answers_its_task_while_the_judge_stays_the_model_that_serves(naming: Any, tmp_path: Path) -> None:
    adapter(naming, "interests")
    naming.server.adapters = {}
    usual = naming.server.answer

    def script(body: Body) -> Any:
        if body["model"] == "recgpt-c4":
            assert task(body) == "interest_name"
            return by_category(body)
        return usual(body)

    naming.server.answer = script
    found = measure(naming, FIXED)
    assert found.decision.promoted
    assert found.judge == JUDGE
    assert set(naming.server.adapters) == {"recgpt-c4"}


def test_a_panel_decides_together(naming: Any) -> None:
    """Two of three say no to everything, so nothing has won."""
    naming.server.models += ["stern", "severe"]
    panel = [
        {"form": "verdict"},
        *({"model": name, "revision": "1", "base_url": naming.server.base_url} for name in ("stern", "severe")),
    ]
    text = ", ".join("{" + ", ".join(f'{key} = "{value}"' for key, value in one.items()) + "}" for one in panel)
    file = naming.folder / "recgpt.toml"
    file.write_text(file.read_text("utf-8").replace("[judge]\n", f"[judge]\npanel = [{text}]\n"), "utf-8")
    usual = naming.server.answer
    said: dict[str, str] = {}

    def script(body: Body) -> Any:
        return verdict(body, said.get(body["model"], "no")) if body["model"] != "fake-model" else usual(body)

    naming.server.answer = script
    name = panel_id([JUDGE, "stern@1", "severe@1"], "majority")
    trust(naming, judge=name)
    version = tuned(naming)
    found = measure(naming, version)
    assert (found.judge, found.decision.promoted) == (name, False)
    assert found.decision.differences["all"].mean == 0.0
    assert not measure(naming, version).decision.promoted
    with Session(naming.store) as session:
        assert session.query(Label).count() == 0


def test_an_engine_that_goes_away_leaves_no_result(naming: Any) -> None:
    version, usual = tuned(naming), naming.server.answer
    naming.server.answer = lambda body: status(503) if task(body) == "interests" else usual(body)
    with pytest.raises(EngineError):
        measure(naming, version)
    assert find(naming.store, version).gate is None
    naming.server.answer = usual
    assert measure(naming, version).decision.promoted


def test_explanations_are_compared_by_the_interests_name(naming: Any) -> None:
    def script(body: Body) -> Any:
        if task(body) == "explanation_short" and "BETTER" not in system(body):
            return None
        if task(body) == "explanation_short":
            return json.dumps({"explanation": "Keeps going on days when the weather turns and nobody else is about."})
        if task(body) == "explanations":
            return verdict(body, "yes" if "nobody" in claim(body) else "no")
        return by_category(body)

    naming.server.answer = instead(script)
    configure(naming, explain={"top": 20})
    naming.run()
    version = tuned(naming, name="explanation_short", said="Be BETTER.")
    found = measure(naming, version)
    assert found.decision.promoted
    assert found.users == len(held_names(naming))
    assert prompts.load("explanation_short").version != version


def held_names(project: Any) -> set[str]:
    names = {key_of(None, row.interest) for row in project.rows(Explanation)}
    return {name for name in names if held_out(name, project.config.tuning)}
