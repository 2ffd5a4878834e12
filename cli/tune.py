"""`recgpt tune`: prompts and models made better by labels."""

import typer

app = typer.Typer(no_args_is_help=True, help="Prompts and models made better by labels.")


@app.callback()
def tune() -> None:
    """Prompts and models made better by labels."""
