"""`recgpt request` and `recgpt why` as a user meets them: a process, its exit code, its two streams."""

import json
import subprocess
import sys
from typing import Any

import pytest
from scripted import instead, task
from written import Table

from recgpt.store.tables import Explanation


@pytest.fixture
def table(project: Any) -> Table:
    project.configure(explain={"strategy": "full"})
    line = {"explanation": "Shows where each planet [stands] before you carry the scope out.\x1b[31m"}
    project.server.answer = instead(lambda body: json.dumps(line) if task(body) == "explanation" else None)
    written = Table(project)
    written.recommend("u1", "stargazing", written.items[0])
    return written


def recgpt(table: Table, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cli.app", *arguments, "-c", str(table.project.folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_answer_and_the_messages_are_shown_as_they_are(table: Table) -> None:
    table.explain()
    rejected = json.loads(recgpt(table, "request", "rejection:1", "--json").stdout)
    assert rejected["row"]["gate"] == "form"
    (asked,) = rejected["requests"]
    assert "[stands]" in asked["answer"]["content"]
    shown = recgpt(table, "request", asked["hash"][:20])
    assert shown.returncode == 0, shown.stderr
    for message in asked["messages"]:
        assert message["content"] in shown.stdout
    assert asked["answer"]["content"] in shown.stdout
    assert asked["prompt"]["text"] in shown.stdout
    assert "fake-model (r1)" in shown.stdout
    assert "temperature 0.0" in shown.stdout


def test_what_cannot_be_found_exits_with_the_remedy(table: Table) -> None:
    table.project.store.dispose()
    for name, code, remedy in (("tag:77", 1, "recgpt show"), ("nothing", 2, "explanation:NUMBER")):
        done = recgpt(table, "request", name)
        assert (done.returncode, done.stdout) == (code, "")
        assert remedy in done.stderr
        assert "Traceback" not in done.stderr


def test_why_shows_the_style_and_the_users_served(table: Table) -> None:
    table.project.server.answer = instead(lambda _: None)
    table.explain()
    (row,) = table.project.rows(Explanation)
    shown = recgpt(table, "why", "u1", table.items[0])
    assert shown.returncode == 0, shown.stderr
    assert row.text in shown.stdout
    assert f"style: {row.style}" in shown.stdout
    assert "serves 1 user" in shown.stdout
