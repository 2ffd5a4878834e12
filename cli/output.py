"""How commands speak: tables for people, one JSON object for programs.

Results go to stdout; progress (cli/progress.py) and errors go to stderr, so that `recgpt ... --json | jq` always works.
"""

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from recgpt.labelling.visible import one_line
from recgpt.summary import Summary
from recgpt.words import RunState

# A log has no width; a terminal has its own.
OUT = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)
ERR = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def say(line: str) -> None:
    """A line as it is, whatever stands in it: names come from labels and logs, and those from anywhere."""
    OUT.print(one_line(line), markup=False)


def columns(*names: str, left: int = 1, no_wrap: bool = False) -> Table:
    """A table without lines: the first `left` columns are words, the others numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for place, name in enumerate(names):
        table.add_column(name, justify="left" if place < left else "right", no_wrap=no_wrap)
    return table


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
    table = columns(
        "stage", "units", "ok", "invalid", "unavail.", "asked", "replayed", "tok. in", "cached", "tok. out", "seconds"
    )
    for one in summary.stages:
        counts, usage = one.counts, one.usage
        table.add_row(
            one.stage.value if one.state == RunState.DONE else f"{one.stage} ({one.state})",
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
    table = columns(
        "stage", "units", "untouched", "requests to ask", "replays", "tok. in", "tok. out, likely", "at most"
    )
    keys = ("units", "untouched", "to_ask", "replays", "tokens_in", "tokens_out", "tokens_out_most")
    asking = [one for one in summary.stages if one.counts]
    for one in asking:
        table.add_row(one.stage.value, *("?" if one.counts[key] is None else f"{one.counts[key]:,}" for key in keys))
    OUT.print(table)
    total = {key: sum(one.counts[key] or 0 for one in asking) for key in keys}
    OUT.print(
        f"To come: {total['to_ask']:,} requests of about {total['tokens_in']:,} tokens, and at most "
        f"{total['tokens_out_most']:,} tokens in answers."
    )
    OUT.print("Later stages are counted on what is stored now; what earlier stages change tonight adds to them.")


def print_runs(runs: list[dict[str, Any]]) -> None:
    """The last runs, a line each."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    left = ("started (UTC)", "night", "state", "stages")
    for name in ("run", *left, "seconds", "coverage", "asked", "replayed", "tok. in", "tok. out"):
        table.add_column(name, justify="left" if name in left else "right", no_wrap=True)
    for one in runs:
        table.add_row(
            str(one["run"]),
            one["started_at"][:16].replace("T", " "),
            one["night"],
            one["state"],
            " ".join(one["stages"]),
            "" if one["seconds"] is None else f"{one['seconds']:,.0f}",
            "" if one["coverage"] is None else f"{one['coverage']:.1%}",
            *(f"{one[name]:,}" for name in ("asked", "replayed", "tokens_in", "tokens_out")),
        )
    OUT.print(table)
    for one in runs:
        if one["message"]:
            OUT.print(f"  run {one['run']}: {one['message']}", markup=False)
