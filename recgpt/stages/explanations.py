"""(interest, item) -> a short line, made once, kept, and shared by every user whom it fits.

Only pairs that some recommendation of the night needs are asked for: the first `explain.top` of each user. A pair that
fails every try has no explanation, and its unit says why; there is no template pretending.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

import prompts
from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply
from recgpt.rendering.clean import clean
from recgpt.sources.logs import Catalogue
from recgpt.stages import gates
from recgpt.stages.night import Night
from recgpt.stages.texts import product
from recgpt.stages.work import (
    Kept,
    Question,
    Refused,
    Settled,
    Tally,
    Work,
    digest,
    plan,
    read_json,
    work,
    work_through,
)
from recgpt.store.tables import Explanation, Interest, Recommendation
from recgpt.words import Outcome, Stage, State


async def run(night: Night, model: LanguageModel, run_id: int) -> Tally:
    pairs = wanted(night)
    return await work_through(night, Stage.EXPLAIN, model, units(night, model, pairs), run_id=run_id, total=len(pairs))


def dry_run(night: Night, model: LanguageModel) -> Tally:
    return plan(night, Stage.EXPLAIN, model, units(night, model, wanted(night)))


def pair_key(interest: str, item_id: str) -> str:
    """The unit's key: short whatever the names are."""
    return digest(interest, item_id)


def wanted(night: Night) -> list[tuple[str, str]]:
    """The distinct (interest name, item) pairs that the night's first recommendations need."""
    query = (
        select(Interest.name, Recommendation.item_id)
        .join(Interest, Interest.id == Recommendation.interest_id)
        .where(Recommendation.night == night.day, Recommendation.rank <= night.config.explain.top)
        .distinct()
        .order_by(Interest.name, Recommendation.item_id)
    )
    with Session(night.store) as session:
        return [(name, item_id) for name, item_id in session.execute(query)]


def units(night: Night, model: LanguageModel, pairs: Sequence[tuple[str, str]]) -> Iterator[Work]:
    short = night.config.explain.strategy == "short"
    prompt = prompts.load("explanation_short" if short else "explanation")
    catalogue = night.logs.catalogue
    for interest, item_id in pairs:
        row = catalogue.row_of(item_id)
        if row is None:  # no longer sold since the recommendation was made
            continue
        record, name, opening, schema = item_record(catalogue, row), product(catalogue, row), "", None
        variables = {"interest": interest, "item": record}
        if short:  # a small model is made to begin with the interest and the product, and goes on with what that does
            opening = prompts.opening(interest, name)
            variables, schema = (
                {"interest": interest, "product": name},
                prompts.begins(prompt.schema, "explanation", opening),
            )
        attempts = tuple(
            # The first try is the likeliest answer; a further one must be able to differ from it.
            model.request(prompt, variables, schema=schema, temperature=0.7 if number else 0.0, seed=number)
            for number in range(night.config.explain.tries)
        )
        check = partial(_check, title=catalogue.titles[row], record=f"{record} {interest}", opening=opening)
        keep = partial(_keep, interest=interest, item_id=item_id, input_hash=digest(interest, record), night=night.day)
        yield work(pair_key(interest, item_id), [Question(attempts, check)], keep, record)


def item_record(catalogue: Catalogue, row: int) -> str:
    """All that the catalogue says of an item, in one text."""
    parts = (catalogue.titles[row], catalogue.categories[row], catalogue.brands[row])
    return clean(" | ".join(part for part in parts if part), 2000)


def _check(reply: Reply, *, title: str, record: str, opening: str) -> str:
    answer = read_json(reply)
    if not isinstance(answer, dict) or not isinstance(answer.get("explanation"), str):
        raise Refused("schema", reply.content, "no explanation")
    text = gates.explanation(answer["explanation"], title=title, record=record)
    return gates.continuation(text, opening, record=record) if opening else text


def _keep(
    session: Session,
    settled: Sequence[Settled],
    run_id: int,
    *,
    interest: str,
    item_id: str,
    input_hash: str,
    night: date,
) -> Kept:
    query = select(Explanation).where(
        Explanation.interest == interest, Explanation.item_id == item_id, Explanation.state == State.ACTIVE
    )
    for old in session.scalars(query):
        old.state, old.retired_night = State.RETIRED, night
    (answer,) = settled
    if answer.value is None:
        return Kept(Outcome.INVALID, "; ".join(str(refused) for refused, _ in answer.refusals))
    session.add(
        Explanation(
            interest=interest,
            item_id=item_id,
            text=answer.value,
            input_hash=input_hash,
            state=State.ACTIVE,
            since_night=night,
            request_hash=answer.request_hash,
            run_id=run_id,
        )
    )
    return Kept(Outcome.OK)
