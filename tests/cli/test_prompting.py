"""`tune prompts` as it is called: what it prints, and what it refuses."""

import json
from typing import Any

import pytest
from command import Recgpt
from scripted import instead
from versions import told_better, trust

from recgpt.store.lock import alone
from recgpt.store.tables import PromptVersion


@pytest.fixture
def recgpt(project: Any, command: Recgpt) -> Recgpt:
    """`recgpt tune prompts ARGUMENT ...` on the project, on its night."""
    where = ("-c", str(project.folder), "--date", str(project.night))
    return lambda *arguments: command("tune", "prompts", *arguments, *where)


@pytest.fixture
def naming(project: Any) -> Any:
    """Only a prompt that is told BETTER names anything that a judge accepts."""
    project.configure(
        tuning={"held_out": 0.4},
        interests={"min_items": 2, "min_days": 2, "min_span_days": 7},
        **{"tuning.prompts": {"train": 3, "validation": 3, "minibatch": 2, "rounds": 1}},
    )

    project.server.answer = instead(told_better)
    trust(project)
    return project


def test_it_shows_what_was_wrong_what_changed_and_what_the_gate_says(naming: Any, recgpt: Recgpt) -> None:
    done = recgpt("interests")
    assert done.code == 0, done.err
    (row,) = naming.rows(PromptVersion, PromptVersion.parent.is_not(None))
    short = row.version.removeprefix("sha256:")[:12]
    said = " ".join(done.out.split())
    assert "interest_name: 1 reflections, 1 prompts tried on all 3 validation users" in said
    assert "gate duplicate" in said
    assert "+Name it BETTER, please." in done.out
    assert "validation users' rows: 0.0 % before, 100.0 % now" in said
    assert f"{short}, whose parent is" in said
    assert f"Passed: all rises: +100.0 points (+100.0 to +100.0), over {row.result['gate']['users']} users." in said
    assert f"'recgpt promote {short}'" in said
    again = json.loads(recgpt("interests", "--json").out)
    assert (again["version"], again["gate"]["promoted"], again["unmeasured"]) == (row.version, True, "")
    assert naming.config.work_folder.joinpath("prompts", f"interest_name-{short}.md").read_text("utf-8") == row.text


def test_what_it_refuses(naming: Any, recgpt: Recgpt) -> None:
    assert recgpt("shoes").code == 2
    done = recgpt("interests", "--prompt", "tags_single")
    assert (done.code, "but by interest_name" in done.err) == (2, True)
    done = recgpt("tags")
    assert (done.code, "'recgpt interests' makes them" in done.err) == (1, True)
    done = recgpt("interests", "--max-tokens", "300")
    assert (done.code, "the 300 tokens that there were for it are spent" in done.err) == (3, True)
    trust(naming, specificity=0.1)
    done = recgpt("interests")
    assert (done.code, "its specificity is 0.10" in done.err, "--force" in done.err) == (1, True, True)
    with alone(naming.store, "recgpt nightly"):
        assert "in use by 'recgpt nightly'" in recgpt("interests").err
