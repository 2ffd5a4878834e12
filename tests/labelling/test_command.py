"""`recgpt judge label` as a user meets it, over what a night has made."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.app import app
from judges import load_criteria
from recgpt.store.tables import Interest, Label
from recgpt.words import Stage

ROOT = Path(__file__).resolve().parents[2]
MISSING = """
import sys
sys.modules["uvicorn"] = None
from cli.app import main
sys.argv = ["recgpt", *sys.argv[1:]]
main()
"""


@pytest.fixture
def made(project: Any) -> Any:
    """A project whose interests are there, and judged."""
    project.run(Stage.INTERESTS)
    project.run(Stage.JUDGE)
    return project


def label(folder: Path, *options: str, typed: str = "", **environment: str) -> Result:
    command = ["judge", "label", "interests", "-c", str(folder), *options]
    return CliRunner().invoke(app, command, input=typed, env={"USER": "eva", **environment})


def people(project: Any) -> list[Label]:
    return sorted(project.rows(Label, Label.kind == "human"), key=lambda row: row.id)


def test_a_sitting_from_a_script_is_kept_gone_on_with_and_summed_up(made: Any) -> None:
    done = label(made.folder, "--criterion", "grounded", typed="y\nn it is another's\ns\nq\n")
    assert done.exit_code == 0, (done.output, done.exception)
    assert "human:eva: 1 yes, 1 no, 1 skipped in this sitting; 2 labels of interests in all" in done.stdout
    first = people(made)
    assert [(row.judge, row.criterion, row.verdict, row.rationale) for row in first] == [
        ("human:eva", "grounded", True, ""),
        ("human:eva", "grounded", False, "it is another's"),
    ]
    assert {row.queued for row in first} <= {"disagreement", "random", "uncertain", "unlabelled"}
    rows = {row.id: row.name for row in made.rows(Interest)}
    assert all(rows[row.target_id] in done.stdout for row in first)

    again = label(made.folder, "--criterion", "grounded", "--json", "--as", "bob", typed="y\n" * 1000)
    assert json.loads(again.stdout)["agreement"] == [{"judge": "human:eva", "common": 2, "same": 1}]
    assert "interests: grounded" in again.stderr
    left = label(made.folder, "--criterion", "grounded", "--json", typed="y\n" * 1000)
    assert json.loads(left.stdout)["total"] == len([row for row in made.rows(Interest) if row.state == "active"])
    assert len({row.target_id for row in people(made) if row.judge == "human:eva"}) == json.loads(left.stdout)["total"]


def test_all_criteria_are_asked_or_those_of_the_config(made: Any) -> None:
    label(made.folder, "--limit", "5", typed="y\n" * 10)
    assert {row.criterion for row in people(made)} == {one.name for one in load_criteria("interests")}
    assert len(people(made)) == 5
    with (made.folder / "recgpt.toml").open("a", encoding="utf-8") as file:
        file.write('[judge.criteria]\ninterests = ["willing"]\n')
    label(made.folder, "--limit", "5", "--as", "bob", typed="y\n" * 10)
    assert [row.criterion for row in people(made) if row.judge == "human:bob"] == ["willing"] * 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--as", ""), "--as NAME"),
        (("--as", "a:b"), "--as NAME"),
        (("--criterion", "beautiful"), "no criterion beautiful"),
        (("--port", "1"), "belong to --web"),
        (("--host", "0.0.0.0"), "belong to --web"),
        (("--called", "label.example"), "belong to --web"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(made: Any, options: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli.app", "judge", "label", "interests", "-c", str(made.folder), *options],
        capture_output=True, text=True, cwd=ROOT, check=False, timeout=120, input="y\n",
        env={**os.environ, "USER": "eva"},
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
    assert people(made) == []


def test_without_the_web_parts_the_page_says_what_to_install(made: Any) -> None:
    command = [sys.executable, "-c", MISSING, "judge", "label", "interests", "-c", str(made.folder), "--as", "eva"]
    done = subprocess.run([*command, "--web"], capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)
    assert done.returncode == 2
    assert "pip install 'recgpt[label]'" in done.stderr
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120, input="y\n")
    assert done.returncode == 0, done.stderr
    assert len(people(made)) == 1


@contextmanager
def serving(folder: Path, *options: str, **environment: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """The page of a process of its own: what it told, and the process."""
    command = [sys.executable, "-m", "cli.app", "judge", "label", "interests", "-c", str(folder), "--web", "--json"]
    process = subprocess.Popen(
        [*command, "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "USER": "eva", **environment},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        told = ""
        while not told.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.communicate()
            told += line
        yield json.loads(told), process
    finally:
        process.kill()
        process.communicate()


def test_two_people_at_pages_of_their_own_and_one_at_the_terminal(made: Any) -> None:
    pytest.importorskip("fastapi", reason="pip install 'recgpt[label]'")
    from label_page import Browser

    with serving(made.folder) as (eva, process), serving(made.folder, "--as", "bob") as (bob, _):
        assert eva["url"].startswith("http://127.0.0.1:")
        assert eva["token"] is None
        browsers = {"eva": Browser(eva["url"]), "bob": Browser(bob["url"])}
        for _ in range(3):
            browsers["eva"].press("yes")
            browsers["bob"].press("no")
        label(made.folder, "--as", "ann", typed="n\ny\n")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, "Ended.\n")
    kept = {
        name: [row.verdict for row in people(made) if row.judge == f"human:{name}"] for name in ("eva", "bob", "ann")
    }
    assert kept == {"eva": [True] * 3, "bob": [False] * 3, "ann": [False, True]}


def test_behind_a_proxy_a_token_is_made_and_the_proxys_name_is_taken(made: Any) -> None:
    pytest.importorskip("fastapi", reason="pip install 'recgpt[label]'")
    from label_page import Browser

    with serving(made.folder, "--called", "label.example") as (told, _):
        one = Browser(told["url"])
        behind = {"Host": "label.example", "Origin": "https://label.example"}
        assert one.get(Host="other.example").status == 421
        assert one.get(Host="label.example").headers["location"] == "/enter"
        assert one.post("/enter", {"name": "bob", "token": "no" * 16}, **behind).status == 403
        assert one.post("/enter", {"name": "bob", "token": told["token"]}, **behind).status == 303
        assert "human:bob" in one.get(Host="label.example").text


def test_a_page_that_is_killed_has_lost_nothing(made: Any) -> None:
    pytest.importorskip("fastapi", reason="pip install 'recgpt[label]'")
    from label_page import Browser

    with serving(made.folder, RECGPT_LABEL_TOKEN="x" * 16) as (told, process):
        assert told["token"] is None  # the environment's is not told
        one = Browser(told["url"])
        assert one.get().headers["location"] == "/enter"
        one.post("/enter", {"name": "eva", "token": "x" * 16})
        asked = one.get().hidden["key"]
        one.press("yes")
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    (row,) = people(made)
    assert f"interests:{row.target_id}:{row.criterion}" == asked
    with serving(made.folder) as (told, _):
        assert Browser(told["url"]).get().hidden["key"] != asked
