"""`recgpt judge export` and `recgpt judge import`: labels out to a file, and in from one."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.options import HERE, ConfigPath, Json
from cli.output import OUT, print_json
from recgpt import config as settings
from recgpt.errors import disk_faults
from recgpt.labelling.visible import one_line
from recgpt.labels import transfer
from recgpt.labels.targets import load_targets
from recgpt.sources.prepare import prepare
from recgpt.store.session import open_store
from recgpt.words import Task

SHOWN = 20  # bad rows that are printed; --json has them all


def export(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="A name ending in .csv or .jsonl.")],
    config: ConfigPath = HERE,
    task: Annotated[list[Task] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    judge: Annotated[list[str] | None, typer.Option(help="Only of this judge; may be repeated.")] = None,
    texts: Annotated[bool, typer.Option("--texts", help="With what was judged: given, claim.")] = False,
    json: Json = False,
) -> None:
    """Write the labels to a CSV or JSON Lines file."""
    loaded = settings.load(config)
    store = open_store(loaded)
    shown = partial(load_targets, store, prepare(loaded), loaded) if texts else None
    with disk_faults():
        count = transfer.export(store, task or list(Task), file, judges=judge or None, shown=shown)
    if json:
        print_json({"file": str(file), "labels": count})
    else:
        OUT.print(f"{count:,} labels written to {file}", markup=False)


def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A .csv or .jsonl file.")],
    config: ConfigPath = HERE,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="All are by import:NAME, whatever the rows say.")
    ] = None,
    task: Annotated[Task | None, typer.Option(help="Of rows that don't name theirs.")] = None,
    json: Json = False,
) -> None:
    """Bring in labels from a CSV or JSON Lines file, row by row.

    A row needs target_id, criterion and verdict (yes or no), and may have task, judge, time, p_yes, evidence, rationale
    and what else 'recgpt judge export' writes. Rows that say what can't be are left out and named, with exit code 3.
    """
    loaded = settings.load(config)
    store = open_store(loaded)
    found = transfer.read_file(store, prepare(loaded), loaded, file, name=name, task=task)
    if json:
        print_json(found.as_dict())
    else:
        OUT.print(f"{found.added:,} labels added, {found.known:,} known before, {len(found.bad):,} rows left out")
        for judge, count in sorted(found.judges.items()):
            OUT.print(f"  {one_line(judge)}: {count:,}", markup=False)
        for bad in found.bad[:SHOWN]:
            OUT.print(f"  line {bad.line:,}: {one_line(bad.reason)}", markup=False)
        if len(found.bad) > SHOWN:
            OUT.print(f"  ... and {len(found.bad) - SHOWN:,} more; --json has them all")
    if found.bad:
        raise typer.Exit(3)
