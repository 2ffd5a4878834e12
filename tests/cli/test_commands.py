"""The command line as a user meets it: a process, its exit code, its two streams."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cli.app import app

ROOT = Path(__file__).resolve().parents[2]


def recgpt(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cli.app", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=240)


def test_no_project_is_a_wrong_call_and_says_how_to_start(tmp_path: Path) -> None:
    done = recgpt("nightly", folder=tmp_path)
    assert done.returncode == 2
    assert "recgpt init" in done.stderr
    assert done.stdout == ""


def test_an_unknown_option_is_a_wrong_call(tmp_path: Path) -> None:
    assert recgpt("nightly", "--nope", folder=tmp_path).returncode == 2


def test_the_commands_start_without_what_takes_long_to_import() -> None:
    heavy = ("torch", "transformers", "langchain_core", "scipy.cluster")
    code = f"import sys, cli.app; print(*(name for name in {heavy} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == ""


def test_no_help_has_a_word_in_brackets_because_it_would_be_taken_for_markup_and_not_shown() -> None:
    found = dict(texts("recgpt", get_command(app)))
    assert "recgpt judge run --strata" in found
    assert not {where: text for where, text in found.items() if re.search(r"\[/?[a-z]", text)}


def texts(name: str, command: Any) -> Iterator[tuple[str, str]]:
    yield name, command.help or ""
    for one in command.params:
        yield f"{name} {one.opts[0]}", getattr(one, "help", None) or ""
    for part, nested in getattr(command, "commands", {}).items():
        yield from texts(f"{name} {part}", nested)


def test_init_then_no_data_fails_with_the_file_that_is_missing(tmp_path: Path) -> None:
    assert recgpt("init", ".", folder=tmp_path).returncode == 0
    done = recgpt("nightly", folder=tmp_path)
    assert done.returncode == 1
    assert "users" in done.stderr
    assert "Traceback" not in done.stderr


def test_import_movielens_reports_its_counts(tmp_path: Path) -> None:
    source = tmp_path / "ml-100k"
    source.mkdir()
    (source / "u.user").write_text("1|24|M|technician|85711\n", encoding="latin-1")
    (source / "u.item").write_text(
        "1|Café (1995)|01-Jan-1995||http://x|" + "|".join(["0", "1"] + ["0"] * 17) + "\n", "latin-1"
    )
    (source / "u.data").write_text("1\t1\t5\t874965758\nbroken\n", encoding="latin-1")
    (source / "u.genre").write_text("unknown|0\nAction|1\n", encoding="latin-1")
    done = recgpt("import", "movielens", str(source), "--out", "data", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert (counts["users"], counts["items"], counts["events"]) == (1, 1, 1)
    assert (tmp_path / "data" / "events.parquet").is_file()
    again = recgpt("import", "movielens", str(tmp_path / "nowhere"), folder=tmp_path)
    assert again.returncode == 1
    assert "u.data" in again.stderr or "ratings.dat" in again.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole demo with the real embedded model, as small as it goes."""
    folder = tmp_path_factory.mktemp("real")
    done = recgpt("demo", "--dir", "demo", "--users", "60", "--night-users", "3", folder=folder)
    assert done.returncode == 0, done.stderr
    (folder / "demo.txt").write_text(done.stdout, encoding="utf-8")
    return folder


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def test_the_demo_shows_a_table_two_users_the_store_and_three_commands(shop: Path) -> None:
    shown = (shop / "demo.txt").read_text(encoding="utf-8")
    for stage in ("interests", "tags", "towers", "score", "explain", "judge"):
        assert any(line.startswith(stage) for line in lines(shown)), stage
    assert shown.count("User u0") == 2
    assert "recgpt.sqlite" in shown
    assert sum(line.startswith("recgpt ") for line in lines(shown)) == 3


def test_the_commands_that_the_demo_names_work(shop: Path) -> None:
    shown = (shop / "demo.txt").read_text(encoding="utf-8")
    commands = [line.split("#")[0].split()[1:] for line in lines(shown) if line.startswith("recgpt ")]
    for arguments in commands:
        done = recgpt(*arguments, folder=shop)
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_a_second_night_of_the_demo_asks_nothing(shop: Path) -> None:
    done = recgpt("nightly", "-c", "demo", "--date", "2026-10-31", "--users", "3", "--json", folder=shop)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    asked = {stage["stage"]: stage["usage"]["asked"] for stage in summary["stages"] if stage["usage"]}
    assert asked == {"interests": 0, "tags": 0, "explain": 0, "judge": 0}
    assert summary["coverage"] == 1.0


def test_why_leads_back_to_events_and_a_model(shop: Path) -> None:
    user = json.loads(recgpt("show", "u0000001", "-c", "demo", "--json", folder=shop).stdout)
    if not user["recommendations"]:
        user = json.loads(recgpt("show", "u0000002", "-c", "demo", "--json", folder=shop).stdout)
    item = user["recommendations"][0]["item_id"]
    found: dict[str, Any] = json.loads(recgpt("why", user["user_id"], item, "-c", "demo", "--json", folder=shop).stdout)
    assert found["events"]
    assert found["interest"]["made_by"]["model"] == "smollm2-135m-instruct"
    assert found["tag"]["made_by"]["prompt_version"].startswith("sha256:")
    nothing = recgpt("why", user["user_id"], "no-such-item", "-c", "demo", folder=shop)
    assert nothing.returncode == 1
    assert "recgpt show" in nothing.stderr


def test_doctor_finds_nothing_wrong_with_the_demo(shop: Path) -> None:
    done = recgpt("doctor", "-c", "demo", "--json", folder=shop)
    assert done.returncode == 0, done.stdout
    assert {check["name"] for check in json.loads(done.stdout)} == {
        "packages",
        "disk",
        "logs",
        "store",
        "encoder",
        "engine",
    }


def test_doctor_names_the_remedy_for_each_fault(shop: Path, tmp_path: Path) -> None:
    config = (shop / "demo" / "recgpt.toml").read_text(encoding="utf-8")
    config = config.replace('"data/', f'"{shop}/demo/data/')
    server = 'kind = "server"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\nrevision = "r"'
    (tmp_path / "recgpt.toml").write_text(config.replace('kind = "embedded"', server), encoding="utf-8")
    done = recgpt("doctor", "--json", folder=tmp_path)
    assert done.returncode == 1
    found = {check["name"]: check for check in json.loads(done.stdout)}
    assert not found["engine"]["ok"]
    assert "recgpt engine serve" in found["engine"]["found"]
    assert not found["store"]["ok"]
    assert "recgpt nightly" in found["store"]["found"]
    assert found["logs"]["ok"]


def test_the_demo_leaves_a_strangers_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", encoding="utf-8")
    done = recgpt("demo", "--dir", "mine", folder=tmp_path)
    assert done.returncode == 2
    assert "--dir" in done.stderr
    assert (tmp_path / "mine" / "thesis.txt").read_text(encoding="utf-8") == "years of work"
