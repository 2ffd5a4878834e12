"""The truth that the tuning loop is held against, and the rules by which its prompts are written."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scripted import instead
from versions import told_better

import prompts
from judges import Criterion, load_criteria
from recgpt.config import load
from recgpt.engine.requests import Reply, resolve
from recgpt.errors import DataError
from recgpt.labels.targets import Target
from recgpt.sources.demo import make_shop
from recgpt.sources.prepare import prepare
from recgpt.stages.night import Night
from recgpt.stopping import Stopping
from recgpt.store.session import open_store
from recgpt.store.tables import Promotion
from recgpt.tuning import reflection
from recgpt.words import Outcome, Task

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
NIGHT = date(2026, 9, 15)


@pytest.fixture(scope="module")
def loop() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import tuning_loop

        yield tuning_loop


@pytest.mark.parametrize("name", ["interest_name", "interest_tags", "explanation_short"])
def test_every_rule_writes_a_prompt(loop: ModuleType, name: str) -> None:
    import rule_reflector

    prompt = prompts.load(name)
    made = set()
    for seed in range(24):
        request = resolve(
            task="reflection", prompt_version="", model="m", revision="r", messages=[], seed=seed, max_tokens=1,
            schema=reflection.schema(prompt),
        )  # fmt: skip
        said = rule_reflector.answer(json.loads(request.body))
        made.add(reflection.written(prompt, prompt, Reply(request, Outcome.OK, said), "nothing").version)
    assert len(made) >= 6
    assert prompt.version not in made


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    folder = tmp_path_factory.mktemp("loop")
    make_shop(folder, users=12, seed=3, until=NIGHT)
    (folder / "recgpt.toml").write_text("", encoding="utf-8")
    config = load(folder)
    return Night(config, open_store(config), prepare(config), NIGHT)


def test_the_truth_tells_right_from_wrong(loop: ModuleType, night: Night) -> None:
    truth: Any = loop.Truth(night)
    user, mine = next(iter(sorted(truth.true.items())))
    own = sorted(path.split(" > ")[-1].lower() for path in mine)
    other = next(one.lower() for one in sorted(truth.leaves) if one.lower() not in own)
    given = f"- {own[0]}: some thing\n- {own[0]}: another\n- {other}: a third"
    assert truth.right(Target(Task.INTERESTS, 1, given, own[0], user))
    assert not truth.right(Target(Task.INTERESTS, 1, given, other, user))
    assert not truth.right(Target(Task.INTERESTS, 1, given.replace(own[0], other), other, user))
    truth.of_name["tea time"] = "Tea"
    assert truth.right(Target(Task.TAGS, 1, "tea time", "glass teapot", user, "tea time"))
    assert not truth.right(Target(Task.TAGS, 1, "tea time", "yoga mat bag", user, "tea time"))
    kind = next(name for name, leaf in sorted(truth.of_product.items()) if leaf == "Aquariums")
    line = f"For fish: a {kind} that "
    given = f"Interest: fish\nProduct: {kind}"
    keeps = Target(
        Task.EXPLANATIONS, 1, given, line + "keeps the water of the tank clear for the plants.", None, "fish"
    )
    runs = Target(Task.EXPLANATIONS, 1, given, line + "makes your bread rise in the oven.", None, "fish")
    assert (truth.right(keeps), truth.right(runs)) == (True, False)


def test_the_judge_of_rules_answers_as_judges_do_and_errs_in_a_tenth(
    loop: ModuleType, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rule_judge

    truth: Any = loop.Truth(night)
    pairs = [
        (Task.INTERESTS, "- tea: glass teapot\n- tea: green tea\n- yoga: mat", "tea", "yoga"),
        (Task.TAGS, "tea drinking", "glass teapot", "yoga mat bag"),
        (Task.EXPLANATIONS, "Interest: tea\nProduct: glass teapot", "For tea: a pot that brews a quiet cup of leaves.",
         "For tea: a pot that keeps the water of the tank clear for your fish."),
    ]  # fmt: skip
    monkeypatch.setattr(rule_judge, "ERRS", 0.0)
    for task, given, fits, strays in pairs:
        (criterion,) = load_criteria(task, loop.JUDGED[task])
        for claim, yes in ((fits, True), (strays, False)):
            said = asked(rule_judge, truth, criterion, given, claim)
            assert (said.verdict, round(said.p_yes, 6), said.evidence) == (yes, 0.9 if yes else 0.1, claim)
    monkeypatch.undo()
    task, given, fits, _ = pairs[1]
    (criterion,) = load_criteria(task, loop.JUDGED[task])
    monkeypatch.setattr(truth, "category_of_tag", lambda tag: truth.category_named(given))
    wrong = sum(not asked(rule_judge, truth, criterion, given, f"{fits} {number}").verdict for number in range(400))
    assert 20 <= wrong <= 60


def asked(rule_judge: ModuleType, truth: Any, criterion: Criterion, given: str, claim: str) -> Any:
    answer = rule_judge.answer(truth, {"messages": criterion.messages(given=given, claim=claim)})
    return criterion.read(answer.content, answer.logprobs, given=given, claim=claim)


def test_a_step_that_the_gate_passes_serves_and_is_held_against_the_truth(
    loop: ModuleType, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a prompt that is told BETTER names anything; there is nothing to train an adapter on."""

    def nothing(*_: Any) -> None:
        raise DataError("nothing to learn from")

    project.server.answer = instead(told_better)
    monkeypatch.setattr(loop, "tune_model", nothing)
    project.configure(
        tuning={"held_out": 0.5},
        interests={"min_items": 2, "min_days": 2, "min_span_days": 7},
        **{"tuning.prompts": {"train": 3, "validation": 3, "minibatch": 2, "rounds": 1}},
    )
    night = Night(project.config, project.store, prepare(project.config), project.night)
    figures = {one.name: one for one in loop.Loop(night, Stopping(), Task.INTERESTS, loop.QUICK).run()}
    said = {name: one.value for name, one in figures.items()}
    assert said["interests, before: truth"] == 0.0
    assert said["interests, prompts: promoted"] == 1.0
    assert said["interests, prompts: truth, less what served"] == said["interests, at the end: truth"] > 0.0
    assert said["interests, prompts: judge, less what served"] == 1.0
    assert said["interests, at the end: truth, less twice that before"] == said["interests, at the end: truth"]
    assert (said["interests, sft: a version"], said["interests, dpo: a version"]) == (0, 0)
    assert all(one.ok for one in figures.values())
    (row,) = project.rows(Promotion)
    assert (row.task, row.forced) == ("interest_name", True)
