"""Judges: what a model says of interests, tags and explanations, kept as labels."""

import typer

from cli.night import run_stages
from cli.options import HERE, ConfigPath, Day, DryRun, Json, MaxTokens
from recgpt.words import Stage

app = typer.Typer(no_args_is_help=True, help="Judges and their labels.")


@app.callback()
def judge() -> None:
    """Judges and their labels."""


@app.command()
def run(
    config: ConfigPath = HERE,
    date: Day = None,
    dry_run: DryRun = False,
    max_tokens: MaxTokens = None,
    json: Json = False,
) -> None:
    """Judge the sample (judge.share) of what the stages made, as far as it has no label yet."""
    run_stages(config, [Stage.JUDGE], day=date, dry_run=dry_run, max_tokens=max_tokens, json=json)
