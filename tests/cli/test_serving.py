"""Scoring into a folder, the export and its check, and the weight of the scores, as commands."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.app import app
from recgpt.errors import CheckpointError
from recgpt.store.tables import Recommendation
from recgpt.words import Stage
from towers.export import read_manifest


@pytest.fixture
def scored(project: Any) -> Any:
    project.run(Stage.INTERESTS, Stage.TAGS, Stage.TOWERS)
    return project


def run(project: Any, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "-c", str(project.folder), "--date", "2026-10-31"])


def test_score_takes_a_file_of_users_or_a_number_and_a_folder(scored: Any, tmp_path: Path) -> None:
    file, out = tmp_path / "some.txt", tmp_path / "lists"
    file.write_text("u0000007\n\nu0000002\n")
    done = run(scored, "score", "--users", str(file), "--out", str(out), "--json")
    assert done.exit_code == 0, done.output
    rows = scored.rows(Recommendation)
    assert {row.user_id for row in rows} <= {"u0000002", "u0000007"}
    assert read_manifest(out)["rows"] == len(rows)
    assert json.loads(done.stdout)["stages"][0]["units"] == 2
    assert json.loads(run(scored, "score", "--users", "3", "--json").stdout)["stages"][0]["units"] == 3
    assert run(scored, "score", "--users", "nobody.txt").exit_code == 2
    assert run(scored, "score", "--users", "0").exit_code == 2


def test_export_writes_and_checks(scored: Any, tmp_path: Path) -> None:
    out = tmp_path / "vectors"
    done = run(scored, "towers", "export", "--out", str(out), "--no-index", "--no-onnx", "--users", "5")
    assert done.exit_code == 0, done.output
    assert "5 users, towers sha256:" in done.stdout
    assert sorted(file.name for file in out.iterdir()) == ["items.parquet", "manifest.json", "users.parquet"]
    checked = run(scored, "towers", "export", "--out", str(out), "--check", "--json")
    assert json.loads(checked.stdout) == read_manifest(out)
    (out / "users.parquet").write_bytes(b"")
    refused = run(scored, "towers", "export", "--out", str(out), "--check")
    assert isinstance(refused.exception, CheckpointError)


def test_beta_is_shown_with_the_users_it_was_measured_on(project: Any) -> None:
    project.run(Stage.INTERESTS, Stage.TAGS, Stage.TOWERS, day=date(2026, 9, 15))
    arguments = ["towers", "beta", "-c", str(project.folder), "--date", "2026-09-15", "--days", "45"]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    fit = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert f"{fit['users']} users; in recgpt.toml: [score] beta = {fit['beta']}" in shown.stdout
    assert shown.stdout.count("NDCG@20") == 21
    assert shown.stdout.count(" <\n") == 1
