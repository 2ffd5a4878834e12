"""Interests -> tags: what kinds of things would serve an interest, in words that the item tower can answer.

`single` asks for all of a user's interests in one call, with the night's environment; for a real model. `each` asks a
short question per interest; what a small model can do well. A tag passes every gate or is stored as refused: form and
vague words, brand, duplicate, retrievable (some item is near it), fresh (it isn't what was bought this month).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

import prompts
from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply
from recgpt.stages import gates
from recgpt.stages.night import Night
from recgpt.stages.texts import evidence_rows, item_line, product
from recgpt.stages.work import Kept, Question, Refused, Settled, Tally, Work, plan, read_json, work, work_through
from recgpt.store.tables import Interest, Tag
from recgpt.words import Outcome, Stage, State

Vector = np.ndarray[Any, np.dtype[np.float32]]

LOOKED_AT = 60  # nearest items that phrases are taken from
NEAR = 0.7  # of the nearest item's likeness: what is farther is not offered
SHOWN = 4  # items of an interest that the model is shown
SAME_TAG = 0.92  # cosine from which two tags of a user say the same thing
SAME_AS_BOUGHT = 0.75  # cosine from which a tag only names something bought


async def run(night: Night, model: LanguageModel, run_id: int) -> Tally:
    return await work_through(night, Stage.TAGS, model, units(night, model), run_id=run_id)


def dry_run(night: Night, model: LanguageModel) -> Tally:
    return plan(night, Stage.TAGS, model, units(night, model))


def season(day: date) -> str:
    """The season of the northern hemisphere by whole months, so that a prompt changes four times a year."""
    return ("winter", "spring", "summer", "autumn")[day.month % 12 // 3]


def units(night: Night, model: LanguageModel) -> Iterator[Work]:
    """A unit a user that has, or had, interests."""
    ask = _single if night.config.tags.strategy == "single" else _each
    rules = night.config.tags.model_dump(mode="json")
    for user_id, interests in active_interests(night):
        questions = ask(night, model, interests) if interests else []
        keep = partial(_keep, night=night, user_id=user_id, interests=interests)
        yield work(user_id, questions, keep, [interest.id for interest in interests], rules)


def active_interests(night: Night) -> Iterator[tuple[str, list[Interest]]]:
    """Every user with a memory, and their active interests in order of id (none left: an empty list)."""
    users = set(night.logs.user_ids(night.users)) if night.users is not None else None
    with Session(night.store) as session:
        query = select(Interest).order_by(Interest.user_id, Interest.id).execution_options(yield_per=1000)
        for user_id, rows in groupby(session.scalars(query), key=attrgetter("user_id")):
            listed = list(rows)
            if users is None or user_id in users:
                yield user_id, [row for row in listed if row.state == State.ACTIVE]
            for row in listed:
                session.expunge(row)


def _each(night: Night, model: LanguageModel, interests: Sequence[Interest]) -> list[Question]:
    prompt = prompts.load("interest_tags")
    names = night.encoder.encode([interest.name for interest in interests])
    questions = []
    for interest, name in zip(interests, names, strict=True):
        offered = _offered(night, interest, name)
        schema = prompts.one_of(prompt.schema, "tags", offered) if offered else None
        request = model.request(prompt, {"interest": interest.name}, schema=schema)
        questions.append(Question((request,), partial(_check_each, interest=interest)))
    return questions


def _offered(night: Night, interest: Interest, name: Vector) -> list[list[str]]:
    """Phrases of the catalogue's items that are nearest to the interest, dealt into a few lists to choose one from."""
    catalogue, rows = night.logs.catalogue, evidence_rows(night.logs.catalogue, interest.evidence)
    wanted = name + night.vectors[rows].mean(0) if rows else name
    likeness = night.vectors @ wanted
    nearest = np.argsort(-likeness, kind="stable")[:LOOKED_AT]
    near = nearest[likeness[nearest] >= NEAR * likeness[nearest[0]]].tolist() if len(nearest) else []
    bought = [product(catalogue, row) for row in recently_bought(night, [interest])]
    return prompts.deal((product(catalogue, row) for row in near), night.config.tags.per_interest, not_again=bought)


def recently_bought(night: Night, interests: Sequence[Interest]) -> list[int]:
    """Catalogue rows of what the interests' evidence says was bought within `tags.fresh_days`.

    Counted back from the interests' own last event, not from tonight: else the calendar alone would change what is
    asked about somebody who did nothing new.
    """
    latest = max((interest.last_confirmed for interest in interests), default=night.until)
    since = latest - timedelta(days=night.config.tags.fresh_days)
    rows = {
        night.logs.catalogue.row_of(event["item_id"])
        for interest in interests
        for event in interest.evidence
        if event["behaviour"] == "purchase" and datetime.fromisoformat(event["timestamp"]) >= since
    }
    return sorted(row for row in rows if row is not None)


def _single(night: Night, model: LanguageModel, interests: Sequence[Interest]) -> list[Question]:
    listed = "\n".join(
        f"[{number}] {interest.name} ({interest.horizon})\n{_items(night, interest)}"
        for number, interest in enumerate(interests, 1)
    )
    variables = {
        "interests": listed,
        "environment": f"Season: {season(night.day)}",
        "per_interest": str(night.config.tags.per_interest),
    }
    request = model.request(prompts.load("tags_single"), variables)
    return [Question((request,), partial(_check_single, interests=interests))]


def _items(night: Night, interest: Interest) -> str:
    rows = evidence_rows(night.logs.catalogue, interest.evidence)[:SHOWN]
    return "\n".join(item_line(night.logs.catalogue, row, night.config.rendering.title_words) for row in rows)


def _check_each(reply: Reply, *, interest: Interest) -> list[tuple[Interest, str, str]]:
    answer = read_json(reply)
    if not isinstance(answer, dict) or not isinstance(answer.get("tags"), list):
        raise Refused("schema", reply.content, "no list of tags")
    return [(interest, tag, "") for tag in dict.fromkeys(map(str, answer["tags"]))]


def _check_single(reply: Reply, *, interests: Sequence[Interest]) -> list[tuple[Interest | None, str, str]]:
    """The interest, tag and rationale of each entry; no interest where it names none of those asked about."""
    answer = read_json(reply)
    if not isinstance(answer, dict) or not isinstance(answer.get("tags"), list):
        raise Refused("schema", reply.content, "no list of tags")
    by_number = {str(number): interest for number, interest in enumerate(interests, 1)}
    entries = [entry if isinstance(entry, dict) else {"tag": entry} for entry in answer["tags"]]
    return [
        (by_number.get(str(entry.get("interest"))), str(entry.get("tag", "")), str(entry.get("rationale", "")))
        for entry in entries
    ]


def _keep(
    session: Session,
    settled: Sequence[Settled],
    run_id: int,
    *,
    night: Night,
    user_id: str,
    interests: Sequence[Interest],
) -> Kept:
    kept = Kept(Outcome.OK)
    old = select(Tag).where(Tag.user_id == user_id, Tag.state == State.ACTIVE)
    for row in session.scalars(old):
        row.state, row.retired_night = State.RETIRED, night.day
    gate = _Gate(night, interests)
    proposed = [(*entry, answer.request_hash) for answer in settled for entry in answer.value or ()]
    by_interest: dict[int, int] = defaultdict(int)
    vectors = night.encoder.encode([tag for _, tag, _, _ in proposed])
    for (interest, text, rationale, request_hash), vector in zip(proposed, vectors, strict=True):
        try:
            if interest is None:
                raise Refused("no_such_interest", text, "belongs to none of the interests asked about")
            tag = gate.passed(text, vector)
        except Refused as refused:
            kept.refusals.append((refused, request_hash))
            continue
        if by_interest[interest.id] == night.config.tags.per_interest:
            continue
        by_interest[interest.id] += 1
        session.add(
            Tag(
                user_id=user_id,
                interest_id=interest.id,
                tag=tag,
                rationale=rationale[:500],
                state=State.ACTIVE,
                since_night=night.day,
                request_hash=request_hash,
                run_id=run_id,
            )
        )
    if interests and not by_interest:
        kept.outcome, kept.reason = Outcome.INVALID, "every tag was refused by a gate"
    return kept


class _Gate:
    """The gates of one user's tags: the form, then duplicates, retrievability and freshness by meaning."""

    def __init__(self, night: Night, interests: Sequence[Interest]) -> None:
        self.night, self.rules = night, night.config.tags
        catalogue = night.logs.catalogue
        rows = {row for interest in interests for row in evidence_rows(catalogue, interest.evidence)}
        self.brands = {catalogue.brands[row] for row in rows} - {""}
        self.bought = night.vectors[recently_bought(night, interests)]
        self.seen: list[Vector] = []

    def passed(self, text: str, vector: Vector) -> str:
        tag = gates.tag_form(text, brands=self.brands, banned=self.rules.banned)
        if self.seen and float(np.max(np.stack(self.seen) @ vector)) >= SAME_TAG:
            raise Refused("duplicate", tag, "another tag of this user says the same")
        nearest = float(np.max(self.night.vectors @ vector)) if len(self.night.vectors) else 0.0
        if nearest < self.rules.retrievable:
            raise Refused("not_retrievable", tag, f"the nearest item is at {nearest:.2f}")
        if len(self.bought) and float(np.max(self.bought @ vector)) >= SAME_AS_BOUGHT:
            raise Refused("not_fresh", tag, "names something bought in the last month")
        self.seen.append(vector)
        return tag
