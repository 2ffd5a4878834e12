"""A real model's answer about one user, made into changes of the memory.

Every entry passes every gate, or is refused and stored by the gate's name; a refused operation leaves its unit as it
was, and so does no word about a unit. Gates of an operation: schema, unknown_unit, unit_twice, evidence (a number
that was not shown), no_reason (to retire), those of a name (recgpt.stages.gates), too_little_evidence, burst, horizon,
duplicate (recgpt.stages.interests.gates).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from recgpt.rendering.clean import clean
from recgpt.stages import gates
from recgpt.stages.answers import Refused, choice_in
from recgpt.stages.interests.gates import Names, enough
from recgpt.stages.interests.memory import Change, Entry, MemoryUnit, Proposal, Reading
from recgpt.stages.texts import evidence_rows
from recgpt.stages.work import Settled
from recgpt.words import Horizon, Operation

SAME_EVIDENCE: Final = 0.5  # share of a unit's evidence from which a found interest is that unit under another name

Lines = Mapping[int, Sequence[int]]  # the events (indices into the history, ascending) at each number shown


def all_found(reading: Reading, lines: Lines, settled: Sequence[Settled]) -> Proposal:
    """Hold a full list against the memory: what is there already is kept or revised, the rest added or retired.

    A found interest is the unit that is called so, or else that rests on the same evidence.
    """
    [answer] = settled
    if answer.value is None:
        return _unread(answer)
    proposal, names = Proposal(), Names(reading.night.encoder)
    left = {unit.id: unit for unit in reading.units}
    for entry in answer.value:
        try:
            events = _events(_object(entry), lines)
            found = _checked(reading, entry, reading.evidence(events), answer)
            names.add(found.name)
        except Refused as refused:
            proposal.refusals.append((refused, answer.request_hash))
            continue
        unit = _same(reading, [*left.values()], found.name, events)
        if unit is not None:
            del left[unit.id]
        proposal.changes.append(_against(reading, unit, found, events))
    if answer.value and not proposal.changes:
        proposal.failed = "every interest was refused by a gate"
        return proposal
    why = "not found when everything was read again"
    proposal.changes += [Change(Operation.RETIRE, unit, reason=why) for unit in left.values()]
    return proposal


def all_operations(reading: Reading, lines: Lines, settled: Sequence[Settled]) -> Proposal:
    """The operations on the memory that the answer lists. What is retired goes first, and leaves its name free."""
    [answer] = settled
    if answer.value is None:
        return _unread(answer)
    proposal = Proposal()
    units = dict(enumerate(reading.units, 1))
    called: dict[int, str] = {number: unit.name for number, unit in units.items()}  # what is new has numbers below 0
    touched: set[int] = set()
    for entry in sorted(answer.value, key=lambda one: not _retires(one)):
        try:
            operation, number = _addressed(_object(entry), units, touched)
            change = _operation(reading, operation, units.get(number), entry, lines, answer)
            if change.name:
                Names(reading.night.encoder, [name for at, name in called.items() if at != number]).add(change.name)
        except Refused as refused:
            proposal.refusals.append((refused, answer.request_hash))
            continue
        proposal.changes.append(change)
        if operation == Operation.RETIRE:
            del called[number]
        elif change.name:
            called[number or -len(proposal.changes)] = change.name
        touched.add(number)
    if answer.value and not proposal.changes:
        proposal.failed = "every operation was refused by a gate"
    return proposal


def _unread(answer: Settled) -> Proposal:
    return Proposal(failed="; ".join(str(refused) for refused, _ in answer.refusals))


def _object(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise Refused("schema", str(entry), "an entry is an object")
    return entry


def _retires(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("operation") == Operation.RETIRE


def _addressed(entry: dict[str, Any], units: Mapping[int, MemoryUnit], touched: set[int]) -> tuple[Operation, int]:
    """The operation and the number of its unit, 0 to add."""
    operation = choice_in(entry, "operation", Operation)
    if operation == Operation.ADD:
        return operation, 0
    number = entry.get("unit")
    if type(number) is not int or number not in units:
        raise Refused("unknown_unit", str(entry), f"the memory has no unit {number!r}")
    if number in touched:
        raise Refused("unit_twice", str(entry), f"an operation on M{number} came before")
    return operation, number


def _operation(
    reading: Reading,
    operation: Operation,
    unit: MemoryUnit | None,
    entry: dict[str, Any],
    lines: Lines,
    answer: Settled,
) -> Change:
    may_be_empty = operation in (Operation.KEEP, Operation.RETIRE) and entry.get("evidence", []) == []
    events = [] if may_be_empty else _events(entry, lines)
    if unit is None:
        return _checked(reading, entry, reading.evidence(events), answer)
    if operation == Operation.RETIRE:
        reason = _reason(entry)
        if not reason:
            raise Refused("no_reason", str(entry), "to retire a unit takes a reason")
        return Change(Operation.RETIRE, unit, reason=reason)
    new = reading.evidence(_unknown(reading, unit, events))
    if operation == Operation.KEEP:
        return Change(Operation.KEEP, unit, new)
    found = _checked(reading, entry, (*unit.evidence, *new), answer)
    return replace(found, operation=Operation.REVISE, unit=unit)


def _events(entry: dict[str, Any], lines: Lines) -> list[int]:
    """The events at the numbers that an entry names as evidence, ascending. Raises Refused."""
    numbers = entry.get("evidence")
    if not isinstance(numbers, list) or not numbers or any(type(one) is not int or one not in lines for one in numbers):
        raise Refused("evidence", str(entry), "names a number that was not shown, or none")
    return sorted({event for number in numbers for event in lines[number]})


def _checked(reading: Reading, entry: dict[str, Any], evidence: Sequence[Entry], answer: Settled) -> Change:
    """An interest to add, once it has passed the gates of its name, its horizon and its evidence. Raises Refused."""
    rules, catalogue = reading.night.config.interests, reading.night.logs.catalogue
    titles = [catalogue.titles[row] for row in evidence_rows(catalogue, evidence)]
    name = gates.interest_name(str(entry.get("name", "")), titles=titles, examples=(), sensitive=rules.sensitive)
    horizon = choice_in(entry, "horizon", Horizon)
    enough(name, horizon, evidence, rules, reading.night.day)
    return Change(Operation.ADD, None, tuple(evidence), name, horizon, _reason(entry), answer.request_hash)


def _reason(entry: dict[str, Any]) -> str:
    return clean(str(entry.get("reason", "")), 300)


def _unknown(reading: Reading, unit: MemoryUnit, events: Sequence[int]) -> list[int]:
    known = reading.known(unit)
    return [event for event in events if event not in known]


def _same(reading: Reading, units: Sequence[MemoryUnit], name: str, events: Sequence[int]) -> MemoryUnit | None:
    called = Names(reading.night.encoder, [unit.name for unit in units]).nearest(name)
    if called is not None:
        return next(unit for unit in units if unit.name == called)
    known = [reading.known(unit) for unit in units]
    shares = [len(held.intersection(events)) / max(len(held), 1) for held in known]
    best = max(range(len(units)), key=shares.__getitem__, default=-1)
    return units[best] if units and shares[best] >= SAME_EVIDENCE else None


def _against(reading: Reading, unit: MemoryUnit | None, found: Change, events: Sequence[int]) -> Change:
    """What a found interest does to the unit that it is, if it is one."""
    if unit is None:
        return found
    same_name = Names(reading.night.encoder, [unit.name]).nearest(found.name) is not None
    if same_name and unit.horizon == found.horizon:
        return Change(Operation.KEEP, unit, reading.evidence(_unknown(reading, unit, events)))
    return replace(found, operation=Operation.REVISE, unit=unit, name=unit.name if same_name else found.name)
