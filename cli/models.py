"""`recgpt tune sft`, `dpo`, `grpo` and `judge`: adapters trained on labels, or by judges."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import HERE, ConfigPath, Json, MaxTokens, day_of
from cli.output import OUT, columns, print_json, say
from cli.progress import progress
from cli.versions import Day
from recgpt import config as settings
from recgpt.tuning.at_work import at_work
from recgpt.tuning.models import TEMPERATURE, USERS, Wanted, tune_model
from recgpt.tuning.promote import short
from recgpt.tuning.training import BASE, SERVING, Tuned
from recgpt.words import Task

Written = Annotated[Task, typer.Argument(help="What is to be written better.")]
Judged = Annotated[Task, typer.Argument(help="What is to be judged better.")]
Samples = Annotated[int, typer.Option(min=0, help="Take so many further answers to each question, and judge them.")]
Asked = Annotated[int, typer.Option("--users", min=1, help="Whose questions, at most (or interests' names).")]
Heat = Annotated[float, typer.Option(min=0.01, max=2.0, help="Of further answers.")]
General = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="JSON Lines of general instructions, instead of tuning.general."),
]
Parent = Annotated[str, typer.Option(help="Go on from an adapter: a version, 'serving', or 'base' for none.")]
Out = Annotated[Path | None, typer.Option(file_okay=False, help="Where the training's folder is made. WORK/tuning.")]
Below = Annotated[bool, typer.Option("--force", help="Learn from judges below the bar too; see 'judge audit'.")]


def sft(
    task: Written,
    config: ConfigPath = HERE,
    samples: Samples = 0,
    users: Asked = USERS,
    temperature: Heat = TEMPERATURE,
    max_tokens: MaxTokens = None,
    general: General = None,
    parent: Parent = BASE,
    out: Out = None,
    date: Day = None,
    force: Below = False,
    json: Json = False,
) -> None:
    """Train an adapter on the answers that were judged to be good.

    What it learns is the answers behind labelled rows, and with --samples further ones, as far as they are S or A. A
    training that was cut short goes on with the same command.
    """
    wanted = Wanted("sft", task, parent, samples, users, temperature, max_tokens, general, out, force)
    _tune(wanted, config, date, json=json)


def dpo(
    task: Written,
    config: ConfigPath = HERE,
    samples: Samples = 0,
    users: Asked = USERS,
    temperature: Heat = TEMPERATURE,
    max_tokens: MaxTokens = None,
    general: General = None,
    parent: Parent = SERVING,
    out: Out = None,
    date: Day = None,
    force: Below = False,
    json: Json = False,
) -> None:
    """Train an adapter on pairs: a good and a bad answer to the same question.

    One answer to each question gives hardly a pair, so --samples is wanted as a rule. It goes on from the adapter that
    serves, unless told otherwise.
    """
    wanted = Wanted("dpo", task, parent, samples, users, temperature, max_tokens, general, out, force)
    _tune(wanted, config, date, json=json)


def grpo(
    task: Written,
    config: ConfigPath = HERE,
    users: Asked = USERS,
    max_tokens: MaxTokens = None,
    parent: Parent = SERVING,
    out: Out = None,
    date: Day = None,
    force: Below = False,
    json: Json = False,
) -> None:
    """Train an adapter on answers of its own, by what they are worth to the stage's gates and the judges.

    A closed gate makes an answer worth nothing. Begin with an adapter that SFT made: from a model that hardly ever
    answers in the format there is nothing to learn. It goes on from the adapter that serves, unless told otherwise.
    """
    wanted = Wanted("grpo", task, parent, users=users, max_tokens=max_tokens, out=out, force=force)
    _tune(wanted, config, date, json=json)


def judge(
    task: Judged,
    config: ConfigPath = HERE,
    out: Out = None,
    force: Below = False,
    json: Json = False,
) -> None:
    """Train an adapter that judges, on what people said.

    It answers in the form 'verdict'. What it learnt from is left out of its passport.
    """
    _tune(Wanted("judge", task, out=out, force=force), config, None, json=json)


def _tune(wanted: Wanted, config: Path, date: Any, *, json: bool) -> None:
    loaded = settings.load(config)
    with (
        progress() as draw,
        at_work(loaded, f"recgpt tune {wanted.kind}", day_of(date), draw) as (night, stopping),
    ):
        tuned = tune_model(night, stopping, wanted)
    if json:
        print_json(tuned.as_dict())
    else:
        _print(tuned, forms={seat.form for seat in loaded.seats})


def _print(tuned: Tuned, forms: set[str]) -> None:
    counts, figures = tuned.data["counts"], tuned.figures
    say(f"{short(tuned.version)} for {tuned.served}, on {tuned.base}, from {short(tuned.parent) or 'the base itself'}")
    mixed = f" and {counts['general']:,} general ones" if counts.get("general") else ""
    what = "questions" if "reward" in figures else "examples"
    say(f"  learnt from {counts['rows']:,} {what}{mixed}, in {figures['steps']:,} steps; {tuned.folder}")
    for name, said in counts.get("by_criterion", {}).items():
        shown = f"{said['rows_yes']:,} and {said['rows_no']:,}"
        say(f"  {name}: {said['yes']:,} yes and {said['no']:,} no, shown as {shown}")
    for name, why in counts.get("criteria_left_out", {}).items():
        say(f"  {name} is left out: {why}")
    for why in counts.get("judges_refused", []):
        say(f"  {why}")
    if figures.get("too_long"):
        say(f"  left out, longer than tuning.max_tokens: {figures['too_long']:,}")
    if "reward" in figures:
        first, last = (f"{figures['reward'][name]:.3f}" for name in ("first", "last"))
        say(f"  mean reward {first} in its first steps, {last} in its last")
    if figures["held_out"]:
        table = columns("on held-out users", "before", "after")
        for name, held in figures["held_out"].items():
            table.add_row(name, f"{held['before']:.3f}", f"{held['after']:.3f}")
        OUT.print(table)
    say(f"Next: 'recgpt tune evaluate {short(tuned.version)}'")
    if tuned.served != tuned.served.rpartition(".")[2] and forms != {"verdict"}:
        say("It answers in the form 'verdict': set judge.form to that before it serves")
