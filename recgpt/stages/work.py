"""Working through a stage: select -> ask -> gate -> keep, one unit at a time, many units at once.

A unit (a user, an interest and an item, a target) is a few questions to the model and a way to keep what came of them.
Its first questions are asked together; where later ones are made of the answers (a planner's personas, a style guide),
`then` gives the next round, until it gives none.
Its input hash covers everything it was made of, so a unit that ended `ok` or `invalid` with the same hash is never
touched again, and a killed run goes on where it stopped: answers are in the ledger before a unit is committed, and a
unit is committed together with its rows or not at all. One unit's fault is stored with its reason; an EngineError,
StoreError or BudgetSpent ends the run after what is finished has been committed.
"""

import asyncio
import gc
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply, Request
from recgpt.stages.answers import Refused
from recgpt.stages.estimate import Cost, Estimate
from recgpt.stages.night import Night, Progress
from recgpt.store.tables import Rejection, Unit, now
from recgpt.words import Outcome, Stage

LOOK_UP = 256  # units that a dry run looks up in one query
AHEAD = 16  # units that are made, and whose state is read in one query, before any of them is asked
COMMIT = 64  # units kept in one transaction
YOUNG = 20_000  # objects made before cycles among them are looked for


@dataclass(frozen=True)
class Question:
    """One thing to find out. Attempts are asked in turn until one's reply passes `check`, which raises Refused."""

    attempts: tuple[Request, ...]
    check: Callable[[Reply], Any]


@dataclass
class Settled:
    """What came of a question: the checked value or None, the reply it is from, and what was refused on the way."""

    value: Any = None
    reply: Reply | None = None
    refusals: list[tuple[Refused, str | None]] = field(default_factory=list)  # with the request's hash
    unavailable: str = ""  # the reason, if the model gave no answer

    @property
    def request_hash(self) -> str | None:
        return _stored(self.reply)


@dataclass
class Kept:
    """How a unit ended, what its gates refused (each with the request's hash), and what else is to be counted."""

    outcome: Outcome
    reason: str = ""
    refusals: list[tuple[Refused, str | None]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)


# Adds a unit's rows to the session, in the run of that id. What it reads there are earlier batches' rows: units are
# written together, so none may depend on another's, and one that must see its own rows has to flush.
Keep = Callable[[Session, Sequence[Settled], int], Kept]
# The questions that follow from all that is settled so far, in the order in which it was asked; none: ask no more.
Then = Callable[[Sequence[Settled]], Sequence[Question]]


@dataclass(frozen=True)
class Work:
    """A unit of work, ready to be asked."""

    key: str
    input_hash: str
    questions: tuple[Question, ...]
    keep: Keep
    then: Then | None = None


@dataclass
class Tally:
    """Counts of one stage's run; `untouched` units were done before with the same inputs."""

    units: int = 0
    total: int | None = None  # units there will be, where that is known before the end
    finished: int = 0  # committed or about to be
    untouched: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)  # by gate
    notes: Counter[str] = field(default_factory=Counter)  # what a stage counts besides
    means: dict[str, float] = field(default_factory=dict)  # ... and its averages
    to_ask: int = 0  # dry run: requests that the ledger does not hold
    replays: int = 0  # dry run: requests that it does
    cost: Cost = field(default_factory=Cost)  # dry run: of the requests to ask

    def __add__(self, other: "Tally") -> "Tally":
        """Both together; of averages, which can't be added, there are none."""
        return Tally(
            units=self.units + other.units,
            finished=self.finished + other.finished,
            untouched=self.untouched + other.untouched,
            outcomes=self.outcomes + other.outcomes,
            refused=self.refused + other.refused,
            notes=self.notes + other.notes,
            to_ask=self.to_ask + other.to_ask,
            replays=self.replays + other.replays,
            cost=self.cost + other.cost,
        )

    @property
    def coverage(self) -> float | None:
        """The share of units that have an answer; None where there was no unit."""
        answered = self.outcomes[Outcome.OK] + self.outcomes[Outcome.INVALID]
        return answered / self.units if self.units else None

    def as_dict(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "untouched": self.untouched,
            **{outcome.value: self.outcomes[outcome] for outcome in Outcome},
            "coverage": self.coverage,
            "refused": dict(sorted(self.refused.items())),
            "notes": dict(sorted(self.notes.items())) | self.means,
        }


def digest(*parts: Any) -> str:
    """sha256 over JSON-able parts: the identity of a unit's inputs."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def work(key: str, questions: Sequence[Question], keep: Keep, *made_of: Any, then: Then | None = None) -> Work:
    """A unit whose input hash covers its requests and whatever else its rows are made of.

    Requests of later rounds aren't known yet: `made_of` must hold what they are made of besides the answers (versions
    of their prompts, sampling).
    """
    hashes = [[request.hash for request in question.attempts] for question in questions]
    return Work(key, digest(hashes, *made_of), tuple(questions), keep, then)


async def work_through(
    night: Night, stage: Stage, model: LanguageModel, units: Iterable[Work], *, run_id: int, total: int | None = None
) -> Tally:
    """Ask and keep every unit that isn't done. Returns the counts.

    Raises:
        EngineError, StoreError, BudgetSpent: the run can't go on; everything finished so far is committed.
    """
    tally = Tally(total=total)
    source = _undone(night, stage, units, tally)
    keeper = _Keeper(night, stage, run_id, tally)

    async def worker() -> None:
        # The iterator is shared: each worker takes the next undone unit, so a slow one holds up nobody.
        for unit in source:
            keeper.add(unit, await ask(model, unit))
            await asyncio.sleep(0)

    # More workers than requests may be in flight: while some wait for the ledger, the server stays busy.
    with _few_collections():
        tasks = []
        try:
            for _ in range(2 * model.in_flight):
                tasks.append(asyncio.create_task(worker()))
                await asyncio.sleep(0)  # the first requests are on their way while later units are being made
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            keeper.commit()
    return tally


@contextmanager
def _few_collections() -> Iterator[None]:
    """Look for cycles seldom. A stage makes many objects, and nearly all die by themselves; at Python's own pace a
    fifth of its processor time went into looking at them."""
    before = gc.get_threshold()
    gc.set_threshold(YOUNG, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def ask(model: LanguageModel, unit: Work) -> list[Settled]:
    """Ask a unit's questions, round after round. No round follows one in which the model gave no answer."""
    settled: list[Settled] = []
    questions: Sequence[Question] = unit.questions
    while questions:
        if len(questions) == 1:  # the usual case, and a task for it would be one more than is needed
            settled.append(await settle(model, questions[0]))
        else:
            settled += await asyncio.gather(*(settle(model, question) for question in questions))
        if unit.then is None or any(one.unavailable for one in settled):
            break
        questions = unit.then(settled)
    return settled


async def settle(model: LanguageModel, question: Question) -> Settled:
    """Ask a question's attempts in turn until one passes its check."""
    settled = Settled()
    for request in question.attempts:
        reply = await model.ask(request)
        settled.reply = reply
        if reply.outcome == Outcome.UNAVAILABLE:
            settled.unavailable = reply.reason or "no answer"
            return settled
        try:
            if reply.outcome == Outcome.INVALID:
                raise Refused("answer", reply.content, reply.reason)
            settled.value = question.check(reply)
            return settled
        except Refused as refused:
            settled.refusals.append((refused, _stored(reply)))
    return settled


def _stored(reply: Reply | None) -> str | None:
    """The hash of a request that the ledger holds; it holds only those that were answered."""
    return reply.request.hash if reply and reply.outcome == Outcome.OK else None


def plan(night: Night, stage: Stage, model: LanguageModel, units: Iterable[Work]) -> Tally:
    """What `work_through` would ask, without asking: first attempts of first rounds; the rest depends on answers."""
    tally, estimate = Tally(), Estimate(night)
    source = _undone(night, stage, units, tally)
    while batch := list(itertools.islice(source, LOOK_UP)):
        requests = [question.attempts[0] for unit in batch for question in unit.questions]
        held = model.replayed(requests)
        fresh = {request.hash: request for request in requests if request.hash not in held}
        estimate.add(list(fresh.values()))
        tally.finished += len(batch)
        tally.replays += len(held)
        tally.to_ask += len(fresh)
        tally.cost = estimate.cost
    _report(night, stage, tally)
    return tally


def _undone(night: Night, stage: Stage, units: Iterable[Work], tally: Tally) -> Iterator[Work]:
    iterator = iter(units)
    while batch := list(itertools.islice(iterator, AHEAD)):
        _report(night, stage, tally)
        with Session(night.store) as session:
            done = ended(session, stage, {unit.key: unit.input_hash for unit in batch})
        for unit in batch:
            tally.units += 1
            if unit.key in done:
                tally.untouched += 1
                tally.finished += 1
                tally.outcomes[done[unit.key]] += 1
            else:
                yield unit
    _report(night, stage, tally)


def ended(session: Session, stage: Stage, hashes: Mapping[str, str]) -> dict[str, str]:
    """The outcomes, by key, of the units that are done with these input hashes."""
    query = select(Unit.key, Unit.input_hash, Unit.outcome).where(Unit.stage == stage, Unit.key.in_(hashes))
    return {
        key: outcome
        for key, input_hash, outcome in session.execute(query)
        if input_hash == hashes[key] and outcome != Outcome.UNAVAILABLE
    }


def _report(night: Night, stage: Stage, tally: Tally) -> None:
    night.progress(Progress(stage, tally.finished, tally.total, counts=tally.as_dict()))


class _Keeper:
    """Commits finished units in small batches: one transaction holds each unit whole."""

    def __init__(self, night: Night, stage: Stage, run_id: int, tally: Tally) -> None:
        self.night, self.stage, self.run_id, self.tally = night, stage, run_id, tally
        self.finished: list[tuple[Work, Sequence[Settled]]] = []

    def add(self, unit: Work, settled: Sequence[Settled]) -> None:
        self.finished.append((unit, settled))
        self.tally.finished += 1
        if len(self.finished) >= COMMIT:
            self.commit()
        _report(self.night, self.stage, self.tally)

    def commit(self) -> None:
        batch, self.finished = self.finished, []
        if not batch:
            return
        units: list[dict[str, Any]] = []
        rejections: list[dict[str, Any]] = []
        notes: Counter[str] = Counter()
        # Rows are written together at the end: a write for each unit took more time than all the rest of a stage.
        with Session(self.night.store, autoflush=False, expire_on_commit=False) as session:
            for unit, settled in batch:
                kept = self._keep(session, unit, settled)
                units.append(self._unit_row(unit, kept))
                rejections += [self._rejection_row(unit, *refusal) for refusal in kept.refusals]
                notes.update(kept.notes)
            keys = [unit.key for unit, _ in batch]
            session.execute(delete(Unit).where(Unit.stage == self.stage, Unit.key.in_(keys)))
            session.execute(insert(Unit), units)
            if rejections:
                session.execute(insert(Rejection), rejections)
            session.commit()
        self.tally.outcomes.update(row["outcome"] for row in units)
        self.tally.refused.update(row["gate"] for row in rejections)
        self.tally.notes.update(notes)
        _report(self.night, self.stage, self.tally)

    def _keep(self, session: Session, unit: Work, settled: Sequence[Settled]) -> Kept:
        missing = next((one.unavailable for one in settled if one.unavailable), "")
        if missing:  # nothing is kept from half a unit: it stays to be asked, and what was answered is in the ledger
            return Kept(Outcome.UNAVAILABLE, missing)
        kept = unit.keep(session, settled, self.run_id)
        kept.refusals[:0] = [refusal for one in settled for refusal in one.refusals]
        return kept

    def _unit_row(self, unit: Work, kept: Kept) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "key": unit.key,
            "input_hash": unit.input_hash,
            "outcome": kept.outcome,
            "reason": kept.reason,
            "run_id": self.run_id,
            "at": now(),
        }

    def _rejection_row(self, unit: Work, refused: Refused, request_hash: str | None) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "key": unit.key,
            "gate": refused.gate,
            "text": refused.text[:2000],
            "detail": refused.detail[:2000],
            "request_hash": request_hash,
            "run_id": self.run_id,
        }
