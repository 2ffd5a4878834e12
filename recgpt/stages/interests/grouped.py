"""The `grouped` strategy: code groups events by meaning, a small model names the groups that are new.

Groups are made anew from all of a user's events and held against the memory by their evidence. The group that holds
most of a unit's evidence is that unit from now on: it is kept, and nothing is asked. If it is mostly other events than
those the unit was about, it has moved: its name is asked for again. A group that is nobody's is an interest to add. A
unit whose group is none any more (faded, merged with a greater one) is retired with that reason. To stay takes less
than to come in (recgpt.grouping), and a long-term interest doesn't become short-term, so that a unit at the edge of a
rule does not come and go. At a full reading every group is asked about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply
from recgpt.grouping import Group, group
from recgpt.sources.logs import History
from recgpt.stages import gates
from recgpt.stages.answers import Refused, read_text
from recgpt.stages.interests.gates import Names
from recgpt.stages.interests.memory import EVIDENCE, Change, MemoryUnit, Proposal, Propose, Reading
from recgpt.stages.night import Night
from recgpt.stages.texts import product, product_line
from recgpt.stages.work import Question, Settled
from recgpt.words import Horizon, Operation

SHOWN: Final = 5  # items of a group that the model is shown
MOVED: Final = 0.5  # of a group's events that its unit knew, or of the unit's that are in it: less is another thing
NO_LONGER: Final = {
    "too_little_evidence": "its evidence has come apart",
    "burst": "what is left of it came in one burst",
    "faded": "faded: long without an event",
}


@dataclass(frozen=True)
class Fate:
    """A group that is an interest tonight: the unit that goes on as it, if any, and whether its name is asked for."""

    group: Group
    horizon: Horizon
    unit: MemoryUnit | None = None
    asked: bool = True


class Grouped:
    def __init__(self, night: Night, model: LanguageModel) -> None:
        self.night, self.model = night, model
        self.prompt = night.serving.prompt("interest_name")
        self.examples = self.prompt.example_answers("interest")
        self.versions: tuple[str, ...] = (self.prompt.version, night.encoder.version)

    def prepare(self, histories: Sequence[History]) -> None:
        self.night.encoder.encode([query for history in histories for query in history.queries if query])

    def ask(self, reading: Reading) -> tuple[list[Question], Propose]:
        night, history = self.night, reading.history
        queries = night.encoder.encode([query for query in history.queries if query])
        groups = group(
            history,
            night.vectors,
            queries,
            night.config.behaviours,
            night.logs.behaviours,
            night.config.interests,
            night.until,
        )
        going_on, gone = fates(reading, groups)
        questions = [self._question(one.group) for one in going_on if one.asked]
        return questions, partial(self._propose, reading, going_on, gone)

    def _question(self, one: Group) -> Question:
        shown = "\n".join(product_line(self.night.logs.catalogue, row) for row in one.items[:SHOWN])
        attempts = (
            self.model.request(self.prompt, {"products": shown}),
            self.model.request(self.prompt, {"products": shown}, temperature=0.7, seed=1),
        )
        return Question(attempts, partial(self._check, one))

    def _check(self, one: Group, reply: Reply) -> str:
        return self._gate(one, read_text(reply, "interest"))

    def _gate(self, one: Group, name: str) -> str:
        catalogue = self.night.logs.catalogue
        titles = [text for row in one.items for text in (catalogue.titles[row], product(catalogue, row))]
        sensitive = self.night.config.interests.sensitive
        return gates.interest_name(name, titles=titles, examples=self.examples, sensitive=sensitive)

    def _propose(
        self,
        reading: Reading,
        going_on: Sequence[Fate],
        gone: Sequence[tuple[MemoryUnit, str]],
        settled: Sequence[Settled],
    ) -> Proposal:
        proposal = Proposal([Change(Operation.RETIRE, unit, reason=why) for unit, why in gone])
        names = Names(self.night.encoder, [one.unit.name for one in going_on if one.unit and not one.asked])
        answers = iter(settled)
        for one in going_on:
            answer = next(answers) if one.asked else None
            try:
                change = self._change(reading, one, answer, names)
            except Refused as refused:
                proposal.refusals.append((refused, answer.request_hash if answer else None))
                change = self._as_it_was(reading, one, names)
            if change is not None:
                proposal.changes.append(change)
        if going_on and not any(change.operation != Operation.RETIRE for change in proposal.changes):
            proposal.failed = "every interest was refused by a gate"
        return proposal

    def _change(self, reading: Reading, one: Fate, answer: Settled | None, names: Names) -> Change | None:
        """What becomes of a unit or a new group. Raises Refused where the answer's name is another interest's."""
        if answer is None or answer.value is None:
            return self._as_it_was(reading, one, names) if answer else _go_on(reading, one)
        if one.unit and Names(self.night.encoder, [one.unit.name]).nearest(answer.value):
            names.add(one.unit.name)  # it is called the same still, perhaps in other words
            return _go_on(reading, one)
        names.add(answer.value)
        return Change(
            Operation.REVISE if one.unit else Operation.ADD,
            one.unit,
            reading.evidence(one.group.events),
            answer.value,
            one.horizon,
            _reason(one.group, reading),
            answer.request_hash,
        )

    def _as_it_was(self, reading: Reading, one: Fate, names: Names) -> Change | None:
        """A unit whose new name was refused goes on under its own, if that passes the gates of tonight."""
        if one.unit is None:
            return None
        try:
            self._gate(one.group, one.unit.name)
            names.add(one.unit.name)
        except Refused as refused:
            return Change(Operation.RETIRE, one.unit, reason=f"its name is refused: {refused.gate}")
        return _go_on(reading, one)


def fates(reading: Reading, groups: Sequence[Group]) -> tuple[list[Fate], list[tuple[MemoryUnit, str]]]:
    """The groups that are interests tonight, and the units that none of them goes on, with why.

    Groups that go on a unit come first, the weightiest first; new ones follow while there is room.
    """
    rules = reading.night.config.interests
    known = {unit.id: reading.known(unit) for unit in reading.units}
    shared = {unit.id: [len(known[unit.id].intersection(one.events)) for one in groups] for unit in reading.units}
    place = {unit.id: max(range(len(groups)), key=shared[unit.id].__getitem__, default=-1) for unit in reading.units}
    units: dict[int, MemoryUnit] = {}  # by the place of the group that each goes on as
    gone: list[tuple[MemoryUnit, str]] = []
    for unit in sorted(reading.units, key=lambda one: -max(shared[one.id], default=0)):
        at = place[unit.id]
        if not shared[unit.id] or not shared[unit.id][at]:
            gone.append((unit, "its evidence is no longer in the logs"))
        elif at in units:
            gone.append((unit, f"merged with {units[at].name!r}"))
        elif _horizon(unit, groups[at]) is None:
            why_not = groups[at].standing.why_not
            gone.append((unit, "its time is over" if unit.horizon == Horizon.SHORT_TERM else NO_LONGER[why_not]))
        else:
            units[at] = unit
    going_on = []
    for at, unit in sorted(units.items()):
        asked = bool(reading.full) or _moved(reading, known[unit.id], groups[at])
        going_on.append(Fate(groups[at], _horizon(unit, groups[at]) or unit.horizon, unit, asked))
    new = [one for at, one in enumerate(groups) if at not in units and one.standing.horizon]
    room = max(0, rules.max_interests - len(going_on))
    return [*going_on, *(Fate(one, one.standing.horizon) for one in new[:room] if one.standing.horizon)], gone


def _horizon(unit: MemoryUnit, one: Group) -> Horizon | None:
    """The horizon of a unit that goes on as this group; None if it can't."""
    if one.standing.horizon is None:
        return unit.horizon if unit.horizon in one.standing.stays else None
    return Horizon.LONG_TERM if unit.horizon == Horizon.LONG_TERM else one.standing.horizon


def _moved(reading: Reading, known: set[int], one: Group) -> bool:
    """Whether a group is about other things than the unit was, leaving aside the events that are new tonight."""
    shared = known.intersection(one.events)
    before = [event for event in one.events[-EVIDENCE:] if event < reading.since or event in known]
    return len(shared) < MOVED * min(len(known), EVIDENCE) or len(shared.intersection(before)) < MOVED * len(before)


def _go_on(reading: Reading, one: Fate) -> Change:
    """Keep a unit, with its group's events that it doesn't have; or revise its horizon, and nothing else."""
    if one.unit is None:
        raise ValueError("only a unit of the memory can go on")
    if one.horizon != one.unit.horizon:
        return Change(
            Operation.REVISE,
            one.unit,
            reading.evidence(one.group.events),
            one.unit.name,
            one.horizon,
            _reason(one.group, reading),
            one.unit.request_hash,
        )
    known = reading.known(one.unit)
    new = [event for event in one.group.events[-EVIDENCE:] if event not in known]
    return Change(Operation.KEEP, one.unit, reading.evidence(new))


def _reason(one: Group, reading: Reading) -> str:
    days = len({reading.history.times[event].astype("datetime64[D]") for event in one.events})
    return f"{len(one.items)} items on {days} days"
