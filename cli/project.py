"""Starting out: `init`, `demo` and `doctor`."""

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import select
from sqlalchemy.orm import Session

from cli.options import HERE, ConfigPath, Json
from cli.output import OUT, print_json, print_summary
from cli.progress import progress
from cli.reading import print_user
from recgpt import config as settings
from recgpt import doctor as examination
from recgpt import nightly, project, tracing
from recgpt.sources.prepare import prepare
from recgpt.store.session import open_store
from recgpt.store.tables import Recommendation


def add_to(app: typer.Typer) -> None:
    app.command()(init)
    app.command()(demo)
    app.command()(doctor)


def init(folder: Annotated[Path, typer.Argument(help="Where recgpt.toml is written.")]) -> None:
    """Write a commented recgpt.toml."""
    OUT.print(f"Wrote {project.init(folder)}; next: name your tables in it, then 'recgpt doctor'", markup=False)


def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Where the shop is made.")] = Path("demo"),
    users: Annotated[int, typer.Option(min=1, help="Users in the shop; all of them train the towers.")] = 400,
    night_users: Annotated[int, typer.Option(min=1, help="Users whose night is run, the first ones.")] = 30,
    seed: Annotated[int, typer.Option(help="Another seed, another shop.")] = 7,
) -> None:
    """Make a small shop, run its whole night with the embedded model, and show what came of it."""
    made = project.demo(folder, users=users, seed=seed)
    OUT.print(f"The shop in {folder}/ " + ("is made." if made.made else "is there already."), markup=False)
    with progress() as draw:
        summary = nightly.run(made.config, day=project.DEMO_NIGHT, users=night_users, progress=draw)
    print_summary(summary)
    store, logs = open_store(made.config), prepare(made.config)
    with Session(store) as session:
        query = select(Recommendation.user_id).where(Recommendation.night == project.DEMO_NIGHT).distinct()
        shown = list(session.scalars(query.order_by(Recommendation.user_id).limit(2)))
        first = session.scalars(
            select(Recommendation.item_id).where(
                Recommendation.user_id == (shown or [""])[0],
                Recommendation.night == project.DEMO_NIGHT,
                Recommendation.rank == 1,
            )
        ).first()
    for user_id in shown:
        OUT.print()
        print_user(
            tracing.show(made.config, store, logs, user_id, project.DEMO_NIGHT), recommendations=5, profile=False
        )
    OUT.print(f"\nAll of it is in {store.url.database}. Try next:", markup=False)
    if shown:
        OUT.print(f"  recgpt why {shown[0]} {first} -c {folder}      # walk it back to its events", markup=False)
        OUT.print(
            f"  recgpt show {shown[0]} -c {folder}             # the profile text, and all the rest", markup=False
        )
    OUT.print(
        f"  recgpt nightly -c {folder} --date {project.DEMO_NIGHT} --users {night_users}  # again: asks nothing",
        markup=False,
    )


def doctor(config: ConfigPath = HERE, json: Json = False) -> None:
    """Check the set-up, and say the remedy for whatever is not so."""
    checks = examination.examine(settings.load(config))
    if json:
        print_json([vars(check) for check in checks])
    else:
        for check in checks:
            OUT.print(f"{'ok ' if check.ok else 'NO '} {check.name}: {check.found}", markup=False)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
