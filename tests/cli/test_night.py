"""The night's commands as cron meets them: processes, exit codes, signals, two streams. The model is scripted."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_server import Answer, status
from scripted import answer, instead

from recgpt.store.tables import ModelVersion, Recommendation, Run, Unit
from recgpt.words import RunState, Stage

SLOW_SCORING = """
import sys
from recgpt.stages import score, scorer
score.BLOCK = 4
recommend = scorer.Scorer.recommend
def slow(self, block):
    while block[0].user_id != "u0000001":
        sum(range(1000))
    return recommend(self, block)
scorer.Scorer.recommend = slow
from cli.app import main
main()
"""


class Commands:
    """Runs the project's commands, and ends what a test leaves running."""

    def __init__(self, project: Any) -> None:
        self.project = project
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, script: str = "") -> "subprocess.Popen[str]":
        command = [sys.executable, *(["-c", script] if script else ["-m", "cli.app"]), *arguments]
        options = [
            "-c",
            str(self.project.folder),
            *([] if "runs" in arguments else ["--date", str(self.project.night)]),
        ]
        process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.started.append(process)
        return process

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments)
        out, errors = process.communicate(timeout=240)
        return subprocess.CompletedProcess(arguments, process.returncode, out, errors)


@pytest.fixture
def commands(project: Any) -> Iterator[Commands]:
    commands = Commands(project)
    yield commands
    for process in commands.started:
        process.kill()
        process.communicate()


def wait_for(process: "subprocess.Popen[str]", line: str) -> None:
    """Read a process's stderr up to a line that has these words."""
    assert process.stderr is not None
    said = []
    for read in process.stderr:
        said.append(read)
        if line in read:
            return
    raise AssertionError("".join(said))


def test_done_is_0_with_one_json_object_and_progress_on_stderr(commands: Commands) -> None:
    done = commands.run("interests", "--json")
    assert done.returncode == 0
    summary = json.loads(done.stdout)
    assert (summary["state"], summary["coverage"]) == ("done", 1.0)
    first, *_, last = done.stderr.splitlines()
    assert first == "interests: 0"
    assert re.fullmatch(r"interests: 12/12 \(100%\), in \d+ s(, [\d.]+/(s|min), [\d,]+ tokens/s)?", last)


@pytest.mark.parametrize(
    "arguments",
    [["--nope"], ["--users", "0"], ["--max-tokens", "none"], ["--users", "all"], ["more"]],
)
def test_a_wrong_call_is_2(commands: Commands, arguments: list[str]) -> None:
    done = commands.run("nightly", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert not commands.project.rows(Run)


def test_a_wrong_config_is_2_and_names_the_key(commands: Commands) -> None:
    file = commands.project.folder / "recgpt.toml"
    file.write_text(file.read_text() + "[nightly]\nmin_covrage = 0.5\n")
    done = commands.run("nightly", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean min_coverage?" in done.stderr


def test_units_without_an_answer_are_3(commands: Commands) -> None:
    unlucky: list[Any] = []

    def fail(body: Any) -> Any:
        unlucky.append(body)
        return status(500) if body["messages"] == unlucky[0]["messages"] else None

    commands.project.server.answer = instead(fail)
    done = commands.run("interests", "--json")
    assert done.returncode == 3
    summary = json.loads(done.stdout)
    assert summary["state"] == "done"
    assert summary["stages"][0]["unavailable"] > 0
    assert summary["coverage"] < 0.95
    commands.project.server.answer = answer
    again = commands.run("interests")
    assert again.returncode == 0
    assert "Coverage (units with an answer, lowest stage): 100.0%" in again.stdout


def test_a_spent_budget_is_3_with_the_summary_of_what_was_done(commands: Commands) -> None:
    commands.project.configure(engine={"in_flight": 1})
    done = commands.run("nightly", "--max-tokens", "1500", "--json")
    assert done.returncode == 3
    summary = json.loads(done.stdout)
    assert (summary["state"], [one["stage"] for one in summary["stages"]]) == ("stopped", ["interests"])
    assert 0 < summary["stages"][0]["ok"] < summary["stages"][0]["units"] == 12
    assert "recgpt: the budget of 1500 tokens is spent" in done.stderr
    assert "run the same command again to go on" in done.stderr
    shown = commands.run("nightly", "--max-tokens", "100")
    assert shown.returncode == 3
    assert "interests (stopped)" in shown.stdout
    assert commands.run("interests").returncode == 0


def test_a_dead_engine_is_1_with_the_remedy_and_nothing_on_stdout(commands: Commands) -> None:
    commands.project.server.answer = lambda body: status(401)
    done = commands.run("nightly", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "engine.api_key_env" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_says_what_is_to_come(commands: Commands) -> None:
    done = commands.run("nightly", "--dry-run", "--json")
    assert done.returncode == 0
    summary = json.loads(done.stdout)
    stages = {one["stage"]: one for one in summary["stages"]}
    assert summary["dry_run"]
    assert stages["interests"]["to_ask"] > 0
    assert stages["interests"]["tokens_in"] > 100 * stages["interests"]["to_ask"]
    shown = commands.run("nightly", "--dry-run")
    assert f"To come: {stages['interests']['to_ask']} requests of about" in shown.stdout
    assert not commands.project.rows(Run)


def test_a_file_picks_the_users(commands: Commands) -> None:
    file = commands.project.folder / "some.txt"
    file.write_text("u0000007\n\nu0000002\nu0000007\n")
    done = commands.run("interests", "--user-ids", str(file), "--json")
    assert done.returncode == 0
    assert {row.key for row in commands.project.rows(Unit)} == {"u0000002", "u0000007"}
    assert "interests: 2/2 (100%)" in done.stderr
    file.write_text("u0000002\nnobody\n")
    unknown = commands.run("nightly", "--user-ids", str(file), "--json")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "1 of the 2 users asked for are not in the users table: 'nobody'" in unknown.stderr
    assert commands.run("tags", "--user-ids", "no-such-file").returncode == 2


def test_a_second_command_is_refused_while_one_is_at_work(commands: Commands) -> None:
    project = commands.project
    project.server.answer = lambda body: Answer(answer(body), after=2.0)
    first = commands.start("nightly")
    wait_for(first, "interests: 0")
    for arguments in (["nightly", "--json"], ["score"], ["judge", "run"]):
        second = commands.run(*arguments)
        assert (second.returncode, second.stdout) == (1, "")
        assert f"'recgpt nightly', pid {first.pid}" in second.stderr
    for arguments in (["nightly", "--dry-run"], ["runs"]):  # these make nothing
        assert commands.run(*arguments).returncode == 0
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    project.server.answer = answer
    assert commands.run("interests").returncode == 0


def test_runs_lists_how_each_ended(commands: Commands) -> None:
    commands.project.configure(engine={"in_flight": 1})
    commands.run("nightly", "--max-tokens", "1500")
    commands.run("interests")
    commands.run("score")
    listed = commands.run("runs", "--json")
    assert listed.returncode == 0
    runs = json.loads(listed.stdout)
    assert [(run["state"], run["stages"], run["night"]) for run in runs] == [
        ("failed", ["score"], "2026-10-31"),
        ("done", ["interests"], "2026-10-31"),
        ("stopped", ["interests"], "2026-10-31"),
    ]
    failed, done, stopped = runs
    assert "recgpt towers train" in failed["message"]
    assert done["coverage"] == 1.0 > stopped["coverage"]
    assert stopped["tokens_in"] + stopped["tokens_out"] >= 1500
    assert all(run["seconds"] > 0 for run in runs)
    shown = commands.run("runs", "--limit", "2").stdout
    assert "the budget of 1500 tokens" not in shown
    assert re.search(r"interests +\d+ +100\.0%", shown)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_training_of_the_towers(commands: Commands, number: signal.Signals) -> None:
    commands.project.configure(**{"towers.training": {"max_epochs": 100_000, "patience": 100_000}})
    process = commands.start("towers", "train", "--json")
    wait_for(process, "towers: 1/100000")
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "recgpt: stopped; what is finished is kept, and the same command goes on" in errors
    assert "Traceback" not in errors
    night, stage = commands.project.rows(Run)
    assert (night.state, stage.state, stage.stage) == (RunState.STOPPED, RunState.STOPPED, Stage.TOWERS)
    assert night.counts["stages"][0]["of"] == 100_000
    assert not commands.project.rows(ModelVersion)
    assert not list(Path(commands.project.folder, "work").glob("towers/*"))


def test_a_signal_stops_scoring_with_each_user_whole_or_absent(commands: Commands) -> None:
    project = commands.project
    project.run(Stage.INTERESTS, Stage.TAGS, Stage.TOWERS)
    process = commands.start("score", script=SLOW_SCORING)
    wait_for(process, "score: 4/12")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert [run.state for run in project.rows(Run)[-2:]] == [RunState.STOPPED] * 2
    kept = {row.key for row in project.rows(Unit, Unit.stage == Stage.SCORE)}
    assert len(kept) == 4
    before = {(row.user_id, row.rank, row.item_id) for row in project.rows(Recommendation)}
    assert {user for user, _, _ in before} == kept
    project.run(Stage.SCORE)
    after = {(row.user_id, row.rank, row.item_id) for row in project.rows(Recommendation)}
    assert {row for row in after if row[0] in kept} == before
    assert len({user for user, _, _ in after}) == 12
