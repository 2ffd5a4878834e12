"""`recgpt engine serve`: a vLLM server with the flags the pipeline wants."""

import os
import shlex

import typer

from cli.options import HERE, ConfigPath
from cli.output import OUT
from recgpt import config as settings
from recgpt.engine.serve import serve_command

app = typer.Typer(no_args_is_help=True, help="The model server.")


@app.callback()
def engine() -> None:
    """The model server."""


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(context: typer.Context, config: ConfigPath = HERE) -> None:
    """Start vLLM for the engine of the config on loopback; further arguments go to vLLM as they are."""
    command = serve_command(settings.load(config), context.args)
    OUT.print(shlex.join(command), markup=False)
    os.execvp(command[0], command)  # noqa: S606 (no shell; the command is the point)
