"""The logs -> each user's memory of interests, a user at a time.

The first night reads all of a user's events. A later one reads only users who did something on purpose since (a unit's
hash covers those events and the rules, nothing of the memory or the calendar), and of them the memory and what came
since. All is read again where it has to be: the rules have changed, events came in late, `interests.reread_days` have
gone by, or what the user does has drifted (recgpt.drift). The run's notes count the readings, by that reason, and the
operations.

Two strategies read. `read` gives a real model the text and takes operations that name their evidence. `grouped` lets
code group the events by meaning, so that evidence is right by construction, and asks a small model only for the names
of groups that are new. Either way what comes out are changes of the memory that have passed every gate (`memory`).
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, Protocol

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from recgpt.config import night_of
from recgpt.drift import user_drift
from recgpt.engine.asking import LanguageModel
from recgpt.sources.logs import History, utc64
from recgpt.stages.interests import memory
from recgpt.stages.interests.grouped import Grouped
from recgpt.stages.interests.memory import MemoryUnit, Propose, Reading
from recgpt.stages.interests.reader import Reader
from recgpt.stages.night import Night
from recgpt.stages.work import Kept, Question, Settled, Tally, Work, digest, ended, plan, work_through
from recgpt.store.tables import Memory
from recgpt.words import Outcome, Stage

BLOCK: Final = 128  # users looked up together
SCHEDULING: Final = {"reread_days", "drift"}  # rules of when to read; the others decide what comes of it

Array = np.ndarray[Any, np.dtype[Any]]


class Strategy(Protocol):
    """A way to read."""

    versions: tuple[str, ...]  # of the prompts, and of whatever else beside config and model decides what is found

    def prepare(self, histories: Sequence[History]) -> None:
        """What is done faster for many users at once."""

    def ask(self, reading: Reading) -> tuple[Sequence[Question], Propose]:
        """The questions of one reading, and what makes changes of their answers."""


async def run(night: Night, model: LanguageModel, run_id: int) -> Tally:
    """Read every user that changed.

    Raises:
        StoreError: the store holds memories of a later night.
    """
    memory.refuse_earlier(night)
    return await work_through(night, Stage.INTERESTS, model, units(night, model), run_id=run_id, total=night.n_users)


def dry_run(night: Night, model: LanguageModel) -> Tally:
    """As `run`, but asks and changes nothing. Raises StoreError likewise."""
    memory.refuse_earlier(night)
    return plan(night, Stage.INTERESTS, model, units(night, model))


def units(night: Night, model: LanguageModel) -> Iterator[Work]:
    """A unit a user. One that is done is recognised by its hash, before anything is rendered or grouped for it."""
    reads = night.config.interests.strategy == "read"
    strategy: Strategy = Reader(night, model) if reads else Grouped(night, model)
    rules_hash = _rules_hash(night, model, strategy)
    histories = night.histories()
    while block := list(islice(histories, BLOCK)):
        read_hashes = {one.user_id: events_hash(one, night) for one in block}
        hashes = {one.user_id: digest(rules_hash, read_hashes[one.user_id], one.features) for one in block}
        with Session(night.store) as session:
            done = ended(session, Stage.INTERESTS, hashes)
            asked = [one.user_id for one in block if one.user_id not in done]
            noted = {row.user_id: row for row in session.scalars(select(Memory).where(Memory.user_id.in_(asked)))}
            known = memory.memories(session, asked, night.day)
            session.expunge_all()
        strategy.prepare([one for one in block if one.user_id not in done])
        for history in block:
            user_id = history.user_id
            if user_id in done:
                yield Work(user_id, hashes[user_id], (), _not_again)
                continue
            before = noted.get(user_id)
            reading = _reading(night, history, known.get(user_id, ()), before, rules_hash)
            questions, propose = strategy.ask(reading)
            keep = partial(
                _keep,
                reading=reading,
                propose=propose,
                read_hash=read_hashes[user_id],
                rules_hash=rules_hash,
                before=before,
            )
            yield Work(user_id, hashes[user_id], tuple(questions), keep)


def events_hash(history: History, night: Night, end: int | None = None) -> str:
    """sha256 over the reliable ones of the first `end` events; without row numbers, which a new item moves."""
    reliable = np.flatnonzero(night.weights[history.behaviours[:end]] > 0)
    ids = night.logs.catalogue.ids
    found = hashlib.sha256(history.times[reliable].astype("datetime64[s]").tobytes())
    found.update(history.behaviours[reliable].tobytes())
    found.update(history.values[reliable].tobytes())
    things = [ids[row] if row >= 0 else history.queries[event] for event, row in _pairs(history, reliable)]
    return digest(found.hexdigest(), things)


def _pairs(history: History, events: Array) -> Iterator[tuple[int, int]]:
    return zip(events.tolist(), history.items[events].tolist(), strict=True)


def _rules_hash(night: Night, model: LanguageModel, strategy: Strategy) -> str:
    config = night.config
    return digest(
        strategy.versions,
        *model.answering("interest_name"),
        config.interests.model_dump(mode="json", exclude=SCHEDULING),
        {name: one.model_dump(mode="json") for name, one in config.behaviours.items()},
        config.rendering.model_dump(mode="json"),
    )


def _reading(
    night: Night,
    history: History,
    known: tuple[MemoryUnit, ...],
    before: Memory | None,
    rules_hash: str,
) -> Reading:
    """All of a user's events, or what came since, by what was noted of the last reading."""
    if before is None:
        return Reading(night, history, known, full="first")
    rules = night.config.interests
    since = int(np.searchsorted(history.times, utc64(before.read_until), side="left"))
    if before.rules_hash != rules_hash:
        full = "rules"
    elif before.read_hash != events_hash(history, night, since):
        full = "late events"
    elif (night.day - before.full_night).days >= rules.reread_days:
        full = "due"
    elif (
        user_drift(history, night.logs.catalogue, night.weights[history.behaviours], utc64(night_of(before.full_night)))
        > rules.drift
    ):
        full = "drift"
    else:
        return Reading(night, history, known, since=since)
    return Reading(night, history, known, full=full)


def _keep(
    session: Session,
    settled: Sequence[Settled],
    run_id: int,
    *,
    reading: Reading,
    propose: Propose,
    read_hash: str,
    rules_hash: str,
    before: Memory | None,
) -> Kept:
    proposal = propose(settled)
    notes = memory.apply(session, reading, proposal.changes, run_id)
    notes[f"full: {reading.full}" if reading.full else "delta"] += 1
    if proposal.failed:  # answers came, and none of them can be used: the next night reads the same events again
        return Kept(Outcome.INVALID, proposal.failed, proposal.refusals, notes)
    memory.note(session, reading, read_hash, rules_hash, before)
    return Kept(Outcome.OK, "", proposal.refusals, notes)


def _not_again(session: Session, settled: Sequence[Settled], run_id: int) -> Kept:
    raise AssertionError("a unit that is done is not kept again")
