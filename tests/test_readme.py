"""What the README and the docs tell a user to type exists; the README's transcript has the form of today's output."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"(?:^\$ |^ {4,}|`)(recgpt [a-z][^`#\n]*)", re.MULTILINE)


def commands(page: Path) -> list[str]:
    """Every `recgpt ...` that stands as a line of its own or between backticks."""
    return [found.strip() for found in COMMAND.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_exist(page: Path) -> None:
    for text in commands(page):
        command: Any = typer.main.get_command(app)
        words = text.replace("|", " ").replace("[", " ").replace("]", " ").split()[1:]
        while words and hasattr(command, "commands"):
            name = words.pop(0)
            assert name in command.commands, f"{page.name}: {text!r} has no {name!r}"
            command = command.commands[name]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        passes_on = command.context_settings.get("ignore_unknown_options", False)
        for word in words:
            assert passes_on or not word.startswith("-") or word in known, f"{page.name}: {text!r} has no {word}"


def test_there_are_commands_to_look_at() -> None:
    assert len(commands(ROOT / "README.md")) >= 8


def test_the_transcript_is_whole_and_like_todays_output() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    transcript = page.split("<!-- demo -->")[1].split("<!-- /demo -->")[0]
    for line in (
        "Night of ",
        "interests",
        "tags",
        "towers",
        "score",
        "explain",
        "judge",
        "Coverage",
        "User u0",
        "Try next",
    ):
        assert line in transcript


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), f"{page.name}: {link}"
