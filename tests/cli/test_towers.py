"""`recgpt towers evaluate`, in this process: what it prints for people and for programs, and what it draws."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.app import app

CALL = ["towers", "evaluate", "--date", "2026-09-30", "--days", "31", "-k", "5"]  # the shop ends with October


def evaluate(project: Any, *arguments: str) -> str:
    done = CliRunner().invoke(app, [*CALL, "--config", str(project.folder), *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_json(project: Any) -> None:
    found = json.loads(evaluate(project, "--json", "--users", "4"))
    assert (found["night"], found["days"], found["k"], found["users"]) == ("2026-09-30", 31, 5, 4)
    assert {row["model"] for row in found["rows"]} == {
        "towers", "popularity", "item-kNN decay", "category popularity",
    }  # fmt: skip
    assert set(found["above"]) == {"popularity", "item-kNN decay"}


def test_the_tables_and_the_pictures(project: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'recgpt[evaluate]'")
    text = evaluate(project, "--plots", str(tmp_path / "drawn"))
    said = ("ndcg@5", "all users", "cold users", "cold items", "coverage", "towers' ndcg@5 above it by", "drawn: ")
    for part in said:
        assert part in text
    assert len(list((tmp_path / "drawn").iterdir())) == 6


def test_a_night_must_be_named(project: Any) -> None:
    assert CliRunner().invoke(app, ["towers", "evaluate", "--config", str(project.folder)]).exit_code == 2
