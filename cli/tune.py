"""`recgpt tune`: prompts and models made better by labels."""

import typer

from cli import models, prompting, versions

app = typer.Typer(no_args_is_help=True, help="Prompts and models made better by labels.")


@app.callback()
def tune() -> None:
    """Prompts and models made better by labels."""


app.command("prompts")(prompting.prompts)
app.command("sft")(models.sft)
app.command("dpo")(models.dpo)
app.command("grpo")(models.grpo)
app.command("judge")(models.judge)
app.command("evaluate")(versions.evaluate)
app.command("list")(versions.listed)
