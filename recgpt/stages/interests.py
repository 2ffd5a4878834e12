"""Profile text -> interests with evidence, by one of two strategies.

`read` gives the model the whole profile text in one call and takes interests that name their evidence; for a real
model. `grouped` lets code group a user's events by meaning, so that evidence is right by construction, and asks the
model only for each group's name; the cheap choice, and what a small model can do well.

Both end in the same place: `reconcile` holds what was found against the user's active interests, keeps what is
unchanged, writes a new version of what changed, and retires what is gone. Nothing is deleted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

import prompts
from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply
from recgpt.engine.tokens import token_counter
from recgpt.grouping import Group, group
from recgpt.rendering.profile import Profile, render
from recgpt.sources.logs import History
from recgpt.stages import gates
from recgpt.stages.night import Night
from recgpt.stages.texts import product, product_line
from recgpt.stages.work import Kept, Question, Refused, Settled, Tally, Work, plan, read_json, work, work_through
from recgpt.store.tables import Interest
from recgpt.vectors import Vectors
from recgpt.words import Horizon, Operation, Outcome, Stage, State

EVIDENCE = 200  # the latest events kept as an interest's evidence; a heavier user has more, and they say no more
SHOWN = 5  # items of a group that the model is shown
ENCODED = 128  # users whose searches are encoded together


@dataclass(frozen=True)
class Found:
    """An interest as a strategy found it, before it meets the memory."""

    name: str
    horizon: Horizon
    reason: str
    events: tuple[int, ...]  # indices into the user's history
    request_hash: str | None


async def run(night: Night, model: LanguageModel, run_id: int) -> Tally:
    units = read_units(night, model) if night.config.interests.strategy == "read" else grouped_units(night, model)
    return await work_through(night, Stage.INTERESTS, model, units, run_id=run_id, total=night.n_users)


def dry_run(night: Night, model: LanguageModel) -> Tally:
    units = read_units(night, model) if night.config.interests.strategy == "read" else grouped_units(night, model)
    return plan(night, Stage.INTERESTS, model, units)


def grouped_units(night: Night, model: LanguageModel) -> Iterator[Work]:
    """A unit a user: one short question for each group of events that the rules call an interest."""
    prompt = prompts.load("interest_name")
    examples = prompt.example_answers("interest")
    rules, catalogue = night.config.interests, night.logs.catalogue
    for history, queries in _with_queries(night):
        groups = group(
            history, night.vectors, queries, night.config.behaviours, night.logs.behaviours, rules, night.until
        )
        questions = []
        for one in groups:
            shown = [product_line(catalogue, row) for row in one.items[:SHOWN]]
            attempts = (
                model.request(prompt, {"products": "\n".join(shown)}),
                model.request(prompt, {"products": "\n".join(shown)}, temperature=0.7, seed=1),
            )
            check = partial(
                _check_name,
                titles=[text for row in one.items for text in (catalogue.titles[row], product(catalogue, row))],
                examples=examples,
                sensitive=rules.sensitive,
            )
            questions.append(Question(attempts, check))
        events = [[*map(int, one.events)] for one in groups]
        keep = partial(_keep_grouped, night=night, history=history, groups=groups)
        stamps = [int(history.times[one.events[-1]].astype("datetime64[s]").astype(np.int64)) for one in groups]
        horizons = [one.horizon for one in groups]
        yield work(history.user_id, questions, keep, events, stamps, horizons, rules.model_dump(mode="json"))


def _with_queries(night: Night) -> Iterator[tuple[History, Vectors]]:
    """Histories with the vectors of their searches; encoded for many users at once, which is what makes it fast."""
    histories = night.logs.histories(night.until, limit=night.users)
    while block := list(islice(histories, ENCODED)):
        texts = [[query for query in history.queries if query] for history in block]
        vectors = night.encoder.encode([query for mine in texts for query in mine])
        ends = np.cumsum([len(mine) for mine in texts])
        yield from zip(block, np.split(vectors, ends[:-1]), strict=True)


def read_units(night: Night, model: LanguageModel) -> Iterator[Work]:
    """A unit a user: one question over the whole profile text.

    The text is rendered as of the user's own last event, not as of tonight: it changes only when the user does
    something, so a user without new events costs nothing on any later night.
    """
    prompt = prompts.load("interests_read")
    count_tokens = token_counter(night.config)
    config = night.config
    for history in night.logs.histories(night.until, limit=night.users):
        as_of = history.times[-1].astype(datetime).replace(tzinfo=UTC) if len(history.times) else night.until
        profile = render(
            history,
            night.logs.catalogue,
            config.behaviours,
            night.logs.behaviours,
            night=as_of,
            max_tokens=config.rendering.max_tokens,
            count_tokens=count_tokens,
            title_words=config.rendering.title_words,
        )
        questions = []
        if profile.lines:
            attempts = (model.request(prompt, {"profile": profile.text}),)
            questions.append(Question(attempts, _check_list))
        keep = partial(_keep_read, night=night, history=history, profile=profile)
        yield work(history.user_id, questions, keep, config.interests.model_dump(mode="json"))


def _check_name(reply: Reply, *, titles: Sequence[str], examples: Sequence[str], sensitive: Sequence[str]) -> str:
    answer = read_json(reply)
    if not isinstance(answer, dict) or not isinstance(answer.get("interest"), str):
        raise Refused("schema", reply.content, "no interest")
    return gates.interest_name(answer["interest"], titles=titles, examples=examples, sensitive=sensitive)


def _check_list(reply: Reply) -> list[dict[str, Any]]:
    answer = read_json(reply)
    if not isinstance(answer, dict) or not isinstance(answer.get("interests"), list):
        raise Refused("schema", reply.content, "no list of interests")
    return list(answer["interests"])


def _keep_grouped(
    session: Session, settled: Sequence[Settled], run_id: int, *, night: Night, history: History, groups: list[Group]
) -> Kept:
    kept = Kept(Outcome.OK)
    found: list[Found] = []
    for one, answer in zip(groups, settled, strict=True):
        if answer.value is None:
            continue
        if any(gates.same_text(answer.value, other.name) for other in found):
            kept.refusals.append(
                (Refused("duplicate", answer.value, "another group has this name"), answer.request_hash)
            )
            continue
        days = len({history.times[event].astype("datetime64[D]") for event in one.events})
        reason = f"{len(one.items)} items on {days} days"
        found.append(Found(answer.value, one.horizon, reason, tuple(map(int, one.events)), answer.request_hash))
    return _finish(session, night, history, found, kept, asked=len(groups), run_id=run_id)


def _keep_read(
    session: Session, settled: Sequence[Settled], run_id: int, *, night: Night, history: History, profile: Profile
) -> Kept:
    kept = Kept(Outcome.OK)
    found: list[Found] = []
    if settled and settled[0].value is None:
        return Kept(Outcome.INVALID, "; ".join(str(refused) for refused, _ in settled[0].refusals))
    listed = settled[0].value if settled else []
    request_hash = settled[0].request_hash if settled else None
    for entry in listed:
        try:
            found.append(_read_entry(entry, night, history, profile, found, request_hash))
        except Refused as refused:
            kept.refusals.append((refused, request_hash))
    return _finish(session, night, history, found, kept, asked=len(listed), run_id=run_id)


def _read_entry(
    entry: Any, night: Night, history: History, profile: Profile, found: Sequence[Found], request_hash: str | None
) -> Found:
    """Hold one listed interest against every gate of its own. Raises Refused."""
    rules, text = night.config.interests, str(entry)
    if not isinstance(entry, dict):
        raise Refused("schema", text, "an interest is an object")
    lines = {line.number: line for line in profile.lines}
    numbers = entry.get("evidence")
    if not isinstance(numbers, list) or not numbers or any(type(one) is not int or one not in lines for one in numbers):
        raise Refused("evidence", text, "names a line that the profile does not have")
    chosen = [lines[number] for number in dict.fromkeys(numbers)]
    name = gates.interest_name(
        str(entry.get("name", "")),
        titles=[night.logs.catalogue.titles[line.item] for line in chosen if line.item >= 0],
        examples=(),
        sensitive=rules.sensitive,
    )
    if any(gates.same_text(name, other.name) for other in found):
        raise Refused("duplicate", name, "listed twice")
    try:
        horizon = Horizon(str(entry.get("horizon")))
    except ValueError:
        raise Refused("schema", text, f"no such horizon: {entry.get('horizon')!r}") from None
    events = tuple(sorted({int(event) for line in chosen for event in line.events}))
    days = {history.times[event].astype("datetime64[D]") for event in events}
    if len(chosen) < rules.min_items or (horizon == Horizon.LONG_TERM and len(days) < rules.min_days):
        raise Refused("too_little_evidence", name, f"{len(chosen)} items on {len(days)} days")
    return Found(name, horizon, str(entry.get("reason", ""))[:500], events, request_hash)


def _finish(
    session: Session, night: Night, history: History, found: list[Found], kept: Kept, *, asked: int, run_id: int
) -> Kept:
    reconcile(session, night, history, found, run_id)
    if asked and not found:  # answers came, and none of them can be used
        kept.outcome, kept.reason = Outcome.INVALID, "every interest was refused by a gate"
    return kept


def reconcile(session: Session, night: Night, history: History, found: Sequence[Found], run_id: int) -> None:
    """Bring the user's memory to what was found: confirm, revise (a new version), add, retire."""
    query = select(Interest).where(Interest.user_id == history.user_id, Interest.state == State.ACTIVE)
    active = {" ".join(gates.words(row.name)): row for row in session.scalars(query)}
    for one in found:
        evidence = [_event(night, history, number, event) for number, event in enumerate(one.events[-EVIDENCE:], 1)]
        old = active.pop(" ".join(gates.words(one.name)), None)
        if old and _same(old.evidence, evidence) and old.horizon == one.horizon:
            continue
        if old:
            old.state, old.retired_night = State.RETIRED, night.day
        session.add(
            Interest(
                user_id=history.user_id,
                name=one.name,
                horizon=one.horizon,
                reason=one.reason,
                evidence=evidence,
                first_seen=old.first_seen if old else _moment(history, one.events[0]),
                last_confirmed=_moment(history, one.events[-1]),
                state=State.ACTIVE,
                version=old.version + 1 if old else 1,
                operation=Operation.REVISE if old else Operation.ADD,
                since_night=night.day,
                supersedes_id=old.id if old else None,
                request_hash=one.request_hash,
                run_id=run_id,
            )
        )
    for gone in active.values():
        gone.state, gone.retired_night = State.RETIRED, night.day


def _same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    """Whether two lists of evidence hold the same events, whichever night brought them."""
    return [{**event, "night": ""} for event in one] == [{**event, "night": ""} for event in other]


def _moment(history: History, event: int) -> datetime:
    moment: datetime = history.times[event].astype("datetime64[s]").astype(datetime)
    return moment.replace(tzinfo=UTC)


def _event(night: Night, history: History, number: int, event: int) -> dict[str, Any]:
    row = int(history.items[event])
    what = {"item_id": night.logs.catalogue.ids[row]} if row >= 0 else {"query": history.queries[event]}
    behaviour = night.logs.behaviours[int(history.behaviours[event])]
    return {
        "number": number,
        "timestamp": _moment(history, event).isoformat(),
        "behaviour": behaviour,
        **what,
        "night": night.day.isoformat(),
    }
