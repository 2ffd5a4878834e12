"""How commands speak: tables for people, one JSON object for programs, a bar in a terminal, plain lines in a log.

Results go to stdout; progress and errors go to stderr, so that `recgpt ... --json | jq` always works.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from recgpt.nightly import Summary
from recgpt.stages.night import Progress

# A log has no width; a terminal has its own.
OUT = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)
ERR = Console(stderr=True, highlight=False)
EVERY_S = 10.0  # between two plain lines of one stage in a log


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


@contextmanager
def progress() -> Iterator[Callable[[Progress], None]]:
    """A drawing function for `Progress`: bars where stderr is a terminal, else a line every ten seconds."""
    if not ERR.is_terminal:
        yield _plain()
        return
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, console=ERR, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def draw(step: Progress) -> None:
            if step.stage not in tasks:
                tasks[step.stage] = bar.add_task(step.stage, total=step.total, note="")
            bar.update(tasks[step.stage], completed=step.done, total=step.total, note=step.note)

        yield draw


def _plain() -> Callable[[Progress], None]:
    last: dict[str, float] = {}

    def line(step: Progress) -> None:
        finished = step.done == step.total
        if finished or time.monotonic() - last.get(step.stage, 0.0) >= EVERY_S:
            last[step.stage] = time.monotonic()
            of = f"/{step.total}" if step.total is not None else ""
            sys.stderr.write(f"{step.stage}: {step.done}{of} {step.note}".rstrip() + "\n")
            sys.stderr.flush()

    return line


def print_summary(summary: Summary) -> None:
    """Counts, seconds and tokens by stage."""
    OUT.print(f"Night of {summary.night}" + (f", engine {summary.engine}" if summary.engine else ""))
    for name, counts in summary.data.items():
        rejected = sum(counts["rejected"].values())
        OUT.print(
            f"  {name}: {counts['kept']:,} rows" + (f", {rejected:,} rejected {counts['rejected']}" if rejected else "")
        )
    if summary.dry_run:
        _print_dry_run(summary)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for name in (
        "stage",
        "units",
        "ok",
        "invalid",
        "unavail.",
        "asked",
        "replayed",
        "tok. in",
        "cached",
        "tok. out",
        "seconds",
    ):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for one in summary.stages:
        counts, usage = one.counts, one.usage
        table.add_row(
            one.stage.value,
            *(f"{counts[name]:,}" if name in counts else "" for name in ("units", "ok", "invalid", "unavailable")),
            *(
                (
                    f"{value:,}"
                    for value in (usage.asked, usage.replayed, usage.tokens_in, usage.tokens_cached, usage.tokens_out)
                )
                if usage
                else ("",) * 5
            ),
            f"{one.seconds:.1f}",
        )
    OUT.print(table)
    for one in summary.stages:
        extra = {k: v for k, v in one.counts.items() if k not in _SHOWN and v not in (None, {}, "")}
        if extra:
            OUT.print(f"  {one.stage.value}: " + ", ".join(f"{key} {_short(value)}" for key, value in extra.items()))
    if summary.coverage is not None:
        OUT.print(f"Coverage (units with an answer, lowest stage): {summary.coverage:.1%}")


_SHOWN = {"units", "ok", "invalid", "unavailable", "coverage"}


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_short(entry)}" for key, entry in value.items()) + ")"
    return str(value)


def _print_dry_run(summary: Summary) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for name in ("stage", "units", "untouched", "requests to ask", "replays"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for one in summary.stages:
        if one.counts:
            table.add_row(one.stage.value, *(f"{one.counts[k]:,}" for k in ("units", "untouched", "to_ask", "replays")))
    OUT.print(table)
    OUT.print("Later stages are counted on what is stored now; what earlier stages change tonight adds to them.")
