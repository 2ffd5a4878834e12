"""Judging what the stages made: one question a criterion, a probability for the answer, labels in SQL.

A judge's raw probability means little (a small model says no to everything), so it is held against a threshold fitted
on the known cases in the criterion's own file, asked of the same model through the same ledger: the fit costs nothing
the second time, and another model or criterion gets its own. Which rows are judged is decided by a hash of the row, so
the sample is the same tonight and tomorrow. A judge that gives no answer leaves no label.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from judges import Criterion, CriterionError, NoVerdict, Threshold, Verdict, fit, load_criteria
from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply, Request
from recgpt.errors import ConfigError, EngineError
from recgpt.labels.store import add, judge_id
from recgpt.labels.targets import TABLES, Target, load_targets
from recgpt.stages.answers import Refused
from recgpt.stages.night import Night
from recgpt.stages.work import Kept, Question, Settled, Tally, Work, digest, plan, work, work_through
from recgpt.store.tables import Label
from recgpt.words import Outcome, Stage, State, Task

PAGE = 500  # rows looked at in one query


async def run(night: Night, model: LanguageModel, run_id: int) -> Tally:
    asked = criteria(night)
    fits = await thresholds(model, [one for listed in asked.values() for one in listed])
    total = sum(len(drawn) for _, drawn in _drawn(night))
    return await work_through(
        night, Stage.JUDGE, model, units(model, sample(night), asked, fits), run_id=run_id, total=total
    )


def dry_run(night: Night, model: LanguageModel) -> Tally:
    # Thresholds need answers. Without them every target counts as to be judged; what the ledger holds is a replay.
    asked = criteria(night)
    unfitted = {one.version: Threshold(0.5, 0.5, 0.0, 0.0, 0) for listed in asked.values() for one in listed}
    return plan(night, Stage.JUDGE, model, units(model, sample(night), asked, unfitted))


def criteria(night: Night) -> dict[Task, tuple[Criterion, ...]]:
    """What is asked about each task: the config's choice, or every criterion that has the config's form.

    Raises:
        ConfigError: the config names a criterion that there is not.
    """
    rules = night.config.judge
    try:
        return {task: load_criteria(task, rules.criteria.get(task), form=rules.form) for task in Task}
    except CriterionError as error:
        raise ConfigError(f"[judge]: {error}") from error


async def thresholds(model: LanguageModel, criteria: Sequence[Criterion]) -> dict[str, Threshold]:
    """The threshold of each criterion by its version, fitted on its known cases.

    Raises:
        EngineError: the model gave no verdict on a known case; without one there is nothing to hold P(yes) against.
    """
    fits = {}
    for criterion in criteria:
        replies = await asyncio.gather(
            *(model.ask(_request(model, criterion, case.given, case.claim)) for case in criterion.cases)
        )
        p_yes = []
        for case, reply in zip(criterion.cases, replies, strict=True):
            try:
                if reply.outcome != Outcome.OK:
                    raise NoVerdict(reply.reason)
                verdict = criterion.read(reply.content, reply.logprobs, given=case.given, claim=case.claim)
            except NoVerdict as error:
                raise EngineError(
                    f"the judge gave no verdict on a known case of {criterion.task}.{criterion.name} ({error}): name "
                    "other criteria in [judge.criteria], another judge.form, or a better model"
                ) from None
            p_yes.append(float(verdict.verdict) if verdict.p_yes is None else verdict.p_yes)
        fits[criterion.version] = fit(p_yes, [case.verdict for case in criterion.cases])
    return fits


def sample(night: Night) -> Iterator[Target]:
    """The active rows whose hash falls into `judge.share`, by task and id. Read page by page: no list grows with users,
    and no transaction stays open while the judge thinks."""
    for task, drawn in _drawn(night):
        yield from load_targets(night.store, night.logs, night.config, task, drawn)


def _drawn(night: Night) -> Iterator[tuple[Task, list[int]]]:
    """The ids that are in the sample, a page of rows at a time."""
    rules = night.config.judge
    for task, table in TABLES.items():
        last = 0
        while True:
            page = select(table.id).where(table.state == State.ACTIVE, table.id > last).order_by(table.id).limit(PAGE)
            with Session(night.store) as session:
                ids = list(session.scalars(page))
            if not ids:
                break
            last = ids[-1]
            hashes = (digest(rules.seed, task, one).removeprefix("sha256:")[:16] for one in ids)
            drawn = [one for one, hashed in zip(ids, hashes, strict=True) if int(hashed, 16) / 16**16 < rules.share]
            if drawn:
                yield task, drawn


def units(
    model: LanguageModel,
    targets: Iterable[Target],
    criteria: dict[Task, tuple[Criterion, ...]],
    fits: dict[str, Threshold],
) -> Iterator[Work]:
    for target in targets:
        asked = criteria[target.task]
        questions = []
        for one in asked:
            given = target.given_for(one)
            check = partial(_verdict, criterion=one, threshold=fits[one.version].value, given=given, claim=target.claim)
            questions.append(Question((_request(model, one, given, target.claim),), check))
        keep = partial(_keep, target=target, criteria=asked, fits=fits)
        made_of = [round(fits[one.version].value, 6) for one in asked]
        yield work(f"{target.task}:{target.id}", questions, keep, made_of)


def _request(model: LanguageModel, criterion: Criterion, given: str, claim: str) -> Request:
    schema = criterion.schema_for(given=given, claim=claim)
    variables = {"given": given, "claim": claim}
    return model.request(criterion, variables, schema=schema, top_logprobs=criterion.top_logprobs)


def _verdict(reply: Reply, criterion: Criterion, threshold: float, given: str, claim: str) -> Verdict:
    try:
        return criterion.read(reply.content, reply.logprobs, threshold, given=given, claim=claim)
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
) -> Kept:
    rows = []
    for criterion, answer in zip(criteria, settled, strict=True):
        if answer.value is None or answer.reply is None:
            continue
        tokens_in, tokens_out = answer.reply.tokens_in, answer.reply.tokens_out
        rows.append(
            Label(
                task=target.task,
                target_id=target.id,
                criterion=criterion.name,
                verdict=answer.value.verdict,
                p_yes=answer.value.p_yes,
                threshold=None if answer.value.p_yes is None else answer.value.threshold,
                evidence=answer.value.evidence,
                judge=judge_id(answer.reply.request.model, answer.reply.request.revision, criterion.form),
                revision=answer.reply.request.revision,
                prompt_version=criterion.version,
                tokens=None if tokens_in is None or tokens_out is None else tokens_in + tokens_out,
                request_hash=answer.request_hash,
                run_id=run_id,
            )
        )
    add(session, rows)
    if not rows:
        return Kept(Outcome.INVALID, "no criterion got a verdict")
    return Kept(Outcome.OK)
