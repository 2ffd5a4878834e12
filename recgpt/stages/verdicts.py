"""Judging what the stages made: one question a criterion, a probability for the answer, labels in SQL.

Which rows are judged is said in `recgpt.labels.sampling`, and what a judge's answer is held against in
`recgpt.labels.judging`. A row that a judge has judged by the same criteria and thresholds is not asked again. A judge
that gives no answer leaves no label.

Where the config names a panel, each of its judges does the whole work in turn, on the budget of the run, and what they
say together is worked out once all have. One whose server does not answer holds up none of the others; the run then
fails all the same, and the same command goes on with that one.
"""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from sqlalchemy.orm import Session

from judges import REVIEWER, Criterion, CriterionError, grade, load_criteria
from recgpt.config import Config
from recgpt.engine import embedded
from recgpt.engine.asking import LanguageModel
from recgpt.engine.open import open_engine
from recgpt.errors import ConfigError, EngineError
from recgpt.labels import pairs, panel
from recgpt.labels.judging import Asked, Judge, labels_of, read
from recgpt.labels.sampling import NIGHTLY, Drawing, drawn
from recgpt.labels.store import add
from recgpt.labels.targets import Target, load_targets
from recgpt.labels.thresholds import newest, reviewed
from recgpt.serving import Serving
from recgpt.settings import Seat
from recgpt.stages.night import Night
from recgpt.stages.work import Kept, Settled, Tally, Work, digest, plan, work, work_through
from recgpt.words import Outcome, Stage, Task

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
    tally, members, missing = Tally(), list[_Member](), None
    for seat in seats:
        try:
            async with seated(night, model, seat) as own:
                judge = Judge(own, seat)
                asked = {task: await _ready(night, judge, task, drawing) for task in drawing.tasks}
                todo, total = _todo(night, judge, drawing, pages, asked)
                tally += await work_through(night, Stage.JUDGE, own, todo, run_id=run_id, total=total)
                members.append(_Member({task: judge.id(task) for task in drawing.tasks}, asked))
        except EngineError as error:
            if len(seats) == 1:
                raise
            missing = error
    if missing is not None:
        raise missing
    if len(seats) > 1 and not drawing.pairs:
        tally.notes["panel_labels"] += _sit(night, pages(), members, run_id)
    return tally


async def dry_run(night: Night, model: LanguageModel, drawing: Drawing = NIGHTLY) -> Tally:
    # Thresholds need answers. Without them every target counts as to be judged; what the ledger holds is a replay.
    pages, tally = _pages(night, drawing), Tally()
    for seat in night.config.seats:
        async with seated(night, model, seat, contact=False) as own:
            judge = Judge(own, seat)
            asked = {task: judge.unready(criteria(night.config, seat, task)) for task in drawing.tasks}
            todo, _ = _todo(night, judge, drawing, pages, asked)
            tally += plan(night, Stage.JUDGE, own, todo)
    return tally


async def _ready(night: Night, judge: Judge, task: Task, drawing: Drawing) -> tuple[Asked, ...]:
    asked = criteria(night.config, judge.seat, task)
    # Which of two is better is held against nothing.
    return judge.unready(asked) if drawing.pairs else await judge.ready(night.store, task, asked)


def _todo(
    night: Night, judge: Judge, drawing: Drawing, pages: Callable[[], Iterable[Page]], asked: ByTask
) -> tuple[Iterator[Work], int]:
    """The units of one judge, and how many there are."""
    alone = len(night.config.seats) == 1
    names = {task: "" if alone else "@" + digest(judge.id(task)).removeprefix("sha256:")[:12] for task in asked}
    if not drawing.pairs:
        least = {task: _least(night, judge, task, asked[task]) for task in drawing.tasks}
        return units(judge, _targets(night, pages()), asked, least, names), sum(len(ids) for _, ids in pages())
    seed = night.config.judge.seed if drawing.seed is None else drawing.seed
    drawn_pairs = {task: pairs.draw(night, task, drawing.sample or 0, seed) for task in drawing.tasks}
    todo = (
        pairs.units(judge.model, found, [one.criterion for one in asked[task]], name=names[task])
        for task, found in drawn_pairs.items()
    )
    return chain.from_iterable(todo), sum(map(len, drawn_pairs.values()))


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
    if drawing.pairs:
        return lambda: ()
    if drawing.sample is None:
        return lambda: drawn(night, drawing)
    kept = list(drawn(night, drawing))
    return lambda: kept


def _targets(night: Night, pages: Iterable[Page]) -> Iterator[Target]:
    for task, ids in pages:
        yield from load_targets(night.store, night.logs, night.config, task, ids)


def _least(night: Night, judge: Judge, task: Task, asked: Sequence[Asked]) -> Mapping[str, float]:
    """The reviewer's threshold, as far as one was fitted."""
    versions = {one.criterion.name: one.criterion.version for one in asked}
    found = newest(night.store, judge.id(task), task).get((REVIEWER, reviewed(versions)))
    return {} if found is None else {REVIEWER: found.value}


def units(
    judge: Judge,
    targets: Iterable[Target],
    asked: ByTask,
    least: Mapping[Task, Mapping[str, float]],
    names: Mapping[Task, str],
) -> Iterator[Work]:
    """A unit a target.

    Args:
        least: the reviewer's threshold of each task.
        names: what is put behind a unit's key, so that of several judges each has units of its own.
    """
    for target in targets:
        criteria = asked[target.task]
        keep = partial(_keep, target=target, asked=criteria, form=judge.seat.form, least=least[target.task])
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
    least: Mapping[str, float],
) -> Kept:
    found = read(asked, settled)
    add(session, labels_of(target, asked, found, form, run_id))
    if not found:
        return Kept(Outcome.INVALID, "no criterion got a verdict")
    notes = Counter[str]()
    if len(found) == len(asked):  # else a defect may have gone unseen
        given = grade({name: verdict for name, (verdict, _) in found.items()}, least)
        notes[f"{target.task}_{given}"] = 1
    return Kept(Outcome.OK, notes=notes)


def _sit(night: Night, pages: Iterable[Page], members: Sequence[_Member], run_id: int) -> int:
    """What the panel says of what was drawn."""
    written = 0
    for task, ids in pages:
        versions = {one.criterion.name: one.criterion.version for member in members for one in member.asked[task]}
        asked = {member.ids[task]: [one.criterion.name for one in member.asked[task]] for member in members}
        written += panel.sit(night.store, task, asked, versions, night.config.judge.panel_rule, ids, run_id)
    return written
