"""Interests -> tags: what kinds of things would serve an interest, in words that the item tower can answer.

A strategy asks (`proposals`, `experts`), the gates refuse what they must (`gates`, each by its name), and what is
left are the user's tags: one that is said again of the same interest keeps its row, one that isn't is retired. Where
an answer can't be used at all, the tags of the interests that it was about stay as they are.

A unit is a user. It is gone through again when the interests, the environment, the rules or the user's recent doings
changed; and only what its requests are made of (interests as their rows were made, environment, prompts, sampling)
makes the model be asked again.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence, Set
from functools import partial
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from recgpt.engine.asking import LanguageModel
from recgpt.sources.logs import History
from recgpt.stages.answers import Refused
from recgpt.stages.night import Night
from recgpt.stages.tags.experts import experts
from recgpt.stages.tags.gates import Recent, TagGates, recent
from recgpt.stages.tags.proposals import Inquiry, Proposed, ProposedTag, each, single
from recgpt.stages.work import Kept, Settled, Tally, Work, plan, work, work_through
from recgpt.store.tables import Interest, Tag
from recgpt.words import Outcome, Stage, State

BLOCK = 256  # users whose interests are read in one query


async def run(night: Night, model: LanguageModel, run_id: int) -> Tally:
    return await work_through(night, Stage.TAGS, model, units(night, model), run_id=run_id)


def dry_run(night: Night, model: LanguageModel) -> Tally:
    return plan(night, Stage.TAGS, model, units(night, model))


def units(night: Night, model: LanguageModel) -> Iterator[Work]:
    """A unit a user that has an active interest, or a tag left of one."""
    gates, rules = TagGates(night), night.config.tags.model_dump(mode="json")
    for history, interests in remembered(night):
        inquiry = _inquiry(night, model, history, interests) if interests else Inquiry((), lambda _: Proposed())
        done = recent(night, history)
        keep = partial(
            _keep, night=night, gates=gates, user=history.user_id, interests=interests, done=done, inquiry=inquiry
        )
        made_of = ([one.id for one in interests], rules, gates.untimely, done.items, done.queries, inquiry.made_of)
        yield work(history.user_id, inquiry.questions, keep, *made_of, then=inquiry.then)


def remembered(night: Night) -> Iterator[tuple[History, list[Interest]]]:
    """Every user with active interests or active tags, and those interests in the order of their ids."""
    histories = night.histories()
    while block := list(islice(histories, BLOCK)):
        ids = [history.user_id for history in block]
        active: dict[str, list[Interest]] = defaultdict(list)
        with Session(night.store, expire_on_commit=False) as session:
            mine = select(Interest).where(Interest.user_id.in_(ids), Interest.state == State.ACTIVE)
            for row in session.scalars(mine.order_by(Interest.id)):
                active[row.user_id].append(row)
            tagged = set(session.scalars(select(Tag.user_id).where(Tag.user_id.in_(ids), Tag.state == State.ACTIVE)))
        for history in block:
            if history.user_id in active or history.user_id in tagged:
                yield history, active[history.user_id]


def _inquiry(night: Night, model: LanguageModel, history: History, interests: Sequence[Interest]) -> Inquiry:
    match night.config.tags.strategy:
        case "each":
            return each(night, model, interests)
        case "single":
            return single(night, model, interests)
        case "experts":
            return experts(night, model, interests, history.features)


def _keep(
    session: Session,
    settled: Sequence[Settled],
    run_id: int,
    *,
    night: Night,
    gates: TagGates,
    user: str,
    interests: Sequence[Interest],
    done: Recent,
    inquiry: Inquiry,
) -> Kept:
    said = inquiry.read(settled)
    kept = Kept(Outcome.OK, refusals=said.refusals)
    query = select(Tag).where(Tag.user_id == user, Tag.state == State.ACTIVE).order_by(Tag.id)
    held = {(row.interest_id, row.tag): row for row in session.scalars(query)}
    passed = _passed(night, gates, said, done, held.keys(), kept)
    for interest, tag, proposal in passed:
        if held.pop((interest.id, tag), None) is None:
            session.add(
                Tag(
                    user_id=user,
                    interest_id=interest.id,
                    tag=tag,
                    persona=proposal.persona,
                    rationale=proposal.rationale[:500],
                    state=State.ACTIVE,
                    since_night=night.day,
                    request_hash=proposal.request_hash,
                    run_id=run_id,
                )
            )
    unanswered = {interest.id for interest in interests} - said.answered
    for row in held.values():
        if row.interest_id not in unanswered:
            row.state, row.retired_night = State.RETIRED, night.day
    if interests and not passed:
        reasons = [str(refused) for one in settled for refused, _ in one.refusals]
        kept.outcome, kept.reason = Outcome.INVALID, "; ".join(reasons) or "every tag was refused by a gate"
    return kept


def _passed(
    night: Night, gates: TagGates, said: Proposed, done: Recent, held: Set[tuple[int, str]], kept: Kept
) -> list[tuple[Interest, str, ProposedTag]]:
    """The proposals that pass every gate, in their order, at most `tags.per_interest` an interest.

    Args:
        held: the interest's id and the text of every tag that the user has.
        kept: takes what is refused.
    """
    plain: list[tuple[Interest, str, ProposedTag]] = []
    for proposal in said.listed:
        try:
            if proposal.interest is None:
                raise Refused("no_such_interest", proposal.text, "belongs to none of the interests asked about")
            plain.append((proposal.interest, gates.words(proposal.text), proposal))
        except Refused as refused:
            kept.refusals.append((refused, proposal.request_hash))
    passed: list[tuple[Interest, str, ProposedTag]] = []
    user_gates, count = gates.of_user(done), Counter[int]()
    vectors = night.encoder.encode([tag for _, tag, _ in plain])
    for (interest, tag, proposal), vector in zip(plain, vectors, strict=True):
        if count[interest.id] == night.config.tags.per_interest:
            continue
        try:
            user_gates.meaning(tag, vector, kept=(interest.id, tag) in held)
        except Refused as refused:
            kept.refusals.append((refused, proposal.request_hash))
            continue
        count[interest.id] += 1
        passed.append((interest, tag, proposal))
    return passed
