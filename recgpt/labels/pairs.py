"""Pairs: which of two texts for the same input a judge prefers, asked in both orders, kept as preferences.

Two rows are for the same input where they are tags of one interest, lines for one interest and item, or names of an
interest with the same evidence; retired rows count, so that what two versions of a prompt wrote can be compared. Only a
text that wins in both orders has won. The share of pairs on which the two orders agree is the judge's consistency.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import nsmallest
from itertools import combinations, groupby
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from judges import Criterion, NoVerdict, pair_messages, read_pair, settle, turned
from judges import pair as asking
from judges.pair import Side
from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply, Request
from recgpt.labels.store import judge_id
from recgpt.labels.targets import PAGE, Target, target
from recgpt.stages.answers import Refused
from recgpt.stages.night import Night
from recgpt.stages.work import Kept, Question, Settled, Work, digest, work
from recgpt.store.tables import Explanation, Interest, Preference, Tag
from recgpt.store.tables import Request as RequestRow
from recgpt.words import Outcome, Task

MOST_OF_ONE: Final = 3  # pairs from one input, so that no busy one fills the sample


@dataclass(frozen=True)
class Pair:
    """Two texts for one input."""

    left: Target
    right: Target

    @property
    def input_hash(self) -> str:
        return digest(self.left.task, self.left.given)


@dataclass(frozen=True)
class PairPrompt:
    """A criterion as the question which of two is better; what a request needs of a prompt."""

    criterion: Criterion

    @property
    def task(self) -> str:
        return self.criterion.task

    @property
    def version(self) -> str:
        return self.criterion.version

    @property
    def text(self) -> str:
        return self.criterion.text

    @property
    def schema(self) -> dict[str, Any]:
        return asking.SCHEMA

    @property
    def max_tokens(self) -> int:
        return asking.MAX_TOKENS

    @property
    def messages(self) -> Callable[..., list[dict[str, str]]]:
        return partial(pair_messages, self.criterion)


def draw(night: Night, task: Task, n: int, seed: int) -> list[Pair]:
    """n pairs, by a hash; all, if there are no more."""

    def lots() -> Iterator[tuple[str, Pair]]:
        for rows in _groups(night, task):
            pairs = [
                (digest(seed, task, one.id, other.id), Pair(one, other))
                for one, other in combinations(rows, 2)
                if one.claim.casefold() != other.claim.casefold()
            ]
            yield from nsmallest(MOST_OF_ONE, pairs, key=lambda lot: lot[0])

    drawn = nsmallest(n, lots(), key=lambda lot: lot[0])
    return sorted((pair for _, pair in drawn), key=lambda pair: (pair.left.id, pair.right.id))


def units(model: LanguageModel, pairs: Iterable[Pair], criteria: Sequence[Criterion], *, name: str) -> Iterator[Work]:
    """A unit a pair. `name` tells apart the units of several judges."""
    for pair in pairs:
        questions = []
        for criterion in criteria:
            given = pair.left.given_for(criterion)
            for left, right in ((pair.left, pair.right), (pair.right, pair.left)):
                variables = {"given": given, "left": left.claim, "right": right.claim}
                questions.append(Question((_request(model, criterion, variables),), _read))
        keep = partial(_keep, pair=pair, criteria=criteria)
        yield work(f"pair:{pair.left.task}:{pair.left.id}:{pair.right.id}{name}", questions, keep)


def _request(model: LanguageModel, criterion: Criterion, variables: dict[str, str]) -> Request:
    return model.request(PairPrompt(criterion), variables)


def _read(reply: Reply) -> Side:
    try:
        return read_pair(reply.content)
    except NoVerdict as error:
        raise Refused("no_verdict", reply.content, str(error)) from None


def _keep(
    session: Session, settled: Sequence[Settled], run_id: int, *, pair: Pair, criteria: Sequence[Criterion]
) -> Kept:
    kept = Kept(Outcome.OK)
    for criterion, one, other in zip(criteria, settled[::2], settled[1::2], strict=True):
        if one.value is None or other.value is None or one.reply is None or other.reply is None:
            continue
        first, second = one.value, turned(other.value)
        winner = settle(first, second)
        kept.notes["stable_wins" if winner else "ties" if first == second else "unstable"] += 1
        counts = [one.reply.tokens_in, one.reply.tokens_out, other.reply.tokens_in, other.reply.tokens_out]
        session.add(
            Preference(
                task=pair.left.task,
                criterion=criterion.name,
                input_hash=pair.input_hash,
                left=pair.left.claim,
                right=pair.right.claim,
                left_target=pair.left.id,
                right_target=pair.right.id,
                left_version=_version(session, pair.left),
                right_version=_version(session, pair.right),
                judge=judge_id(one.reply.request.model, one.reply.request.revision, "verdict"),
                first=first,
                second=second,
                winner=winner,
                prompt_version=criterion.version,
                tokens=None if None in counts else sum(count or 0 for count in counts),
                first_request_hash=one.request_hash,
                second_request_hash=other.request_hash,
                run_id=run_id,
            )
        )
    if not kept.notes:
        return Kept(Outcome.INVALID, "no criterion got an answer in both orders")
    return kept


def _version(session: Session, one: Target) -> str:
    """What wrote a text: its prompt's version."""
    if one.request_hash is None:
        return ""
    return session.scalar(select(RequestRow.prompt_version).where(RequestRow.hash == one.request_hash)) or ""


def _groups(night: Night, task: Task) -> Iterator[list[Target]]:
    """Rows for the same input, by id, where there are several."""
    last: Any = "" if task == Task.INTERESTS else 0
    while True:
        with Session(night.store) as session:
            rows, last = _PAGES[task](session, last)
            targets = [target(night.config, night.logs, session, row) for row in rows]
        if not rows:
            return
        targets.sort(key=lambda one: (*_input(one), one.id))
        for _, found in groupby(targets, key=_input):
            yield list(found)


def _input(one: Target) -> tuple[str, str]:
    return one.user_id or "", one.given


# Each gives the rows of the next so many inputs, whole, and where it stopped.


def _interests(session: Session, last: str) -> tuple[list[Any], str]:
    users = select(Interest.user_id).where(Interest.user_id > last).distinct().order_by(Interest.user_id).limit(PAGE)
    found = list(session.scalars(users))
    rows = session.scalars(select(Interest).where(Interest.user_id.in_(found)))
    return list(rows), found[-1] if found else last


def _tags(session: Session, last: int) -> tuple[list[Any], int]:
    interests = select(Tag.interest_id).where(Tag.interest_id > last).distinct().order_by(Tag.interest_id).limit(PAGE)
    found = list(session.scalars(interests))
    rows = session.scalars(select(Tag).where(Tag.interest_id.in_(found)))
    return list(rows), found[-1] if found else last


def _explanations(session: Session, last: int) -> tuple[list[Any], int]:
    first = func.min(Explanation.id)
    several = (
        select(Explanation.interest, Explanation.item_id, first)
        .group_by(Explanation.interest, Explanation.item_id)
        .having(func.count() > 1, first > last)
        .order_by(first)
        .limit(PAGE)
    )
    found = session.execute(several).all()
    wanted = {(interest, item_id) for interest, item_id, _ in found}
    rows = session.scalars(
        select(Explanation).where(
            Explanation.interest.in_({interest for interest, _ in wanted}),
            Explanation.item_id.in_({item_id for _, item_id in wanted}),
        )
    )
    return [row for row in rows if (row.interest, row.item_id) in wanted], found[-1][2] if found else last


_PAGES: Final[dict[Task, Callable[[Session, Any], tuple[list[Any], Any]]]] = {
    Task.INTERESTS: _interests,
    Task.TAGS: _tags,
    Task.EXPLANATIONS: _explanations,
}
