"""`recgpt judge label`: a person at the terminal, or people at a web page."""

import os
import sys
from typing import Annotated, Any

import typer

from cli.options import HERE, ConfigPath, Json
from cli.output import ERR, OUT, print_json
from recgpt import config as settings
from recgpt.labelling import start, terminal
from recgpt.labelling.guard import TOKEN_ENV
from recgpt.labelling.session import labeller_name
from recgpt.labelling.visible import one_line
from recgpt.sources.prepare import prepare
from recgpt.store.session import open_store
from recgpt.words import Task

HOST, PORT = "127.0.0.1", 8750
Name = Annotated[
    str, typer.Option("--as", metavar="NAME", envvar="USER", help="Who labels; kept as human:NAME.", show_default=False)
]
Criteria = Annotated[
    list[str] | None,
    typer.Option("--criterion", help="Ask only this one; may be repeated. Those of judge.criteria, or all."),
]


def label(
    task: Annotated[Task, typer.Argument(help="What is judged.")],
    config: ConfigPath = HERE,
    name: Name = "",
    criterion: Criteria = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many verdicts.")] = None,
    random_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The part of all rows, and of the questions, that chance chooses.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(help="Another one chooses other rows by chance.")] = 0,
    web: Annotated[bool, typer.Option("--web", help="As a local web page.")] = False,
    host: Annotated[
        str | None, typer.Option(help=f"Where the page is served; {HOST}. Others than this machine need a token.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help=f"Of the page; {PORT}. 0: any.")] = None,
    called: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The name of a proxy in front of the page, which then has a token."),
    ] = None,
    json: Json = False,
) -> None:
    """Label by hand what the stages made: one key a verdict, stored at once; the same command goes on later.

    First comes what the judges disagree on, mixed with a share drawn by chance. Where the input is no terminal, each
    line is a key and, behind it, a note. With --web the same queue is a page; where it serves other machines it asks
    for a token: the one in RECGPT_LABEL_TOKEN, or one that is made and printed.
    """
    if not web and (host, port, called) != (None, None, None):
        raise typer.BadParameter("--host, --port and --called belong to --web")
    name = labeller_name(name)
    loaded = settings.load(config)
    criteria = start.criteria_of(loaded, task, criterion or ())
    sitter = start.Sitter(
        loaded, open_store(loaded), prepare(loaded), task, criteria, random_share=random_share, seed=seed, limit=limit
    )
    if web:
        _serve(sitter, name, HOST if host is None else host, PORT if port is None else port, called, json=json)
        return
    sitting = sitter.sit(name)
    terminal.run(sitting, terminal.console(sys.stderr if json else sys.stdout))
    if json:
        print_json(sitting.summary())
    else:
        print_summary(sitting.summary())


def _serve(sitter: start.Sitter, name: str, host: str, port: int, called: str | None, *, json: bool) -> None:
    with start.page(sitter.sit, name, host=host, port=port, called=called, environment=os.environ) as opened:
        if json:
            print_json({"url": opened.url, "token": opened.token})
        else:
            OUT.print(
                f"Labelling {sitter.task} at {opened.url} (Ctrl-C ends it; every verdict is stored at once)",
                markup=False,
            )
            if opened.token is not None:
                OUT.print(f"Token: {opened.token} (made for this time; {TOKEN_ENV} sets one)", markup=False)
        sys.stdout.flush()
        try:
            opened.serve()
        except KeyboardInterrupt:
            ERR.print("Ended.")


def print_summary(found: dict[str, Any]) -> None:
    """What a sitting came to."""
    OUT.print(
        f"{found['judge']}: {found['yes']} yes, {found['no']} no, {found['skipped']} skipped in this sitting; "
        f"{found['total']:,} labels of {found['task']} in all",
        markup=False,
    )
    for one in found["agreement"]:
        share = one["same"] / one["common"]
        OUT.print(
            f"  {one_line(one['judge'])} said the same on {one['same']:,} of {one['common']:,} ({share:.0%})",
            markup=False,
        )
    if found["agreement"]:
        OUT.print(f"  'recgpt judge audit {found['task']}' says how far that is beyond chance")
