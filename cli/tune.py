"""`recgpt tune`: prompts and models made better by labels."""

import typer

from cli import versions

app = typer.Typer(no_args_is_help=True, help="Prompts and models made better by labels.")


@app.callback()
def tune() -> None:
    """Prompts and models made better by labels."""


app.command("evaluate")(versions.evaluate)
app.command("list")(versions.listed)
