"""Evaluating: what a night made, against what its users did next."""

from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape

from cli.options import HERE, ConfigPath, Json, Users
from cli.output import OUT, columns, print_json
from recgpt import config as settings
from recgpt.evaluation import tags as measures
from recgpt.sources.prepare import prepare
from recgpt.stages.night import Night
from recgpt.store.session import open_store

app = typer.Typer(no_args_is_help=True, help="What was made, against what users did next.")

OfNight = Annotated[
    datetime, typer.Option("--date", formats=["%Y-%m-%d"], help="The night to measure; events after it are the test.")
]
K = Annotated[int, typer.Option("-k", min=1, help="A user's first so many tags count.")]
Next = Annotated[int, typer.Option("--next", min=1, help="So many next items of a user are looked for.")]


@app.callback()
def evaluate() -> None:
    """What was made, against what users did next."""


@app.command()
def tags(
    date: OfNight, config: ConfigPath = HERE, k: K = 30, following: Next = 1, users: Users = None, json: Json = False
) -> None:
    """Category HR@K of a night's tags beside the user's own and the most popular categories; how distinct they are."""
    loaded = settings.load(config)
    night = Night(loaded, open_store(loaded), prepare(loaded), date.date(), users)
    report = measures.evaluate(night, k=k, following=following)
    if json:
        print_json(report.as_dict())
    else:
        print_tags(report)


def print_tags(report: measures.Report) -> None:
    OUT.print(
        f"Tags of {report.night}: {report.users:,} users, {report.with_tags:,} with tags, {report.with_next:,} with a "
        f"next item, {report.measured:,} with both, {report.categories:,} categories in the catalogue"
    )
    table = columns(f"next {report.following}", f"category HR@{report.k}", "95 %", "users", "categories")
    groups = (("", report.rates), ("tags by ", report.by_strategy), ("tags of ", report.by_persona))
    for prefix, rates in groups:
        for name, rate in rates.items():
            table.add_row(*_cells(prefix + name, rate))
    OUT.print(table)
    OUT.print(
        f"{report.tags:,} tags, {_share(report.distinct)} of them distinct texts; within a user 1 - mean cosine "
        f"{_share(report.variety)}; said by an earlier expert too {_share(report.said_twice)}"
    )


def _cells(name: str, rate: measures.Rate) -> tuple[str, ...]:
    name = escape(name)  # a persona's name is the model's, and no markup
    if rate.value is None:
        return name, "none", "", "0", ""
    return name, f"{rate.value:.4f}", f"{rate.low:.4f} to {rate.high:.4f}", f"{rate.users:,}", f"{rate.categories:.1f}"


def _share(value: float | None) -> str:
    return "(none)" if value is None else f"{value:.3f}"
