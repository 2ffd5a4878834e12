"""One person's sitting over a queue of questions: what both fronts, the terminal and the web page, write through.

Every verdict is in SQL before the next question is shown, so there is nothing to save and nothing to lose. A question
is one criterion of one target. What this person has labelled, here or in another sitting that is open at the same time,
is not asked; what they skipped, today or last week, comes last. A verdict names the question that it answers: one that
is no longer being asked (a second click, an old tab) is refused and never counted for another question.

A person is to judge blind: what the others said of a question is told only once it is answered, and from then on that
answer can't be taken back, because a second one would no longer be the person's own. A sitting may be shared between
threads.
"""

import threading
import unicodedata
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Engine

from judges import Criterion
from recgpt.errors import ConfigError
from recgpt.labelling import keeping
from recgpt.labelling.visible import one_line
from recgpt.labels.queue import Queued
from recgpt.labels.store import labels
from recgpt.labels.targets import Target
from recgpt.words import JudgeKind, Task

NOTE_CHARS: Final = 2000
NAME_CHARS: Final = 64
_YES_NO: Final = {True: "yes", False: "no"}
REASONS: Final = {
    "disagreement": "those who judged it so far do not agree",
    "random": "it was drawn at random, so that estimates stay unbiased",
    "unlabelled": "nobody has judged it yet",
    "uncertain": "those who judged it so far agree, but somebody was not sure",
}


class NotNow(Exception):
    """What was asked for can't be done at this point of the sitting; the message is for the person."""


@dataclass(frozen=True)
class Question:
    """One criterion of one target, and why this person is asked."""

    target: Target
    criterion: Criterion
    why: str  # a key of REASONS

    @property
    def key(self) -> str:
        return f"{self.target.task}:{self.target.id}:{self.criterion.name}"

    @property
    def given(self) -> str:
        """What the claim is held against, as a judge is shown it."""
        return self.target.given_for(self.criterion)


@dataclass(frozen=True)
class Said:
    """What another judge said of a question."""

    judge: str
    verdict: str  # yes, no
    p_yes: float | None
    threshold: float | None
    evidence: str
    rationale: str

    def line(self) -> str:
        """The same in one line that is safe to show."""
        held = "" if self.p_yes is None else f", P(yes) {self.p_yes:.2f}"
        held += "" if self.threshold is None else f" against {self.threshold:.2f}"
        quoted = f', quoting "{one_line(self.evidence)}"' if self.evidence else ""
        noted = f": {one_line(self.rationale)}" if self.rationale else ""
        return f"{one_line(self.judge)} said {self.verdict}{held}{quoted}{noted}"


@dataclass(frozen=True)
class Why:
    """Why the question on the screen is asked, and what the others said of the one answered before it."""

    reason: str | None  # None where nothing is being asked
    answered: Question | None
    verdict: str  # of this person on `answered`
    others: tuple[Said, ...]


@dataclass
class _Done:
    """What the person has done with a question in this sitting."""

    question: Question
    label_id: int | None  # None: skipped
    verdict: bool | None
    told: bool = False  # what the others said was shown


class Sitting:
    """One person's way through a queue.

    Args:
        labeller: the person's name (see `labeller_name`); labels are kept under `human:NAME`.
        queued: the task's queue, read as far as it is needed.
        criteria: those to be asked, by name; others that the queue names are left out.
        limit: ask for no more verdicts than that.
    """

    def __init__(
        self,
        store: Engine,
        task: Task,
        labeller: str,
        queued: Iterable[Queued],
        criteria: Mapping[str, Criterion],
        *,
        limit: int | None = None,
    ) -> None:
        self.task, self.judge = task, f"{JudgeKind.HUMAN}:{labeller}"
        self.keeper = keeping.Keeper(store, self.judge)
        self._store, self._limit = store, limit
        self._coming = (
            Question(one.target, criteria[name], one.why) for one in queued for name in one.criteria if name in criteria
        )
        self._first: deque[Question] = deque()  # the one that is asked, and before it those taken back
        self._aside: dict[str, Question] = {}  # skipped, by key
        self._done: list[_Done] = []
        self._lock = threading.RLock()

    @property
    def counts(self) -> dict[str, int]:
        """How many of each verdict this sitting has, and how many that it skipped are still open."""
        with self._lock:
            verdicts = Counter(_YES_NO[one.verdict] for one in self._done if one.verdict is not None)
            answered = {one.question.key for one in self._done if one.label_id is not None}
            skipped = {one.question.key for one in self._done} - answered
            return {"yes": verdicts["yes"], "no": verdicts["no"], "skipped": len(skipped)}

    def summary(self) -> dict[str, Any]:
        """What this sitting came to, what this person has labelled of the task in all, and how often others agree."""
        return {
            "task": str(self.task),
            "judge": self.judge,
            **self.counts,
            "total": self.keeper.total(self.task),
            "agreement": [asdict(one) for one in self.keeper.agreements(self.task)],
        }

    def current(self) -> Question | None:
        """The question that is being asked; None where the queue, or the limit, is at its end."""
        with self._lock:
            if self._limit is not None and sum(one.label_id is not None for one in self._done) >= self._limit:
                return None
            while self._first or self._draw():
                if not self.keeper.is_labelled(self._first[0].target, self._first[0].criterion):
                    return self._first[0]
                self._first.popleft()
            return None

    def answer(self, key: str, verdict: bool, note: str = "") -> None:
        """Keep a verdict on the current question.

        Raises:
            NotNow: `key` is not the current question's, or the note is too long.
        """
        with self._lock:
            question = self._asked(key)
            if len(note) > NOTE_CHARS:
                raise NotNow(f"The note has {len(note):,} characters; {NOTE_CHARS:,} is the most. Nothing was kept.")
            label_id = self.keeper.keep(question.target, question.criterion, verdict, note.strip(), question.why)
            self._done.append(_Done(question, label_id, verdict))
            self._first.popleft()

    def skip(self, key: str) -> None:
        """Put the current question last, in this sitting and in later ones.

        Raises:
            NotNow: `key` is not the current question's.
        """
        with self._lock:
            question = self._asked(key)
            self.keeper.skip(question.target, question.criterion)
            self._done.append(_Done(question, None, None))
            self._aside[key] = self._first.popleft()

    def undo(self) -> Question:
        """Take back the last verdict or skip of this sitting; its question is asked again.

        Raises:
            NotNow: there is none, or what the others said of it has been shown.
        """
        with self._lock:
            if not self._done:
                raise NotNow("There is nothing to take back in this sitting.")
            last = self._done[-1]
            question = last.question
            if last.told:
                raise NotNow("What the others said of the last one has been shown, so its answer stands.")
            if last.label_id is None:
                self.keeper.unskip(question.target, question.criterion)
            else:
                self.keeper.take_back(last.label_id)
            self._done.pop()
            self._aside.pop(question.key, None)
            # A question that came up again because it was skipped is on the screen already.
            self._first = deque([question, *(one for one in self._first if one.key != question.key)])
            return question

    def why(self) -> Why:
        """Why the current question is asked; and of the one answered just before, what the others said. From then on
        that answer stands."""
        with self._lock:
            question = self.current()
            reason = None if question is None else REASONS[question.why]
            last = self._done[-1] if self._done else None
            if last is None or last.verdict is None:
                return Why(reason, None, "", ())
            last.told = True
            return Why(reason, last.question, _YES_NO[last.verdict], self._others(last.question))

    def _asked(self, key: str) -> Question:
        question = self.current()
        if question is None or question.key != key:
            raise NotNow("That question has been dealt with already; nothing was changed.")
        return question

    def _draw(self) -> bool:
        """Put the next question first. Skipped ones are set aside until nothing else is left, the longest skipped then
        first."""
        while (question := next(self._coming, None)) is not None:
            if not self.keeper.skipped_at(question.target, question.criterion):
                self._first.append(question)
                return True
            self._aside[question.key] = question
        if not self._aside:
            return False
        longest = min(self._aside, key=lambda key: self._skipped_at(self._aside[key]))
        self._first.append(self._aside.pop(longest))
        return True

    def _skipped_at(self, question: Question) -> datetime:
        return self.keeper.skipped_at(question.target, question.criterion) or datetime.max.replace(tzinfo=UTC)

    def _others(self, question: Question) -> tuple[Said, ...]:
        held = labels(self._store, Task(self.task), criteria=[question.criterion.name], targets=[question.target.id])
        return tuple(
            Said(row.judge, _YES_NO[row.verdict], row.p_yes, row.threshold, row.evidence, row.rationale)
            for row in held
            if row.judge != self.judge
        )


def labeller_name(given: str) -> str:
    """A person's name as it is kept: NFKC, single spaces. Letters, digits, spaces and . _ - @ + only, since it is shown
    in tables, on pages and in file names.

    Raises:
        ConfigError: it is empty, too long or has another character.
    """
    name = " ".join(unicodedata.normalize("NFKC", given).split())
    wrong = sorted({char for char in name if not (char.isalnum() or char in " ._-@+")})
    if not name or len(name) > NAME_CHARS or wrong:
        raise ConfigError(
            f"a labeller's name has 1 to {NAME_CHARS} letters, digits, spaces and . _ - @ +; give one with --as NAME"
        )
    return name
