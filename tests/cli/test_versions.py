"""`tune evaluate`, `tune list`, `promote`, `rollback` as they are called: exit code, tables, JSON, and the lock."""

import json
from typing import Any

import pytest
from command import Recgpt
from scripted import instead, task
from versions import told_better, trust, tuned

import prompts
from recgpt.serving import serving
from recgpt.store.lock import alone
from recgpt.store.tables import Promotion
from recgpt.words import Stage


@pytest.fixture
def naming(project: Any) -> Any:
    """Only a prompt that is told BETTER names anything that a judge accepts."""
    project.configure(
        tuning={"held_out": 0.6}, interests={"min_items": 2, "min_days": 2, "min_span_days": 7},
    )  # fmt: skip

    project.server.answer = instead(told_better)
    trust(project)
    return project


def test_evaluate_then_promote_then_the_night_uses_it_then_rollback(naming: Any, recgpt: Recgpt) -> None:
    version = tuned(naming)
    short = version.removeprefix("sha256:")[:12]
    night = ("--date", str(naming.night))
    done = recgpt("tune", "evaluate", short, *night)
    assert done.code == 0, done.err
    assert f"{short} beside what is packaged, judged by fake-model@r1" in done.out
    assert "all (aim)" in done.out
    assert "Passed: all rises: +100.0 points (+100.0 to +100.0)" in done.out
    found = json.loads(recgpt("tune", "evaluate", version, *night, "--json").out)
    assert (found["version"], found["promoted"], found["against"], found["task"]) == (
        version,
        True,
        None,
        "interest_name",
    )
    assert found["differences"]["grounded"]["mean"] == 1.0
    assert "interest_name is served by " + short in recgpt("promote", short).out
    naming.run(Stage.INTERESTS)
    asked = {body["messages"][0]["content"] for body in naming.server.requests if task(body) == "interest_name"}
    assert any("BETTER" in text for text in asked)
    listed = json.loads(recgpt("tune", "list", "--json").out)
    assert [(one["version"], one["serves"], one["parent"]) for one in listed] == [
        (version, True, prompts.load("interest_name").version)
    ]
    back = json.loads(recgpt("rollback", "interest_name", "--json").out)
    assert (back["version"], back["previous"]) == (None, version)
    assert not json.loads(recgpt("tune", "list", "--json").out)[0]["serves"]
    assert serving(naming.store, naming.config).prompts == {}


def test_one_that_does_not_win_is_held_back_and_forced_with_a_word_of_it(naming: Any, recgpt: Recgpt) -> None:
    version = tuned(naming, said="Name it.")
    done = recgpt("tune", "evaluate", version, "--date", str(naming.night))
    assert (done.code, "Held back: all is not shown to rise: +0.0 points" in done.out) == (0, True)
    done = recgpt("promote", version)
    assert (done.code, done.out) == (1, "")
    assert "or say --force" in done.err
    done = recgpt("promote", version, "--force")
    assert done.code == 0
    assert "forced: the gate did not pass it" in done.out
    assert "held back: all is not shown to rise" in " ".join(recgpt("tune", "list").out.split())


def test_wrong_calls_say_what_is_right(naming: Any, recgpt: Recgpt) -> None:
    version = tuned(naming)
    done = recgpt("tune", "evaluate", "0123456")
    assert (done.code, "'recgpt tune list' shows them" in done.err) == (1, True)
    done = recgpt("tune", "evaluate", version, "--aim", "pretty")
    assert (done.code, "grounded" in done.err) == (2, True)
    assert recgpt("tune", "evaluate", version, "--margin", "3").code == 2
    done = recgpt("rollback", "interest_name")
    assert (done.code, "as packaged" in done.err) == (1, True)
    assert "Nothing has been tuned" not in recgpt("tune", "list").out


def test_an_untrusted_judge_is_said(naming: Any, recgpt: Recgpt) -> None:
    version, night = tuned(naming), ("--date", str(naming.night))
    trust(naming, specificity=0.2)
    done = recgpt("tune", "evaluate", version, *night)
    assert (done.code, "its specificity is 0.20" in done.err, "--force" in done.err) == (1, True, True)
    assert (
        "The judge is not trusted: its specificity is 0.20"
        in recgpt("tune", "evaluate", version, *night, "--force").out
    )


def test_each_that_writes_waits_for_the_lock(naming: Any, recgpt: Recgpt) -> None:
    version = tuned(naming)
    with alone(naming.store, "recgpt nightly"):
        for command in (("tune", "evaluate", version), ("promote", version, "--force"), ("rollback", "interest_name")):
            done = recgpt(*command)
            assert (done.code, "in use by 'recgpt nightly'" in done.err) == (1, True), command
        assert recgpt("tune", "list").code == 0
    assert not naming.rows(Promotion)


def test_a_project_without_a_version_says_so(project: Any, recgpt: Recgpt) -> None:
    assert project.rows(Promotion) == []
    assert "Nothing has been tuned" in recgpt("tune", "list").out
