"""What a person is asked to label next.

First come the questions on which those who judged so far disagree most, then what nobody has judged, then what they
agree on, the least sure first. Such a choice says nothing of how good the rows are on the whole. So a share of all
rows, drawn by a hash and the same for everybody, is kept out of it: those are asked in an order of chance, mixed in
among the others, and their labels alone are a sample (weight 1; that of all others is 0). The two never meet, so a row
that was asked because it is hard does not go missing from the sample.

What a labeller has labelled, by the criterion as its file stands now, is not asked again, so the queue goes on where it
was left.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from random import Random
from typing import Final, Literal

from sqlalchemy import Engine

from judges import Criterion
from recgpt.config import Config
from recgpt.labels.store import LabelRow, each
from recgpt.labels.targets import Target, active, load_targets
from recgpt.sources.logs import Logs
from recgpt.stages.work import digest
from recgpt.words import JudgeKind, Task

AHEAD: Final = 10_000  # rows of each kind that are put in order; who has labelled them asks for a new queue
Why = Literal["disagreement", "unlabelled", "uncertain", "random"]
_RANK: Final[dict[Why, int]] = {"disagreement": 0, "unlabelled": 1, "uncertain": 2}


@dataclass(frozen=True)
class Queued:
    """Questions to ask together: criteria, by name, of one target."""

    target: Target
    criteria: tuple[str, ...]
    why: str
    weight: float  # in an estimate over all rows


@dataclass(frozen=True)
class _Turn:
    """Questions about a row, before it is read. The least `order` comes first."""

    order: tuple[int, float, float, str]
    id: int
    criteria: tuple[str, ...]
    why: Why


def queue(
    store: Engine,
    logs: Logs,
    config: Config,
    task: Task,
    labeller: str,
    criteria: Mapping[str, Criterion],
    *,
    random_share: float = 0.2,
    seed: int = 0,
    limit: int | None = None,
) -> Iterator[Queued]:
    """The questions for a labeller, in order.

    Args:
        labeller: a person's name, as in `human:NAME`.
        criteria: those to be asked, by name.
        random_share: the part of all rows that is asked by chance, and the part of the questions that are of those.
        seed: another one draws other rows.
        limit: the most rows to ask about.
    """
    judge = f"{JudgeKind.HUMAN}:{labeller}"
    said: dict[tuple[int, str], list[LabelRow]] = {}
    mine: set[tuple[int, str]] = set()
    for row in each(store, task, criteria=list(criteria)):
        if row.prompt_version != criteria[row.criterion].version:
            continue  # an answer to another question
        if row.judge == judge:
            mine.add((row.target_id, row.criterion))
        elif row.kind != JudgeKind.PANEL:  # a panel only says again what its members said
            said.setdefault((row.target_id, row.criterion), []).append(row)
    chosen, chance = _Shortest(AHEAD), _Shortest(AHEAD)
    for number in chain.from_iterable(active(store, task)):
        unasked = [name for name in criteria if (number, name) not in mine]
        lot = digest(seed, "lot", task, number)
        if not unasked:
            continue
        if _part(digest(seed, "by chance", task, number)) < random_share:
            chance.add(_Turn((0, 0.0, 0.0, lot), number, tuple(unasked), "random"))
        else:
            for turn in _turns(number, unasked, said, lot):
                chosen.add(turn)
    dice = Random(digest(seed, judge, len(mine)))
    for turn in islice(_mixed(chosen.in_order(), chance.in_order(), random_share, dice), limit):
        for found in load_targets(store, logs, config, task, [turn.id]):
            yield Queued(found, turn.criteria, turn.why, float(turn.why == "random"))


def _turns(
    number: int, unasked: Sequence[str], said: Mapping[tuple[int, str], Sequence[LabelRow]], lot: str
) -> Iterator[_Turn]:
    """A row's questions, those of one kind together."""
    kinds: dict[Why, list[tuple[float, float, str]]] = {}
    for name in unasked:
        given = said.get((number, name), ())
        apart, unsure = disagreement(given), max(map(_unsure, given), default=0.0)
        why: Why = "disagreement" if apart > 0.0 else "uncertain" if given else "unlabelled"
        kinds.setdefault(why, []).append((-apart, -unsure, name))
    for why, found in kinds.items():
        found.sort(key=lambda one: one[:2])  # a stable sort: else in the order of the criteria
        yield _Turn((_RANK[why], *found[0][:2], lot), number, tuple(name for _, _, name in found), why)


def disagreement(said: Sequence[LabelRow]) -> float:
    """0 where all say the same, 1 where as many say yes as no."""
    yes = sum(row.verdict for row in said)
    return 1.0 - abs(2.0 * yes / len(said) - 1.0) if said else 0.0


def _unsure(row: LabelRow) -> float:
    """0 at a P(yes) of 0 or 1, 1 at the threshold; 0 for who gives none."""
    if row.p_yes is None or row.threshold is None:
        return 0.0
    room = 1.0 - row.threshold if row.p_yes >= row.threshold else row.threshold
    return 1.0 - abs(row.p_yes - row.threshold) / room if room > 0.0 else 1.0


def _mixed(chosen: list[_Turn], chance: list[_Turn], share: float, dice: Random) -> Iterator[_Turn]:
    """Both in their own order, one of `chance` with a probability of `share` each time, until none is left."""
    first, second = iter(chosen), iter(chance)
    while True:
        turn = next(second, None) if dice.random() < share else next(first, None)
        turn = turn or next(first, None) or next(second, None)
        if turn is None:
            return
        yield turn


def _part(digested: str) -> float:
    """A hash as a number from 0 up to 1."""
    return int(digested.removeprefix("sha256:")[:16], 16) / 16.0**16


class _Shortest:
    """The first so many of what is added, in order: however many rows there are, no more are held."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, list[_Turn]()

    def add(self, turn: _Turn) -> None:
        self._held.append(turn)
        if len(self._held) >= 2 * self._most:
            self._held = self.in_order()

    def in_order(self) -> list[_Turn]:
        return sorted(self._held, key=lambda turn: turn.order)[: self._most]
