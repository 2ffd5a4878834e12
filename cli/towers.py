"""`recgpt towers`: the three-tower network that is trained on the logs."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.night import run_stages
from cli.options import HERE, ConfigPath, Day, Json, Users, day_of
from cli.output import OUT, columns, print_json
from cli.progress import progress
from recgpt import config as settings
from recgpt.sources.prepare import prepare
from recgpt.stages.night import Night, Progress
from recgpt.store.session import open_store
from recgpt.words import Stage, Training

if TYPE_CHECKING:
    from recgpt.evaluation.towers import Mean, Report

app = typer.Typer(no_args_is_help=True, help="The three-tower network that is trained on the logs.")


@app.command()
def train(
    config: ConfigPath = HERE,
    date: Day = None,
    json: Json = False,
    if_old: Annotated[
        bool, typer.Option("--if-old", help="Only if the last training is older than towers.retrain_days.")
    ] = False,
    go_on: Annotated[
        bool, typer.Option("--continue", help="Go on from the newest towers, on the events that came since.")
    ] = False,
) -> None:
    """Train on all events up to the date, hold the latest out for validation, and keep the best epoch.

    A training that was killed goes on with the same command. Under torchrun it takes several processes.
    """
    if if_old and go_on:
        raise typer.BadParameter("--if-old trains anew, --continue does not: name one of them")
    way = Training.CONTINUE if go_on else Training.IF_OLD if if_old else Training.ANEW
    if int(os.environ.get("RANK", "0")):
        from recgpt.stages import towers  # noqa: PLC0415 (torch takes seconds)

        loaded = settings.load(config)
        towers.take_part(
            Night(loaded, open_store(loaded), prepare(loaded), day_of(date) or datetime.now(UTC).date()), way
        )
        return
    run_stages(config, [Stage.TOWERS], day=date, json=json, training=way)


@app.command()
def export(
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder; a former export in it is replaced.")],
    config: ConfigPath = HERE,
    date: Day = None,
    users: Users = None,
    index: Annotated[bool, typer.Option(help="A FAISS index of the items.")] = True,
    onnx: Annotated[bool, typer.Option(help="The towers' dense part as ONNX.")] = True,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; see that what is there is whole.")] = False,
    json: Json = False,
) -> None:
    """Vectors of all items and users as Parquet, an index and ONNX, with a manifest written last."""
    from recgpt.stages import exporting  # noqa: PLC0415 (torch takes seconds)

    with progress() as draw:
        night = _night(config, date, users, draw)
        manifest = exporting.check(night, out) if check else exporting.run(night, out, index=index, onnx=onnx)
    if json:
        print_json(manifest)
        return
    rows = ", ".join(f"{manifest[name]['rows']:,} {name}" for name in ("items", "users"))
    OUT.print(f"{out}: {rows}, towers {manifest['towers']}", markup=False)
    if manifest["ranks"] == "new":
        OUT.print(
            "These towers score what a user had before apart (network.repeats): serve the vectors for new items only"
        )


@app.command()
def beta(
    date: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="A night whose tags are made; events after it are the test.")
    ],
    config: ConfigPath = HERE,
    days: Annotated[int, typer.Option(min=1, help="How many days after the night are asked for.")] = 14,
    users: Users = None,
    json: Json = False,
) -> None:
    """Measure score.beta, the weight of user.item beside tag.item, on what users took after a night. Sets nothing."""
    from recgpt.stages import fusion  # noqa: PLC0415 (torch takes seconds)

    with progress() as draw:
        night = _night(config, date, users, draw)
        fit = fusion.measure(night, days=days)
    if json:
        print_json(fit.as_dict())
        return
    for one, value in fit.ndcg:
        OUT.print(f"beta {one:.2f}  NDCG@{night.config.score.top_k} {value:.4f}" + (" <" if one == fit.beta else ""))
    OUT.print(f"{fit.users:,} users; in recgpt.toml: [score] beta = {fit.beta}", markup=False)


def _night(path: Path, date: datetime | None, users: int | None, draw: Callable[[Progress], None]) -> Night:
    config = settings.load(path)
    return Night(
        config, open_store(config), prepare(config), day_of(date) or datetime.now(UTC).date(), users, progress=draw
    )


@app.command()
def evaluate(
    date: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="The night to train for; events after it are the test.")
    ],
    config: ConfigPath = HERE,
    days: Annotated[int, typer.Option(min=1, help="How many days after the night are asked for.")] = 14,
    k: Annotated[int, typer.Option("-k", min=1, help="Length of a list.")] = 10,
    users: Annotated[int | None, typer.Option(min=1, help="Ask at most so many users, drawn evenly.")] = None,
    plots: Annotated[Path | None, typer.Option(file_okay=False, help="A folder to draw into, PNG and SVG.")] = None,
    json: Json = False,
) -> None:
    """Train on what is before a night and measure on what users did after it, beside popularity and item-kNN.

    Nothing is stored. Cold items, cold users and users by activity stand apart, with 95 % intervals.
    """
    from recgpt.evaluation import plots as pictures  # noqa: PLC0415 (torch takes seconds)
    from recgpt.evaluation import towers as measures  # noqa: PLC0415

    loaded = settings.load(config)
    with progress() as draw:
        night = Night(loaded, open_store(loaded), prepare(loaded), date.date(), progress=draw)
        report = measures.evaluate(night, days=days, k=k, most_users=users)
    drawn = pictures.draw(report, plots) if plots else []
    if json:
        print_json(report.as_dict())
        return
    print_report(report)
    for path in drawn:
        OUT.print(f"drawn: {path}", markup=False)


def print_report(report: "Report") -> None:
    OUT.print(
        f"Towers trained up to {report.night} on {report.train_events:,} events in {report.train_seconds:,.0f} s; "
        f"{report.users:,} users took {report.wanted:,} items that were new to them in the {report.days} days after"
    )
    names = list(report.rows[0].metrics)
    table = columns("group", "model", "users", *names, left=2)
    for row in report.rows:
        table.add_row(row.group, row.model, f"{row.users:,}", *(_cell(row.metrics[name]) for name in names))
    OUT.print(table)
    lists = columns("lists of", "coverage", "novelty, bits", "diversity", f"towers' ndcg@{report.k} above it by")
    for one in report.lists:
        above = report.above.get(one.model)
        by = "" if above is None else f"{above.mean:+.4f} ({above.low:+.4f} to {above.high:+.4f})"
        lists.add_row(one.model, f"{one.coverage:.3f}", f"{one.novelty:.2f}", f"{one.diversity:.3f}", by)
    OUT.print(lists)


def _cell(mean: "Mean") -> str:
    return "none" if isnan(mean.value) else f"{mean.value:.4f} ({mean.low:.4f}-{mean.high:.4f})"
