"""`recgpt towers`: the three-tower network that is trained on the logs."""

from typing import Annotated

import typer

from cli.night import run_stages
from cli.options import HERE, ConfigPath, Day, Json
from recgpt.words import Stage

app = typer.Typer(no_args_is_help=True, help="The three-tower network that is trained on the logs.")


@app.command()
def train(
    config: ConfigPath = HERE,
    date: Day = None,
    json: Json = False,
    if_old: Annotated[
        bool, typer.Option("--if-old", help="Only if the last training is older than towers.retrain_days.")
    ] = False,
) -> None:
    """Train on all events up to the date, hold the latest out for validation, and keep the best epoch."""
    run_stages(config, [Stage.TOWERS], day=date, json=json, force_training=not if_old)
