"""The `recgpt` command. Each group lives in a file of its own; here they are put together and errors become exits.

Exit codes: 0 done, 1 the run failed, 2 the call was wrong, 3 done but below the asked coverage.
"""

import os
import sys

import typer

from cli import engine, evaluate, imports, judge, night, project, reading, towers, tune, versions
from cli.output import ERR
from recgpt.errors import RecgptError, disk_faults

app = typer.Typer(
    name="recgpt",
    help="From behaviour logs to explained recommendations, every night, by way of a language model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
project.add_to(app)
night.add_to(app)
reading.add_to(app)
versions.add_to(app)
app.add_typer(towers.app, name="towers")
app.add_typer(judge.app, name="judge")
app.add_typer(tune.app, name="tune")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(imports.app, name="import")
app.add_typer(engine.app, name="engine")


def main() -> None:
    """Run the command; a RecgptError is printed without a traceback, since its message names the remedy."""
    # Read once, when torch starts its threads: they must not spin while they wait, since the engine needs the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with disk_faults():
            app()
    except RecgptError as error:
        ERR.print(f"recgpt: {error}", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
