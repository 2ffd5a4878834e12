"""Judging what the stages made: one question a criterion, a probability for the answer, labels in SQL.

Which rows are judged is said in `recgpt.labels.sampling`, and what a judge's answer is held against in
`recgpt.labels.judging`. A row that a judge has judged by the same criteria and thresholds is not asked again. A judge
that gives no answer leaves no label.

Where the config names a panel, each of its judges does the whole work in turn, on the budget of the run, and what they
say together is worked out at the end. One whose server does not answer holds up none of the others; the run then fails
all the same, and the same command goes on with that one.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from judges import Criterion, CriterionError, load_criteria
from recgpt.config import Config, Seat
from recgpt.engine import embedded
from recgpt.engine.asking import LanguageModel
from recgpt.engine.open import open_engine
from recgpt.errors import ConfigError, EngineError
from recgpt.labels import panel
from recgpt.labels.judging import Asked, Judge, labels_of, read
from recgpt.labels.sampling import Drawing, drawn
from recgpt.labels.store import add
from recgpt.labels.targets import Target, load_targets
from recgpt.serving import Serving
from recgpt.stages.night import Night
from recgpt.stages.work import Kept, Settled, Tally, Work, digest, plan, work, work_through
from recgpt.words import Outcome, Stage, Task

NIGHTLY = Drawing()
Page = tuple[Task, list[int]]
ByTask = Mapping[Task, tuple[Asked, ...]]


@dataclass(frozen=True)
class _Member:
    """A judge of a panel, once it has done its work: what it is known by on each task, and what it was asked."""

    ids: Mapping[Task, str]
    asked: ByTask


async def run(night: Night, model: LanguageModel, run_id: int, drawing: Drawing = NIGHTLY) -> Tally:
    """Judge what is drawn.

    Args:
        model: the one that the config's engine, or `opening`, opened.
    """
    seats = night.config.seats
    pages = _pages(night, drawing)
    total = sum(len(ids) for _, ids in pages())
    tally, members, missing = Tally(), list[_Member](), None
    for seat in seats:
        try:
            async with seated(night, model, seat) as own:
                judge = Judge(own, seat)
                asked = {
                    task: await judge.ready(night.store, task, criteria(night.config, seat, task))
                    for task in drawing.tasks
                }
                todo = units(judge, _targets(night, pages()), asked, alone=len(seats) == 1)
                tally += await work_through(night, Stage.JUDGE, own, todo, run_id=run_id, total=total)
                members.append(_Member({task: judge.id(task) for task in drawing.tasks}, asked))
        except EngineError as error:
            if len(seats) == 1:
                raise
            missing = error
    if len(seats) > 1:
        tally.notes["panel_labels"] += _sit(night, pages(), members, run_id)
    if missing is not None:
        raise missing
    return tally


async def dry_run(night: Night, model: LanguageModel, drawing: Drawing = NIGHTLY) -> Tally:
    # Thresholds need answers. Without them every target counts as to be judged; what the ledger holds is a replay.
    seats = night.config.seats
    pages, tally = _pages(night, drawing), Tally()
    for seat in seats:
        async with seated(night, model, seat, contact=False) as own:
            judge = Judge(own, seat)
            asked = {task: judge.unready(criteria(night.config, seat, task)) for task in drawing.tasks}
            todo = units(judge, _targets(night, pages()), asked, alone=len(seats) == 1)
            tally += plan(night, Stage.JUDGE, own, todo)
    return tally


def criteria(config: Config, seat: Seat, task: Task) -> tuple[Criterion, ...]:
    """What a judge is asked about a task: the config's choice, or every criterion that has the judge's form. One of
    several judges is asked those of the choice that have its form.

    Raises:
        ConfigError: the config names a criterion that there is not.
    """
    names = config.judge.criteria.get(task)
    try:
        if names is not None and seat.form == "said" and config.judge.panel:
            sayable = {one.name for one in load_criteria(task, form="said")}
            names = tuple(one.name for one in load_criteria(task, names) if one.name in sayable)
        return load_criteria(task, names, form=seat.form)
    except CriterionError as error:
        raise ConfigError(f"[judge]: {error}") from error


def opening(config: Config) -> Config:
    """The config by which to open the engine where nothing but judging is done: the first judge's, so that no other
    server has to be there."""
    return config.model_copy(update={"engine": config.seats[0].engine})


@contextlib.asynccontextmanager
async def seated(
    night: Night, model: LanguageModel, seat: Seat, *, contact: bool = True
) -> AsyncIterator[LanguageModel]:
    """A judge's model: the one that is open, if it is that; else its own, on what is left of the budget."""
    if _is(model, seat):
        yield model
        return
    config = night.config.model_copy(update={"engine": seat.engine})
    # What is promoted is for the config's own engine.
    served = None if seat.engine == night.config.engine else Serving()
    left = model.tokens_left
    opened = open_engine(config, night.store, night.parent_run, max_tokens=left, contact=contact, served=served)
    async with opened as own:
        try:
            yield own
        finally:
            model.add_usage(own.usage)


def _is(model: LanguageModel, seat: Seat) -> bool:
    engine = seat.engine
    if engine.kind == "embedded":
        return model.model == embedded.MODEL
    here = (model.chat.base_url, model.model, model.revision)
    return here == (engine.base_url, engine.model, engine.revision)


def _pages(night: Night, drawing: Drawing) -> Callable[[], Iterable[Page]]:
    """What is drawn, as often as it is asked for: a share of all rows is too much to hold."""
    if drawing.sample is None:
        return lambda: drawn(night, drawing)
    kept = list(drawn(night, drawing))
    return lambda: kept


def _targets(night: Night, pages: Iterable[Page]) -> Iterator[Target]:
    for task, ids in pages:
        yield from load_targets(night.store, night.logs, night.config, task, ids)


def units(judge: Judge, targets: Iterable[Target], asked: ByTask, *, alone: bool) -> Iterator[Work]:
    """A unit a target. Of several judges each has units of its own."""
    names = {task: "" if alone else "@" + digest(judge.id(task)).removeprefix("sha256:")[:12] for task in asked}
    for target in targets:
        criteria = asked[target.task]
        keep = partial(_keep, target=target, asked=criteria, form=judge.seat.form)
        made_of = [one.identity for one in criteria]
        yield work(f"{target.task}:{target.id}{names[target.task]}", judge.questions(target, criteria), keep, made_of)


def _keep(
    session: Session,
    settled: Sequence[Settled],
    run_id: int,
    *,
    target: Target,
    asked: Sequence[Asked],
    form: str,
) -> Kept:
    rows = labels_of(target, asked, read(asked, settled), form, run_id)
    add(session, rows)
    if not rows:
        return Kept(Outcome.INVALID, "no criterion got a verdict")
    return Kept(Outcome.OK)


def _sit(night: Night, pages: Iterable[Page], members: Sequence[_Member], run_id: int) -> int:
    """What the panel says of what was drawn."""
    written = 0
    for task, ids in pages:
        versions = {one.criterion.name: one.criterion.version for member in members for one in member.asked[task]}
        asked = {member.ids[task]: [one.criterion.name for one in member.asked[task]] for member in members}
        written += panel.sit(night.store, task, asked, versions, night.config.judge.panel_rule, ids, run_id)
    return written
