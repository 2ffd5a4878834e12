"""A version on trial: what it makes for given users, judged, with the night's own rows left as they are.

The stage that would serve it makes the rows, on a store of its own, so that what is measured is what would be served,
gates and all. Answers go to and come from the project's ledger: what was asked before is not asked again. Every version
is given the same users, interests and recommendations, and a memory to update is read with the version too.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from sqlalchemy import Engine, event, func, make_url, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from judges import Verdict
from recgpt.config import Config
from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply
from recgpt.errors import DataError
from recgpt.labels.targets import TABLES, Target, target
from recgpt.serving import Serving
from recgpt.stages.answers import Refused
from recgpt.stages.explanations import pairs
from recgpt.stages.explanations import stage as explanations
from recgpt.stages.interests import stage as interests
from recgpt.stages.night import Night
from recgpt.stages.tags import stage as tags
from recgpt.stages.work import Kept, Settled, Work, work_through
from recgpt.store.session import connect
from recgpt.store.tables import Base, Interest, ModelVersion, Recommendation, Tag
from recgpt.tuning.gate import AIM, Values
from recgpt.tuning.split import held_out, key_of
from recgpt.words import Stage, State, Task

STAGES: Final = {
    Task.INTERESTS: (Stage.INTERESTS, interests),
    Task.TAGS: (Stage.TAGS, tags),
    Task.EXPLANATIONS: (Stage.EXPLAIN, explanations),
}
UPDATED: Final = timedelta(days=30)  # how long before its day a memory that is to be updated was read

# What is said of a target, by criterion, as far as anything is.
Verdicts = Callable[[Target], Awaitable[Mapping[str, Verdict]]]


@dataclass(frozen=True)
class Inputs:
    """What every version is given. A key is what the split goes by: a user, or the name of an interest."""

    task: Task
    keys: tuple[str, ...]
    days: tuple[date, ...]  # of the nights that are run, one after the other
    rows: Mapping[str, tuple[Base, ...]] = field(default_factory=dict)  # of the store, by key
    shared: tuple[Base, ...] = ()

    def only(self, keys: Sequence[str]) -> "Inputs":
        return replace(self, keys=tuple(keys))


@dataclass
class Turn:
    """What came of one key."""

    rows: list[tuple[Target, Mapping[str, Verdict]]] = field(default_factory=list)
    refusals: list[tuple[Refused, str | None]] = field(default_factory=list)  # by gates, with the request's hash
    replies: list[Reply] = field(default_factory=list)  # the last one to each question

    def known(self, name: str, criteria: Sequence[str]) -> list[bool]:
        """What is known of the rows by a criterion, or by all of them: one with a defect fails, whatever is missing."""
        if name != AIM:
            return [said[name].verdict for _, said in self.rows if name in said]
        return [
            all(verdict.verdict for verdict in said.values())
            for _, said in self.rows
            if set(said) >= set(criteria) or not all(verdict.verdict for verdict in said.values())
        ]


Turns = Mapping[str, Turn]  # by key; without those that nothing was asked about, or that got no answer


def asked_by(config: Config) -> dict[Task, tuple[str, ...]]:
    """The prompts that a task is asked by as it is configured, the one that writes the judged text first."""
    interests = {"grouped": ("interest_name",), "read": ("interests_read", "interests_update")}
    tags = {
        "each": ("interest_tags",),
        "single": ("tags_single",),
        "experts": ("tags_expert", "tags_planner", "tags_arbiter"),
    }
    explanations = {"short": ("explanation_short",), "full": ("explanation", "explanation_style")}
    return {
        Task.INTERESTS: interests[config.interests.strategy],
        Task.TAGS: tags[config.tags.strategy],
        Task.EXPLANATIONS: explanations[config.explain.strategy],
    }


def inputs(night: Night, task: Task, most: int, *, held: bool = True, prompt: str = "") -> Inputs:
    """At most `most` of the held-out keys, or of the others; a hash decides which.

    Args:
        prompt: the one that is tried, where it is one prompt.

    Raises:
        DataError: there is none, or nothing was made that the task starts from.
    """
    rules = night.config.tuning

    def chosen(keys: Iterator[str] | Sequence[str]) -> list[str]:
        wanted = (key for key in keys if held_out(key, rules) == held)
        return sorted(wanted, key=lambda key: _order(key, rules.seed))[:most]

    with Session(night.store, expire_on_commit=False) as session:
        if task is Task.INTERESTS:
            reads = night.config.interests.strategy == "read" and prompt != "interests_read"
            days = (night.day - UPDATED, night.day) if reads else (night.day,)
            sizes = night.logs.sizes([key for key in night.logs.user_ids() if held_out(key, rules) == held])
            return _found(Inputs(task, tuple(chosen([key for key in sizes if sizes[key]])), days), held)
        towers = tuple(session.scalars(select(ModelVersion).where(ModelVersion.kind == "towers")))
        if task is Task.TAGS:
            active = select(Interest.user_id).where(Interest.state == State.ACTIVE).distinct()
            users = chosen(session.scalars(active).all())
            mine = select(Interest).where(Interest.state == State.ACTIVE, Interest.user_id.in_(users))
            rows: dict[str, list[Base]] = {user: [] for user in users}
            for one in session.scalars(mine.order_by(Interest.id)):
                rows[one.user_id].append(one)
            return _found(Inputs(task, tuple(users), (night.day,), _frozen(rows), towers), held)
        newest = session.scalar(select(func.max(Recommendation.night))) or night.day
        first = Recommendation.night == newest, Recommendation.rank <= night.config.explain.top
        joined = select(Interest.name).join(Recommendation, Recommendation.interest_id == Interest.id)
        names: dict[str, set[str]] = {}
        for name in session.scalars(joined.where(*first).distinct()):
            names.setdefault(key_of(None, name), set()).add(name)
        keys = chosen(list(names))
        of_them = Interest.name.in_([name for key in keys for name in names[key]])
        needed = (
            select(Recommendation, Interest, Tag)
            .join(Interest, Interest.id == Recommendation.interest_id)
            .join(Tag, Tag.id == Recommendation.tag_id)
            .where(*first, of_them)
            .order_by(Recommendation.user_id, Recommendation.rank)
        )
        lines: dict[str, list[Base]] = {key: [] for key in keys}
        for recommendation, interest, tag in session.execute(needed):
            lines[key_of(None, interest.name)] += [interest, tag, recommendation]
        return _found(Inputs(task, tuple(keys), (newest,), _frozen(lines), towers), held)


def _order(key: str, seed: int) -> str:
    return hashlib.sha256(f"trial {seed}\n{key}".encode("utf-8", "replace")).hexdigest()


def _frozen(rows: Mapping[str, list[Base]]) -> dict[str, tuple[Base, ...]]:
    return {key: tuple(listed) for key, listed in rows.items()}


def _found(given: Inputs, held: bool) -> Inputs:
    if not given.keys:
        what = {
            Task.INTERESTS: "user with events",
            Task.TAGS: "user with interests ('recgpt interests' makes them)",
            Task.EXPLANATIONS: "interest with recommendations ('recgpt score' makes them)",
        }
        remedy = "raise tuning.held_out" if held else "lower tuning.held_out"
        raise DataError(f"no {what[given.task]} is {'' if held else 'not '}held out: {remedy}, or take a larger shop")
    return given


async def turns(night: Night, given: Inputs, served: Serving, model: LanguageModel, judge: Verdicts) -> Turns:
    """What `served` makes of the inputs, and what is said of it.

    Args:
        model: an engine that was opened with the adapters of `served`.

    Raises:
        RecgptError: the stage or the judge can't go on; what was answered is in the ledger.
    """
    found: dict[str, Turn] = {}
    stage, maker = STAGES[given.task]
    users = None if given.task is Task.EXPLANATIONS else frozenset(given.keys)
    keys = _keys(given)
    _ = night.vectors  # worked out once for all trials on this night, see `Night.like`
    with workbench(night, given) as store:
        for day in given.days:
            found.clear()  # what is kept is of the last night
            tried = night.like(store=store, day=day, only=users, users=None, trial=served)
            units = [_noting(unit, keys.get(unit.key, unit.key), found) for unit in maker.units(tried, model)]
            await work_through(tried, stage, model, units, run_id=0, total=len(units))
        table = TABLES[given.task]
        with Session(store) as session:
            made = session.scalars(select(table).where(table.state == State.ACTIVE).order_by(table.id))
            targets = [target(night.config, night.logs, session, row) for row in made]
    targets = [one for one in targets if key_of(one.user_id, one.interest) in found]
    said = await _together([judge(one) for one in targets])
    rows = sorted(zip(targets, said, strict=True), key=lambda row: (row[0].interest, row[0].given, row[0].claim))
    for one, verdicts in rows:
        found[key_of(one.user_id, one.interest)].rows.append((one, verdicts))
    return found


async def _together(judged: Sequence[Awaitable[Mapping[str, Verdict]]]) -> list[Mapping[str, Verdict]]:
    """All of them. If one raises, the others are given up: nobody would listen, and each might still ask."""
    tasks = [asyncio.ensure_future(one) for one in judged]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _keys(given: Inputs) -> dict[str, str]:
    """Of which key a unit is, where that is not the unit's own."""
    if given.task is not Task.EXPLANATIONS:
        return {}
    found = {}
    for key in given.keys:
        names = {row.name for row in given.rows[key] if isinstance(row, Interest)}
        items = {row.item_id for row in given.rows[key] if isinstance(row, Recommendation)}
        found.update({pairs.key(name, item): key for name in names for item in items})
    return found


def _noting(unit: Work, key: str, found: dict[str, Turn]) -> Work:
    """The unit, with a note of what came of it, if anything is asked."""

    def keep(session: Session, settled: Sequence[Settled], run_id: int) -> Kept:
        kept = unit.keep(session, settled, run_id)
        turn = found.setdefault(key, Turn())
        turn.replies += [one.reply for one in settled if one.reply is not None]
        turn.refusals += [*(refusal for one in settled for refusal in one.refusals), *kept.refusals]
        return kept

    return replace(unit, keep=keep) if unit.questions else unit


def values(turns: Turns, others: Turns, keys: Sequence[str], criteria: Sequence[str]) -> Values:
    """By criterion, and for all of them together, (U,) the share of each key's rows that passes.

    Where the other version has more rows that pass than this one has rows, the share is of as many: what one leaves out
    and the other gets right is missing, and what was better left out is not. NaN where nothing was asked or is known.
    """
    return {
        name: np.array([share(turns.get(key), others.get(key), name, criteria) for key in keys])
        for name in (*criteria, AIM)
    }


def share(turn: Turn | None, other: Turn | None, name: str, criteria: Sequence[str], failed: int = 0) -> float:
    """The share of one key's rows; `failed` are further ones that never became rows."""
    if turn is None:
        return np.nan
    known = turn.known(name, criteria)
    unknown = len(turn.rows) - len(known)
    if unknown and not known:
        return np.nan
    theirs = sum(other.known(name, criteria)) if other is not None else 0
    return sum(known) / max(len(known) + failed, theirs - unknown, 1)


@contextmanager
def workbench(night: Night, given: Inputs) -> Iterator[Engine]:
    """A store that lasts as long as the block and holds what the version starts from."""
    night.config.work_folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="trial-", dir=night.config.work_folder) as folder:
        store = connect(make_url(f"sqlite:///{Path(folder, 'trial.sqlite')}"))
        # Its rows point to requests in the project's own ledger.
        event.listen(store, "connect", _for_a_while)
        try:
            Base.metadata.create_all(store)
            with Session(store) as session:
                rows = [*given.shared, *(row for key in given.keys for row in given.rows.get(key, ()))]
                for row in dict.fromkeys(rows):  # an interest stands there once for each of its recommendations
                    session.merge(row)
                session.commit()
            yield store
        finally:
            store.dispose()


def _for_a_while(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    for pragma in ("foreign_keys=OFF", "synchronous=OFF"):
        connection.cursor().execute(f"PRAGMA {pragma}")
