"""Judges: what a model says of interests, tags and explanations, kept as labels."""

import typer

from cli import labelling, passports
from cli.night import over_rows
from recgpt.words import Stage

app = typer.Typer(no_args_is_help=True, help="Judges and their labels.")


@app.callback()
def judge() -> None:
    """Judges and their labels."""


app.command("run", help="Judge the sample (judge.share) of what the stages made, as far as it has no label yet.")(
    over_rows(Stage.JUDGE)
)
app.command("audit")(passports.audit)
app.command("label")(labelling.label)
