"""Tuned versions: `tune evaluate`, `tune list`, `promote`, `rollback`."""

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from cli.options import HERE, ConfigPath, Json, day_of
from cli.output import OUT, columns, print_json
from cli.progress import progress
from recgpt import config as settings
from recgpt.labelling.visible import one_line
from recgpt.store.lock import alone
from recgpt.store.session import bring_up, open_store
from recgpt.store.tables import Promotion
from recgpt.tuning import promote as serving
from recgpt.tuning.at_work import at_work
from recgpt.tuning.compare import USERS, Rules
from recgpt.tuning.compare import evaluate as measure
from recgpt.tuning.gate import AIM
from recgpt.tuning.promote import short

Named = Annotated[str, typer.Argument(metavar="VERSION", help="Its hash, or how that begins; 'recgpt tune list'.")]
Held = Annotated[int, typer.Option("--users", min=1, help="At most so many held-out users (or interests' names).")]
Aim = Annotated[str, typer.Option(help="The criterion that must rise; all: no defect by any.")]
Margin = Annotated[
    float | None, typer.Option(min=0.0, max=1.0, help="What a criterion may fall by. tuning.gate.margin; 0.03.")
]
Day = Annotated[
    datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="The night to try it on. The last one.")
]
Untrusted = Annotated[bool, typer.Option("--force", help="Take the word of a judge below the bar; the record says so.")]


def evaluate(
    version: Named,
    config: ConfigPath = HERE,
    users: Held = USERS,
    aim: Aim = AIM,
    margin: Margin = None,
    date: Day = None,
    force: Untrusted = False,
    json: Json = False,
) -> None:
    """A version beside the one that serves, on held-out users: differences with intervals, and what the gate says.

    Both make what they make for the same users, the configured judges judge it, and the verdict is kept with the
    version. Nothing else changes, and nothing is asked twice.
    """
    loaded = settings.load(config)
    with progress() as draw, at_work(loaded, "recgpt tune evaluate", day_of(date), draw) as (night, stopping):
        one = serving.find(night.store, version)
        found = stopping.run(measure(night, one, Rules(users, aim, margin, force)))
    if json:
        print_json({"version": one.version, "kind": one.kind, "task": one.task, **found.as_dict()})
    else:
        print_gate(one.version, found.as_dict())


def listed(config: ConfigPath = HERE, json: Json = False) -> None:
    """The prompts and adapters that tuning made, newest first: what the gate said of each, and which serve."""
    found = serving.versions(open_store(settings.load(config)))
    if json:
        print_json([one.as_dict() for one in found])
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for name in ("version", "kind", "task", "parent", "made (UTC)", "serves", "gate"):
        table.add_column(name, no_wrap=name != "gate")
    for one in found:
        gate = one.candidate.gate
        said = "not measured" if gate is None else f"{'passed' if gate['promoted'] else 'held back'}: {gate['why']}"
        table.add_row(
            short(one.candidate.version), one.candidate.kind, one.candidate.task, short(one.parent),
            f"{one.created_at:%Y-%m-%d %H:%M}", "yes" if one.serves else "", escape(said),
        )  # fmt: skip
    OUT.print(table if found else "Nothing has been tuned: see 'recgpt tune --help'")


def add_to(app: typer.Typer) -> None:
    """The two commands that change what serves."""

    @app.command()
    def promote(
        version: Named,
        config: ConfigPath = HERE,
        force: Annotated[bool, typer.Option("--force", help="Though no gate passed it; the record says so.")] = False,
        json: Json = False,
    ) -> None:
        """Let a tuned prompt or adapter serve from now on; only one that the gate passed against what serves now."""
        store = open_store(settings.load(config), migrate=False)
        with alone(store, "recgpt promote"):
            bring_up(store)
            _show(serving.promote(store, version, force=force), json=json)

    @app.command()
    def rollback(
        task: Annotated[str, typer.Argument(help="A prompt's name, or the task of an adapter.")],
        config: ConfigPath = HERE,
        json: Json = False,
    ) -> None:
        """Put back what served before the newest promotion; a second time undoes the first."""
        store = open_store(settings.load(config), migrate=False)
        with alone(store, "recgpt rollback"):
            bring_up(store)
            _show(serving.rollback(store, task), json=json)


def print_gate(version: str, gate: dict[str, Any]) -> None:
    """What the gate said, by criterion."""
    table = columns("criterion", "difference", "95 %", "may fall by", "users")
    for name, one in sorted(gate["differences"].items(), key=lambda row: (row[0] != gate["aim"], row[0])):
        shown = (
            ("none", "")
            if one["mean"] is None
            else (points(one["mean"]), f"{points(one['low'])} to {points(one['high'])}")
        )
        aim = name == gate["aim"]
        may = "" if aim else f"{100 * gate['margins'][name]:g}"
        table.add_row(f"{name} (aim)" if aim else name, *shown, may, f"{one['users']:,}")
    against = short(gate["against"]) or "what is packaged"
    rows = gate["rows"]
    OUT.print(
        f"{short(version)} beside {against}, judged by {one_line(gate['judge'])}: {gate['users']:,} of {gate['of']:,} "
        f"held out, {rows['new']:,} rows beside {rows['old']:,}",
        markup=False,
    )
    OUT.print(table)
    if gate["untrusted"]:
        OUT.print(f"The judge is not trusted: {gate['untrusted']}", markup=False)
    if gate["promoted"]:
        OUT.print(f"Passed: {gate['why']}. 'recgpt promote {short(version)}' lets it serve", markup=False)
    else:
        OUT.print(f"Held back: {gate['why']}", markup=False)


def points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _show(row: Promotion, *, json: bool) -> None:
    if json:
        names = ("id", "task", "kind", "version", "previous", "forced", "reason", "result", "created_at")
        print_json({name: getattr(row, name) for name in names})
        return
    now = short(row.version) or ("the packaged prompt" if row.kind == "prompt" else "the engine's own model")
    before = short(row.previous) or "what is packaged"
    OUT.print(f"{row.task} is served by {now} from now on, instead of {before} ({row.reason})", markup=False)
