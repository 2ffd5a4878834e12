"""Judging what the stages made: one short question a criterion, P(yes) from the token probabilities, labels in SQL.

A judge's raw P(yes) means little (a small model says no to everything), so it is held against a threshold fitted on the
known cases in the criterion's own file, asked of the same model through the same ledger: the fit costs nothing the
second time, and another model or criterion gets its own. Which rows are judged is decided by a hash of the row, so the
sample is the same tonight and tomorrow. A judge that gives no answer leaves no label.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from judges import Criterion, NoVerdict, Threshold, Verdict, fit, load_criteria, read
from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply, Request
from recgpt.errors import EngineError
from recgpt.stages import texts
from recgpt.stages.night import Night
from recgpt.stages.work import Kept, Question, Refused, Settled, Tally, Work, digest, plan, work, work_through
from recgpt.store.tables import Explanation, Interest, Label, Tag
from recgpt.words import Outcome, Stage, State, Task

TABLES: dict[Task, type[Interest] | type[Tag] | type[Explanation]] = {
    Task.INTERESTS: Interest,
    Task.TAGS: Tag,
    Task.EXPLANATIONS: Explanation,
}
TOP_LOGPROBS = 20  # deep enough to hold both answers


@dataclass(frozen=True)
class Target:
    """A row to be judged, as the judge reads it."""

    task: Task
    id: int
    text: str


async def run(night: Night, model: LanguageModel, run_id: int) -> Tally:
    criteria = {task: load_criteria(task, night.config.judge.criteria[task]) for task in Task}
    fits = await thresholds(model, [one for listed in criteria.values() for one in listed])
    targets = list(sample(night))
    work_units = units(model, targets, criteria, fits)
    return await work_through(night, Stage.JUDGE, model, work_units, run_id=run_id, total=len(targets))


def dry_run(night: Night, model: LanguageModel) -> Tally:
    criteria = {task: load_criteria(task, night.config.judge.criteria[task]) for task in Task}
    return plan(night, Stage.JUDGE, model, units(model, list(sample(night)), criteria, {}))


async def thresholds(model: LanguageModel, criteria: Sequence[Criterion]) -> dict[str, Threshold]:
    """The threshold of each criterion by its version, fitted on its known cases.

    Raises:
        EngineError: the model gave no verdict on a known case; without one there is nothing to hold P(yes) against.
    """
    fits = {}
    for criterion in criteria:
        replies = await asyncio.gather(
            *(model.ask(_request(model, criterion, case.target)) for case in criterion.cases)
        )
        p_yes = []
        for reply in replies:
            if reply.outcome != Outcome.OK:
                raise EngineError(f"the judge gave no verdict on a known case of {criterion.name}: {reply.reason}")
            verdict = read(reply.content, reply.logprobs)
            p_yes.append(float(verdict.verdict) if verdict.p_yes is None else verdict.p_yes)
        fits[criterion.version] = fit(p_yes, [case.verdict for case in criterion.cases])
    return fits


def sample(night: Night) -> Iterator[Target]:
    """The active rows whose hash falls into `judge.share`, by task and id."""
    rules = night.config.judge
    with Session(night.store) as session:
        for task, table in TABLES.items():
            for row in session.scalars(select(table).where(table.state == State.ACTIVE).order_by(table.id)):
                drawn = int(digest(rules.seed, task, row.id).removeprefix("sha256:")[:16], 16) / 16**16
                if drawn < rules.share:
                    yield Target(task, row.id, _text(night, session, row))


def _text(night: Night, session: Session, row: Interest | Tag | Explanation) -> str:
    catalogue, title_words = night.logs.catalogue, night.config.rendering.title_words
    if isinstance(row, Interest):
        return texts.interest_target(catalogue, row, title_words)
    if isinstance(row, Tag):
        return texts.tag_target(row, session.get_one(Interest, row.interest_id))
    return texts.explanation_target(catalogue, row, title_words)


def units(
    model: LanguageModel,
    targets: Sequence[Target],
    criteria: dict[Task, tuple[Criterion, ...]],
    fits: dict[str, Threshold],
) -> Iterator[Work]:
    for target in targets:
        asked = criteria[target.task]
        questions = [
            Question((_request(model, one, target.text),), partial(_verdict, threshold=fits[one.version].value))
            for one in asked
        ]
        keep = partial(_keep, target=target, criteria=asked, fits=fits, judge=model.model)
        made_of = [round(fits[one.version].value, 6) for one in asked]
        yield work(f"{target.task}:{target.id}", questions, keep, made_of)


def _request(model: LanguageModel, criterion: Criterion, target: str) -> Request:
    return model.request(criterion, {"target": target}, top_logprobs=TOP_LOGPROBS)


def _verdict(reply: Reply, threshold: float) -> Verdict:
    try:
        return read(reply.content, reply.logprobs, threshold)
    except NoVerdict as error:
        raise Refused("no_verdict", reply.content, str(error)) from None


def _keep(
    session: Session,
    settled: Sequence[Settled],
    run_id: int,
    *,
    target: Target,
    criteria: Sequence[Criterion],
    fits: dict[str, Threshold],
    judge: str,
) -> Kept:
    for criterion, answer in zip(criteria, settled, strict=True):
        if answer.value is None or answer.reply is None:
            continue
        tokens_in, tokens_out = answer.reply.tokens_in, answer.reply.tokens_out
        session.add(
            Label(
                task=target.task,
                target_id=target.id,
                criterion=criterion.name,
                verdict=answer.value.verdict,
                p_yes=answer.value.p_yes,
                threshold=None if answer.value.p_yes is None else answer.value.threshold,
                rationale=answer.value.rationale,
                judge=judge,
                prompt_version=criterion.version,
                tokens=None if tokens_in is None or tokens_out is None else tokens_in + tokens_out,
                request_hash=answer.request_hash,
                run_id=run_id,
            )
        )
    if all(answer.value is None for answer in settled):
        return Kept(Outcome.INVALID, "no criterion got a verdict")
    return Kept(Outcome.OK)
