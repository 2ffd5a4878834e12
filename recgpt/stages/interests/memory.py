"""A user's interests as a memory: units that nights keep, revise, add and retire, and any past night can read back.

A unit is a row of `interests`. What a night decides is a `Change`, which has passed every gate; `apply` writes it:

- keep: new evidence is appended to the row, with tonight's date; everything else stays, so that nothing made of the
  unit is asked for again.
- revise: a new row takes the place of the old one, which is retired.
- add: a new row.
- retire: the row is retired, with the reason. Nothing is deleted.

A memory is as of a night, and nights go forward: a row holds from `since_night` until before `retired_night`, with the
evidence that nights up to then have attached, the latest `EVIDENCE` of it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from recgpt.errors import StoreError
from recgpt.sources.logs import History
from recgpt.stages.answers import Refused
from recgpt.stages.night import Night
from recgpt.stages.work import Settled
from recgpt.store.tables import Interest, Memory
from recgpt.words import Horizon, Operation, State

EVIDENCE: Final = 200  # events of a unit that are looked at: the latest; what a heavier user has more says no more

Entry = dict[str, Any]  # one event as evidence: {number, timestamp, behaviour, item_id | query, night}


@dataclass(frozen=True)
class MemoryUnit:
    """One interest as a night saw it."""

    id: int
    user_id: str
    name: str
    horizon: Horizon
    reason: str
    evidence: tuple[Entry, ...]  # at most EVIDENCE, as attached by then
    first_seen: datetime
    last_confirmed: datetime
    version: int
    operation: Operation  # what made this version: add or revise
    since_night: date
    request_hash: str | None


@dataclass(frozen=True)
class Reading:
    """What one night reads of one user: all (`full` says why), or the memory and the events from `since` on."""

    night: Night
    history: History
    units: tuple[MemoryUnit, ...]  # the memory as it is
    full: str = ""
    since: int = 0  # index of the first event that the memory has not read; 0 at a full reading

    def known(self, unit: MemoryUnit) -> set[int]:
        """Indices of the events that are the unit's evidence; of equal events all."""
        wanted = {_key(entry) for entry in unit.evidence}
        times = np.array([entry["timestamp"][:19] for entry in unit.evidence], "datetime64[s]")
        near = np.flatnonzero(np.isin(self.history.times.astype("datetime64[s]"), times))
        entries = self._entries(near.tolist(), "")
        return {event for event, entry in zip(near.tolist(), entries, strict=True) if _key(entry) in wanted}

    def evidence(self, events: Sequence[int]) -> tuple[Entry, ...]:
        """The latest EVIDENCE of these events (indices, ascending), attached by tonight."""
        return self._entries(events[-EVIDENCE:], self.night.day.isoformat())

    def _entries(self, events: Sequence[int], night: str) -> tuple[Entry, ...]:
        # By columns: event by event, this was a seventh of the time of a stage whose model answers at once.
        history, logs, chosen = self.history, self.night.logs, list(events)
        moments = np.datetime_as_string(history.times[chosen].astype("datetime64[s]")).tolist()
        rows, codes = history.items[chosen].tolist(), history.behaviours[chosen].tolist()
        return tuple(
            {
                "timestamp": f"{when}+00:00",
                "behaviour": logs.behaviours[code],
                **({"item_id": logs.catalogue.ids[row]} if row >= 0 else {"query": history.queries[event] or ""}),
                "night": night,
            }
            for event, when, row, code in zip(chosen, moments, rows, codes, strict=True)
        )


@dataclass(frozen=True)
class Change:
    """One operation on a memory, ready to be written."""

    operation: Operation
    unit: MemoryUnit | None = None  # none to add
    evidence: tuple[Entry, ...] = ()  # keep: to be appended; add, revise: all
    name: str = ""
    horizon: Horizon | None = None
    reason: str = ""  # for what was said, or, to retire, why
    request_hash: str | None = None


@dataclass
class Proposal:
    """What came of one reading: changes that passed every gate, what was refused, and why it is no reading at all."""

    changes: list[Change] = field(default_factory=list)
    refusals: list[tuple[Refused, str | None]] = field(default_factory=list)  # with the request's hash
    failed: str = ""  # the answer can't be used: the memory is not taken to have been read


Propose = Callable[[Sequence[Settled]], Proposal]  # makes a reading's changes of its answers


def moment(history: History, event: int) -> datetime:
    found: datetime = history.times[event].astype("datetime64[s]").astype(datetime)
    return found.replace(tzinfo=UTC)


def refuse_earlier(night: Night) -> None:
    """Nights go forward: what a later night has read can't be unread.

    Raises:
        StoreError: the store holds memories of a later night.
    """
    with Session(night.store) as session:
        latest = session.scalar(select(func.max(Memory.night)))
    if latest is not None and night.day < latest:
        raise StoreError(
            f"the store's memories are of the night {latest}, and {night.day} is before it: nights go forward. Run "
            f"{latest} or later; for a backfill set another store.url and begin with its first night"
        )


def memories(session: Session, user_ids: Collection[str], day: date) -> dict[str, tuple[MemoryUnit, ...]]:
    """The memories of these users as of the night `day`, in the order in which units came; users without are absent."""
    query = (
        select(Interest)
        .where(
            Interest.user_id.in_(user_ids),
            Interest.since_night <= day,
            or_(Interest.retired_night.is_(None), Interest.retired_night > day),
        )
        .order_by(Interest.id)
    )
    found: dict[str, tuple[MemoryUnit, ...]] = {}
    for row in session.scalars(query):
        found[row.user_id] = (*found.get(row.user_id, ()), _unit(row, day.isoformat()))
    return found


def memory_as_of(session: Session, user_id: str, day: date) -> tuple[MemoryUnit, ...]:
    """One user's memory as of the night `day`."""
    return memories(session, [user_id], day).get(user_id, ())


def apply(session: Session, reading: Reading, changes: Sequence[Change], run_id: int) -> Counter[str]:
    """Write the changes of one user's memory. Returns how many there were of each operation."""
    for change in changes:
        row = session.get_one(Interest, change.unit.id) if change.unit else None
        if row is None:
            _add(session, reading, change, None, run_id)
        elif change.operation == Operation.KEEP:
            _keep(session, reading, change, row, run_id)
        else:
            if change.operation == Operation.REVISE:
                _add(session, reading, change, row, run_id)
            row.state, row.retired_night = State.RETIRED, reading.night.day
            row.retired_because = change.reason if change.operation == Operation.RETIRE else "revised"
    return Counter(change.operation.value for change in changes)


def note(session: Session, reading: Reading, read_hash: str, rules_hash: str, before: Memory | None) -> None:
    """Write down how far this user's memory has been read; `before` is what was noted last."""
    history, night = reading.history, reading.night
    row = Memory(
        user_id=history.user_id,
        read_until=moment(history, len(history) - 1) + timedelta(seconds=1) if len(history) else night.until,
        read_hash=read_hash,
        full_night=night.day if reading.full or before is None else before.full_night,
        night=night.day,
        rules_hash=rules_hash,
    )
    if before is None:
        session.add(row)
    else:
        session.merge(row)


def _keep(session: Session, reading: Reading, change: Change, row: Interest, run_id: int) -> None:
    if not change.evidence:
        return
    held = [*row.evidence, *change.evidence]
    if len(held) > 2 * EVIDENCE:  # a row stays bounded, and a past night's is not cut: a new version goes on
        latest = Change(
            Operation.REVISE,
            change.unit,
            tuple(held[-EVIDENCE:]),
            row.name,
            Horizon(row.horizon),
            row.reason,
            row.request_hash,
        )
        _add(session, reading, latest, row, run_id)
        row.state, row.retired_night, row.retired_because = State.RETIRED, reading.night.day, "revised"
        return
    row.evidence = _numbered(held)
    row.last_confirmed = max(row.last_confirmed, _latest(change.evidence))


def _add(session: Session, reading: Reading, change: Change, old: Interest | None, run_id: int) -> None:
    first = datetime.fromisoformat(min(entry["timestamp"] for entry in change.evidence))
    session.add(
        Interest(
            user_id=reading.history.user_id,
            name=change.name,
            horizon=change.horizon,
            reason=change.reason,
            evidence=_numbered(change.evidence),
            first_seen=min(first, old.first_seen) if old else first,
            last_confirmed=_latest(change.evidence),
            state=State.ACTIVE,
            version=old.version + 1 if old else 1,
            operation=Operation.REVISE if old else Operation.ADD,
            since_night=reading.night.day,
            supersedes_id=old.id if old else None,
            request_hash=change.request_hash,
            run_id=run_id,
        )
    )


def _numbered(evidence: Sequence[Entry]) -> list[Entry]:
    return [{**entry, "number": number} for number, entry in enumerate(evidence, 1)]


def _latest(evidence: Sequence[Entry]) -> datetime:
    return datetime.fromisoformat(max(entry["timestamp"] for entry in evidence))


def _key(entry: Entry) -> tuple[str, ...]:
    kind = "item_id" if "item_id" in entry else "query"
    return entry["timestamp"], entry["behaviour"], kind, entry[kind]


def _unit(row: Interest, day: str) -> MemoryUnit:
    evidence = tuple(entry for entry in row.evidence if entry["night"] <= day)[-EVIDENCE:]
    return MemoryUnit(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        horizon=Horizon(row.horizon),
        reason=row.reason,
        evidence=evidence,
        first_seen=row.first_seen,
        last_confirmed=_latest(evidence),
        version=row.version,
        operation=Operation(row.operation),
        since_night=row.since_night,
        request_hash=row.request_hash,
    )
