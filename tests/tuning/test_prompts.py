"""Prompts that evolve: what is learnt from whom, what comes of it, what it costs, and that a kill changes nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_server import status
from scripted import Body, claim, instead, last, task, verdict
from versions import by_category, system, trust

import prompts
from recgpt.errors import BudgetSpent, ConfigError, DataError, EngineError
from recgpt.sources.prepare import prepare
from recgpt.stages.night import Night
from recgpt.stopping import Stopping
from recgpt.store.tables import Interest, Promotion, PromptVersion, TuningRun
from recgpt.tuning import evolution
from recgpt.tuning.compare import Rules
from recgpt.tuning.promote import find
from recgpt.tuning.prompts import Tuned, tune
from recgpt.tuning.split import held_out
from recgpt.words import RunState, Task

PACKAGED = prompts.load("interest_name")
BETTER = "Name it BETTER, by what all the products are for."
ROUNDS = {"train": 4, "validation": 4, "minibatch": 2, "rounds": 3}


@pytest.fixture
def naming(project: Any) -> Any:
    """Only a prompt that is told BETTER names anything that a judge accepts, and whoever reflects knows it."""
    configure(project)
    project.server.answer = instead(script)
    trust(project)
    return project


def configure(project: Any, **rules: Any) -> None:
    project.configure(
        tuning={"held_out": 0.4},
        interests={"min_items": 2, "min_days": 2, "min_span_days": 7},
        **{"tuning.prompts": {**ROUNDS, **rules}},
    )


def script(body: Body) -> Any:
    if task(body) == "reflection":
        return reflected(BETTER)
    if task(body) == "interest_name" and "BETTER" not in system(body):
        return json.dumps({"interest": "sundries"})
    if task(body) == "interests" and claim(body) == "sundries":
        return verdict(body, "no")
    return by_category(body)


def reflected(text: str) -> str:
    return json.dumps({"findings": "All are called sundries.", "system": text, "examples": []})


def evolve(project: Any, what: Task = Task.INTERESTS, force: bool = False, **options: Any) -> Tuned:
    night = Night(project.config, project.store, prepare(project.config), project.night)
    return tune(night, what, Stopping(), Rules(force=force), **options)


def reflections(project: Any) -> list[Body]:
    return [body for body in project.server.requests if task(body) == "reflection"]


def test_a_better_prompt_is_found_kept_and_measured(naming: Any) -> None:
    found = evolve(naming)
    assert found.version is not None
    assert found.file is not None
    made = prompts.parse("interest_name", Path(found.file).read_text("utf-8"))
    assert (made.version, made.parts[0], made.parts[1:]) == (found.version, ("system", BETTER), PACKAGED.parts[1:])
    assert (found.parent, found.passing) == (PACKAGED.version, {"parent": 0.0, "best": 1.0})
    assert f"+{BETTER}" in found.diff
    assert f"-{PACKAGED.parts[0][1]}" in found.diff
    assert found.gate is not None
    assert found.gate["promoted"]
    assert found.gate["differences"]["all"]["mean"] == 1.0
    (row,) = naming.rows(PromptVersion, PromptVersion.version == found.version)
    assert (row.parent, row.text, row.result["gate"]) == (PACKAGED.version, made.text, found.gate)
    assert row.result["tuning"]["passing"] == found.passing
    assert find(naming.store, found.version).gate == found.gate
    (record,) = naming.rows(TuningRun)
    assert (record.kind, record.task, record.state, record.version) == (
        "prompts", "interest_name", RunState.DONE, found.version,
    )  # fmt: skip
    assert not naming.rows(Promotion)  # it serves when it is promoted
    assert not naming.rows(Interest)


def test_the_reflection_is_told_what_was_wrong(naming: Any) -> None:
    evolve(naming)
    first = last(reflections(naming)[0])
    assert PACKAGED.parts[0][1] in first
    assert "Judged: sundries (for: " in first
    assert 'fails grounded ("sundries")' in first
    assert "Refused before it was judged, duplicate" in first
    assert "Asked:\n- " in first
    assert reflections(naming)[0]["temperature"] == naming.config.tuning.prompts.temperature


def test_held_out_users_are_seen_by_nothing_but_the_last_measure(naming: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = evolution.turns

    async def watched(night: Any, given: Any, *others: Any) -> Any:
        seen.extend(given.keys)
        return await real(night, given, *others)

    monkeypatch.setattr("recgpt.tuning.evolution.turns", watched)
    found = evolve(naming)
    assert seen
    assert not any(held_out(key, naming.config.tuning) for key in seen)
    assert found.users["train"] + found.users["validation"] == len(set(seen))
    assert found.gate is not None
    users = list(prepare(naming.config).user_ids())
    assert found.gate["of"] == sum(held_out(user, naming.config.tuning) for user in users)


def test_nothing_better_leaves_no_version(naming: Any) -> None:
    naming.server.answer = instead(
        lambda body: reflected("Name it somehow.") if task(body) == "reflection" else script(body)
    )
    found = evolve(naming)
    assert (found.version, found.gate, found.diff) == (None, None, "")
    assert found.unmeasured == "nothing better was found"
    assert not list(naming.config.work_folder.glob("prompts/*"))
    assert [row for row in naming.rows(PromptVersion) if row.parent] == []


def test_an_answer_that_makes_no_prompt_is_asked_for_again_with_the_reason(naming: Any) -> None:
    def stubborn(body: Body) -> Any:
        if task(body) == "reflection" and "begins with ##" not in last(body):
            return reflected("## system\nSay it BETTER, with a heading.")
        return script(body)

    naming.server.answer = instead(stubborn)
    assert evolve(naming).passing["best"] == 1.0
    refused = [last(body).rpartition("<refused>")[2] for body in reflections(naming)]
    assert refused[0].strip() == "</refused>"
    assert "a line of the system text begins with ##" in refused[1]


def test_a_judge_below_the_bar_is_not_listened_to_unless_forced(naming: Any) -> None:
    trust(naming, kappa=0.1)
    with pytest.raises(DataError, match=r"kappa is 0\.10"):
        evolve(naming)
    assert reflections(naming) == []
    (record,) = naming.rows(TuningRun)
    assert record.state == RunState.FAILED
    found = evolve(naming, force=True)
    assert "kappa is 0.10" in found.untrusted
    assert found.gate is not None
    assert "kappa is 0.10" in found.gate["untrusted"]


def test_the_budget_ends_the_search_and_more_of_it_goes_on(naming: Any) -> None:
    whole = evolve(naming)
    naming.server.requests.clear()
    shutil.rmtree(naming.config.work_folder / "prompts")
    dispose(naming)
    with pytest.raises(BudgetSpent):
        evolve(naming, max_tokens=500)
    first = evolve(naming, max_tokens=whole.tokens // 3)
    assert first.stopped
    assert first.version is None  # what it had was kept back for the held-out users
    assert first.tokens <= whole.tokens // 3
    asked = [tokens_of_body(body) for body in naming.server.requests]
    assert sum(asked) <= whole.tokens // 3 + naming.config.engine.in_flight * max(asked)
    spent = len(naming.server.requests)
    again = evolve(naming, max_tokens=whole.tokens // 3)
    assert (again.tokens, again.rounds, again.version) == (first.tokens, first.rounds, None)
    assert len(naming.server.requests) == spent  # the same budget buys the same
    assert evolve(naming, max_tokens=20 * whole.tokens).version == whole.version


def tokens_of_body(body: Body) -> int:
    return sum(len(message["content"]) for message in body["messages"]) // 4


def dispose(project: Any) -> None:
    """A store as it was before anything was asked."""
    for file in project.config.work_folder.glob("recgpt.sqlite*"):
        file.unlink()
    trust(project)


def test_a_model_that_is_not_there_ends_it_and_it_goes_on(naming: Any) -> None:
    naming.server.answer = instead(lambda body: status(503) if task(body) == "reflection" else script(body))
    with pytest.raises(EngineError, match="reflects gave no answer"):
        evolve(naming)
    naming.server.answer = instead(script)
    assert evolve(naming).passing["best"] == 1.0
    assert [row.state for row in naming.rows(TuningRun)] == [RunState.FAILED, RunState.DONE]


def test_another_model_may_reflect(naming: Any) -> None:
    naming.server.models.append("thinker")
    naming.configure(
        tuning={"held_out": 0.4},
        interests={"min_items": 2, "min_days": 2, "min_span_days": 7},
        **{"tuning.prompts": ROUNDS, "tuning.prompts.reflection": {"model": "thinker", "revision": "2"}},
    )
    assert evolve(naming).passing["best"] == 1.0
    assert {body["model"] for body in reflections(naming)} == {"thinker"}
    assert {body["model"] for body in naming.server.requests} == {"thinker", "fake-model"}


def test_only_a_prompt_of_the_task_s_is_tuned(naming: Any) -> None:
    with pytest.raises(
        ConfigError, match="not asked by 'tags_single' as the project is configured, but by interest_name"
    ):
        evolve(naming, name="tags_single")


def test_one_user_is_too_few(naming: Any) -> None:
    naming.configure(tuning={"held_out": 0.95})
    with pytest.raises(DataError, match=r"lower tuning\.held_out"):
        evolve(naming)


COMMAND = "from cli.app import main; main()"


@pytest.mark.timeout(900)
def test_killed_it_goes_on_to_the_same_prompt(naming: Any, tmp_path: Path) -> None:
    """kill -9 with the server in the middle of an answer to the second reflection's users; then the same command."""
    configure(naming, rounds=4)
    other = tmp_path / "undisturbed"
    shutil.copytree(naming.folder, other, symlinks=True)

    def improving(body: Body) -> Any:
        """Each reflection names a little better: by more of the categories."""
        if task(body) == "reflection":
            level = last(body).partition("LEVEL ")[2][:1] or "0"
            return reflected(f"LEVEL {int(level) + 1}: name it by what the products are for.")
        if task(body) == "interest_name":
            level = int(system(body).partition("LEVEL ")[2][:1] or 0)
            name = json.loads(by_category(body) or "{}")["interest"]
            return json.dumps({"interest": name if ord(name[0]) < ord("a") + 5 * level else "sundries"})
        return script(body)

    seen = 0

    def killing(body: Body) -> Any:
        nonlocal seen
        if "LEVEL 1" in system(body):
            seen += 1
            if seen == 5:  # the process itself: of the children of this one only it asks
                os.kill(child.pid, signal.SIGKILL)
        return improving(body)

    naming.server.answer = instead(killing)
    command = ["tune", "prompts", "interests", "-c", str(naming.folder), "--date", "2026-10-31", "--json"]
    child = subprocess.Popen([sys.executable, "-c", COMMAND, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.wait() == -signal.SIGKILL, child.communicate()
    naming.server.answer = instead(improving)
    before = len(naming.server.requests)
    first = evolve(naming).as_dict()
    assert [row.state for row in naming.rows(TuningRun)] == [RunState.FAILED, RunState.DONE]
    resumed = len(naming.server.requests) - before
    naming.folder = other
    second = evolve(naming).as_dict()
    undisturbed = len(naming.server.requests) - before - resumed
    assert first["version"] == second["version"] is not None
    same = ("parent", "diff", "passing", "rounds", "tried", "tokens", "failures")
    assert {name: first[name] for name in same} == {name: second[name] for name in same}
    assert {**first["gate"], "at": 0} == {**second["gate"], "at": 0}
    assert first["tried"] > 2  # one prompt after the other
    assert resumed < undisturbed  # what was answered before the kill was not asked again
