"""`recgpt judge run` and `recgpt judge pairs`: models as judges."""

from typing import Annotated, Any, get_args

import typer

from cli.night import run_stages
from cli.options import HERE, ConfigPath, Day, DryRun, Json
from recgpt.labels.sampling import Drawing, Stratum
from recgpt.words import Stage, Task

Tasks = Annotated[list[Task] | None, typer.Argument(help="What is judged; all of it, if nothing is named.")]
Seed = Annotated[int | None, typer.Option(help="Another one draws others. judge.seed.")]
Budget = Annotated[
    int | None, typer.Option("--budget", "--max-tokens", min=1, help="Stop cleanly after so many tokens.")
]
STRATA = get_args(Stratum)


def run(
    tasks: Tasks = None,
    config: ConfigPath = HERE,
    date: Day = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="So many rows of each task, instead of judge.share of all.")
    ] = None,
    strata: Annotated[str, typer.Option(help=f"Spread the sample over these, by commas: {', '.join(STRATA)}.")] = "",
    seed: Seed = None,
    budget: Budget = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Judge rows that the stages made, as far as they have no label yet.

    Which rows is decided by a hash: the same command draws the same ones, and goes on where it was cut short. A judge
    that gives no answer leaves no label. Where the config names a panel, each of its judges answers, then all together.
    """
    chosen = [name.strip() for name in strata.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in STRATA]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}; there are {', '.join(STRATA)}", param_hint="--strata")
    if chosen and sample is None:
        raise typer.BadParameter("strata are of a sample: say how many with --sample", param_hint="--strata")
    strata_of = tuple(one for one in STRATA if one in chosen)
    drawing = Drawing(_tasks(tasks), sample, strata=strata_of, seed=seed)
    _judge(drawing, config, date=date, budget=budget, dry_run=dry_run, json=json)


def pairs(
    tasks: Tasks = None,
    config: ConfigPath = HERE,
    date: Day = None,
    sample: Annotated[int, typer.Option(min=1, help="So many pairs of each task.")] = 50,
    seed: Seed = None,
    budget: Budget = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Which of two texts for the same input is better, by each criterion, asked in both orders.

    Only a text that wins in both orders has won; how often the orders agree is the judge's consistency, which
    'recgpt judge audit' reports.
    """
    drawing = Drawing(_tasks(tasks), sample, pairs=True, seed=seed)
    _judge(drawing, config, date=date, budget=budget, dry_run=dry_run, json=json)


def _tasks(named: list[Task] | None) -> tuple[Task, ...]:
    return tuple(task for task in Task if not named or task in named)


def _judge(drawing: Drawing, config: Any, *, date: Any, budget: int | None, dry_run: bool, json: bool) -> None:
    run_stages(config, [Stage.JUDGE], day=date, dry_run=dry_run, max_tokens=budget, json=json, judging=drawing)
