"""The night and its stages: `nightly`, each stage as a command of its own, and `runs`, which lists what was run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.options import HERE, ConfigPath, Day, DryRun, Json, MaxTokens, UserIds, Users, day_of, ids_of, users_of
from cli.output import print_json, print_runs, print_summary
from cli.progress import progress
from recgpt import config as settings
from recgpt import nightly as plan
from recgpt.errors import BudgetSpent
from recgpt.labels import sampling
from recgpt.store.runs import latest
from recgpt.store.session import open_store
from recgpt.words import RunState, Stage, Training

NIGHTLY = """Run every stage: interests, tags, towers, score, explain, judge.

A run that was killed, stopped or failed goes on with the same command: what is finished is kept, and no answer is asked
for twice. One command at a time works on a store. Ctrl-C or SIGTERM stops within seconds, a second one at once.

Exit codes: 0 done, 1 failed or stopped by a signal, 2 the call was wrong, 3 the token budget is spent or fewer units
than nightly.min_coverage have an answer.
"""


def run_stages(
    path: Path,
    stages: Sequence[Stage],
    *,
    day: Day,
    users: int | None = None,
    user_ids: Path | None = None,
    dry_run: bool = False,
    max_tokens: int | None = None,
    json: bool,
    training: Training = Training.IF_OLD,
    score_out: Path | None = None,
    judging: sampling.Drawing = sampling.NIGHTLY,
) -> None:
    """Run, print, and exit with 3 where the budget is spent or fewer units than asked for have an answer."""
    config = settings.load(path)
    with progress() as draw:
        summary = plan.run(
            config,
            stages,
            day=day_of(day),
            users=users,
            only=ids_of(user_ids),
            dry_run=dry_run,
            max_tokens=max_tokens,
            training=training,
            score_out=score_out,
            judging=judging,
            progress=draw,
        )
    if json:
        print_json(summary.as_dict())
    else:
        print_summary(summary)
    if summary.state == RunState.STOPPED:
        raise BudgetSpent(summary.message)
    if summary.coverage is not None and summary.coverage < config.nightly.min_coverage:
        raise typer.Exit(3)


def add_to(app: typer.Typer) -> None:
    app.command("nightly", help=NIGHTLY)(_over_users(*Stage))
    app.command("interests", help="Profile text to interests with evidence.")(_over_users(Stage.INTERESTS))
    app.command("tags", help="Interests to tags.")(_over_users(Stage.TAGS))
    app.command("explain", help="A short line for each (interest, item) pair that tonight's recommendations need.")(
        _explain
    )

    @app.command()
    def score(
        config: ConfigPath = HERE,
        date: Day = None,
        users: Annotated[
            str | None, typer.Option(help="Only the users of a file, one user_id a line; or the first so many.")
        ] = None,
        out: Annotated[
            Path | None, typer.Option(file_okay=False, help="A folder for the same rows as Parquet, whole or absent.")
        ] = None,
        json: Json = False,
    ) -> None:
        """Tags to items by the towers: the night's recommendations, into the database and, with --out, Parquet."""
        first, file = users_of(users)
        run_stages(config, [Stage.SCORE], day=date, users=first, user_ids=file, score_out=out, json=json)

    @app.command()
    def runs(
        config: ConfigPath = HERE,
        limit: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
        json: Json = False,
    ) -> None:
        """The last runs, newest first: state, coverage, tokens, seconds."""
        listed = latest(open_store(settings.load(config)), limit)
        if json:
            print_json(listed)
        else:
            print_runs(listed)


def _over_users(*stages: Stage) -> Callable[..., None]:
    """A command that asks a model about users."""

    def command(
        config: ConfigPath = HERE,
        date: Day = None,
        users: Users = None,
        user_ids: UserIds = None,
        dry_run: DryRun = False,
        max_tokens: MaxTokens = None,
        json: Json = False,
    ) -> None:
        run_stages(
            config,
            stages,
            day=date,
            users=users,
            user_ids=user_ids,
            dry_run=dry_run,
            max_tokens=max_tokens,
            json=json,
        )

    return command


def _explain(
    config: ConfigPath = HERE,
    date: Day = None,
    dry_run: DryRun = False,
    max_tokens: MaxTokens = None,
    json: Json = False,
) -> None:
    run_stages(config, [Stage.EXPLAIN], day=date, dry_run=dry_run, max_tokens=max_tokens, json=json)
