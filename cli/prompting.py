"""`recgpt tune prompts`: a prompt made better by reflection on its failures."""

from typing import Annotated

import typer
from rich.table import Table

from cli.options import HERE, ConfigPath, Json, MaxTokens, day_of
from cli.output import OUT, print_json
from cli.progress import progress
from cli.versions import Aim, Day, Held, Margin, Untrusted, print_gate
from recgpt import config as settings
from recgpt.tuning.at_work import at_work
from recgpt.tuning.compare import USERS, Rules
from recgpt.tuning.gate import AIM
from recgpt.tuning.promote import short
from recgpt.tuning.prompts import Tuned, tune
from recgpt.words import Task


def prompts(
    task: Annotated[Task, typer.Argument(help="Whose prompt: of what writes the interests, tags or explanations.")],
    config: ConfigPath = HERE,
    prompt: Annotated[str, typer.Option(help="Another prompt of the task's, by its name.")] = "",
    max_tokens: MaxTokens = None,
    users: Held = USERS,
    aim: Aim = AIM,
    margin: Margin = None,
    date: Day = None,
    force: Untrusted = False,
    json: Json = False,
) -> None:
    """Let a model reflect on what judges and gates refused, and write a better prompt; show it, and measure it.

    Only users that are not held out are learnt from. What comes of it is a file with its parent and, on the held-out
    users, what the gate says; it serves after 'recgpt promote'. The same command goes on where it was cut short, and
    with more tokens where it had run out of them.
    """
    loaded = settings.load(config)
    with progress() as draw, at_work(loaded, "recgpt tune prompts", day_of(date), draw) as (night, stopping):
        found = tune(night, task, stopping, Rules(users, aim, margin, force), name=prompt, max_tokens=max_tokens)
    if json:
        print_json(found.as_dict())
    else:
        _print(found)


def _print(found: Tuned) -> None:
    passing, users = found.passing, found.users["validation"]
    OUT.print(
        f"{found.prompt}: {found.rounds} reflections, {found.tried - 1} prompts tried on all {users} validation users, "
        f"{found.tokens:,} tokens{_ended(found)}",
        markup=False,
    )
    if found.failures:
        table = Table("what was wrong", "rows", box=None, pad_edge=False, header_style="bold")
        for name, count in found.failures.items():
            table.add_row(name, f"{count:,}")
        OUT.print(table)
    if found.version is None:
        OUT.print(f"Nothing passes more than the prompt that serves, {100 * passing['parent']:.1f} %", markup=False)
        return
    OUT.print(found.diff, markup=False, highlight=False)
    OUT.print(
        f"Passing of the validation users' rows: {100 * passing['parent']:.1f} % before, {100 * passing['best']:.1f} % "
        f"now\nWrote {found.file}, {short(found.version)}, whose parent is {short(found.parent)}",
        markup=False,
    )
    if found.gate is None:
        OUT.print(f"Not measured on held-out users: {found.unmeasured}", markup=False)
    else:
        print_gate(found.version, found.gate)


def _ended(found: Tuned) -> str:
    return f"; it ended there, because {found.stopped}" if found.stopped else ""
