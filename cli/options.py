"""Options that several commands share, with one spelling and one help text."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", help="recgpt.toml, or the folder it lies in.", envvar="RECGPT_CONFIG")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead of tables.")]
Day = Annotated[
    datetime | None,
    typer.Option("--date", formats=["%Y-%m-%d"], help="The night's date (UTC); later events are not read. Today."),
]
Users = Annotated[int | None, typer.Option("--users", min=1, help="Only the first so many users, by user_id.")]
UserIds = Annotated[
    Path | None,
    typer.Option("--user-ids", exists=True, dir_okay=False, help="Only the users of a file, one user_id a line."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Ask and make nothing; say what is to come.")]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", min=1, help="Stop cleanly after so many tokens.")]

HERE = Path(".")


def ids_of(file: Path | None) -> list[str] | None:
    """The lines of a file that are not empty."""
    return None if file is None else [line for line in file.read_text("utf-8", "replace").splitlines() if line]


def users_of(given: str | None) -> tuple[int | None, Path | None]:
    """A number of users, or a file of their ids.

    Raises:
        typer.BadParameter: it is neither.
    """
    if given is None:
        return None, None
    if given.isdecimal() and int(given) > 0:
        return int(given), None
    if not Path(given).is_file():
        raise typer.BadParameter(f"{given} is neither a file of user_ids nor a number of users", param_hint="--users")
    return None, Path(given)


def day_of(moment: datetime | None) -> date | None:
    return moment.date() if moment else None
