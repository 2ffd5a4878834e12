"""What an answer is worth in GRPO: a product of gates, never a sum (RecGPT-V2, arXiv 2512.14503).

    reward = format * mean over entries of (gates * judges * confidence)

`format` is 1 if the stage can read the answer, `gates` is 1 for an entry that the stage's own gates let through,
`judges` is 1 for one in which no criterion finds a defect, each of them else 0, and `confidence` is the mean P(yes) of
the criteria. So nothing makes up for a closed gate: not a long answer, not a pleased judge. The mean is over as many
entries as were asked for, if the answer has fewer, so that leaving out is no way to be right. An entry that repeats
what the user has already (see NOT_ITS_FAULT) is not counted; one that a judge has no verdict on has not passed.

The stage itself reads and gates, on a store of its own that is rolled back after each answer, so what is rewarded is
what would be kept.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from judges import Verdict, confidence
from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply
from recgpt.errors import ConfigError
from recgpt.labels.targets import TABLES, Target, target
from recgpt.stages.answers import Refused
from recgpt.stages.night import Night
from recgpt.stages.work import Settled, Work
from recgpt.tuning.asked import Message
from recgpt.tuning.dataset import Dataset, Row
from recgpt.tuning.graded import NOT_ITS_FAULT
from recgpt.tuning.trial import STAGES, Inputs, workbench
from recgpt.words import Outcome, Task

OPEN: Final = "passed"


@dataclass(frozen=True)
class Puzzle:
    """One question of a unit of the stage's, and how many entries its answer is to have."""

    unit: Work
    place: int
    wanted: int

    @property
    def request_hash(self) -> str:
        return self.unit.questions[self.place].attempts[0].hash

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.unit.questions[self.place].attempts[0].body))

    @property
    def messages(self) -> tuple[Message, ...]:
        return tuple(self.body["messages"])


@dataclass
class Rewards:
    """The questions of a task that GRPO answers, and what answers to them are worth.

    `judge` gives the verdicts on targets, by criterion. `met` counts answers by what became of them: `passed`,
    `judges`, or the first gate that was closed.
    """

    night: Night  # on the store that is rolled back
    task: Task
    criteria: Sequence[str]
    judge: Callable[[Sequence[Target]], Sequence[Mapping[str, Verdict]]]
    puzzles: Mapping[str, Puzzle]  # by the request's hash
    met: Counter[str] = field(default_factory=Counter)

    def data(self) -> Dataset:
        """The questions, as a data set without answers."""
        rows = tuple(
            Row(one.messages, {"request": name, "task": self.task.value, "unit": one.unit.key})
            for name, one in self.puzzles.items()
        )
        return Dataset(rows, (), {"rows": len(rows), "held_out": 0})

    @property
    def max_tokens(self) -> int:
        """The longest answer that any of the questions may have."""
        return max(int(one.body["max_tokens"]) for one in self.puzzles.values())

    def __call__(self, requests: Sequence[str], answers: Sequence[str]) -> list[float]:
        """What each answer is worth, between 0 and 1."""
        read = [self._read(self.puzzles[name], text) for name, text in zip(requests, answers, strict=True)]
        targets = [one for claims, _, _ in read for one in claims]
        said = iter(self.judge(targets))
        return [self._worth(self.puzzles[name], *one, said) for name, one in zip(requests, read, strict=True)]

    def _read(self, puzzle: Puzzle, text: str) -> tuple[list[Target], int, str]:
        """The rows that the stage would make of an answer, how many entries its gates refused, why there is no row."""
        question = puzzle.unit.questions[puzzle.place]
        reply = Reply(question.attempts[0], Outcome.OK, content=text, finish_reason="stop")
        settled = [Settled() for _ in puzzle.unit.questions]
        try:
            settled[puzzle.place] = Settled(question.check(reply), reply)
        except Refused as refused:
            return [], 1, refused.gate
        table = TABLES[self.task]
        with Session(self.night.store) as session:
            kept = puzzle.unit.keep(session, settled, 0)
            session.flush()
            rows = list(session.scalars(select(table).where(table.request_hash == puzzle.request_hash)))
            targets = [target(self.night.config, self.night.logs, session, row) for row in rows]
            session.rollback()
        faults = [refused.gate for refused, _ in kept.refusals if refused.gate not in NOT_ITS_FAULT]
        return targets, len(faults), "" if targets else next(iter(faults), "empty")

    def _worth(
        self, puzzle: Puzzle, claims: Sequence[Target], refused: int, why: str, said: Iterator[Mapping[str, Verdict]]
    ) -> float:
        worth = [self._passed(next(said)) for _ in claims]
        self.met[why or (OPEN if any(worth) else "judges")] += 1
        return sum(worth) / max(len(claims) + refused, puzzle.wanted, 1)

    def _passed(self, said: Mapping[str, Verdict]) -> float:
        passed = set(said) >= set(self.criteria) and all(one.verdict for one in said.values())
        return confidence(said) if passed else 0.0


@contextmanager
def puzzles(night: Night, given: Inputs, model: LanguageModel) -> Iterator[tuple[Night, dict[str, Puzzle]]]:
    """The questions that the stage asks about these users, each once, and the night to read answers on.

    Raises:
        ConfigError: the stage asks one thing after the other, as the project is configured.
    """
    _, maker = STAGES[given.task]
    users = None if given.task is Task.EXPLANATIONS else frozenset(given.keys)
    _ = night.vectors  # worked out once, see `Night.like`
    with workbench(night, given) as store:
        tried = night.like(store=store, day=given.days[-1], only=users, users=None, trial=night.serving)
        found: dict[str, Puzzle] = {}
        for unit in maker.units(tried, model):
            if unit.then is not None:
                raise ConfigError(
                    f"GRPO answers one question at a time, and the strategy of {given.task} asks one after the other: "
                    "set tags.strategy to 'each' or 'single', explain.strategy to 'short'"
                )
            for place in range(len(unit.questions)):
                one = Puzzle(unit, place, _wanted(night, given, unit))
                found.setdefault(one.request_hash, one)
        yield tried, dict(sorted(found.items()))


def _wanted(night: Night, given: Inputs, unit: Work) -> int:
    """How many entries an answer is to have: tags are asked for by number, everything else need only be there."""
    if given.task is not Task.TAGS:
        return 1
    each = night.config.tags.per_interest
    return each * len(given.rows.get(unit.key, ())) if night.config.tags.strategy == "single" else each
