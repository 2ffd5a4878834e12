"""`recgpt evaluate`, in this process: what it prints for people and for programs."""

import json
from datetime import date
from typing import Any

import pytest
from remembered import Memory
from typer.testing import CliRunner

from cli.app import app

DAY = date(2026, 10, 1)  # the shop's events go on to the end of the month


@pytest.fixture
def memory(project: Any) -> Memory:
    memory = Memory(project)
    memory.run(DAY)
    return memory


def evaluate(memory: Memory, *arguments: str) -> str:
    command = ["evaluate", "tags", "--config", str(memory.project.folder), "--date", str(DAY), *arguments]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_json_holds_every_rate_with_its_users(memory: Memory) -> None:
    found = json.loads(evaluate(memory, "--json", "-k", "3"))
    assert (found["night"], found["k"], found["with_tags"], found["tags"]) == ("2026-10-01", 3, 1, 4)
    assert set(found["rates"]) == {
        "tags", "own categories, as many", "own categories, 3", "popular categories, as many", "popular categories, 3",
    }  # fmt: skip
    assert found["measured"] == found["rates"]["tags"]["users"] == 1
    assert set(found["by_strategy"]) == {"single"}
    assert found["distinct"] == 1.0


def test_the_table_names_the_rates_and_the_coverage(memory: Memory) -> None:
    text = evaluate(memory, "--next", "5")
    assert "12 users, 1 with tags" in text
    for name in ("category HR@30", "own categories, as many", "popular categories, 30", "tags by single", "distinct"):
        assert name in text


def test_a_night_without_tags_has_no_rate_and_is_no_error(memory: Memory) -> None:
    found = json.loads(evaluate(memory, "--json", "--date", "2026-09-01"))
    assert (found["with_tags"], found["measured"]) == (0, 0)
    assert found["rates"]["tags"]["value"] is None
    assert "none" in evaluate(memory, "--date", "2026-09-01")


def test_a_night_must_be_named(memory: Memory) -> None:
    assert CliRunner().invoke(app, ["evaluate", "tags", "--config", str(memory.project.folder)]).exit_code == 2
