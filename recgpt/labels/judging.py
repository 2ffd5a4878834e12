"""A judge at work: a model, the form it is asked in, and what its answers are held against.

A raw P(yes) means little (a small model says no to everything), so it is held against a threshold: the newest that was
fitted on labelled rows (see `thresholds`), else one fitted here on the known cases in the criterion's own file. Those
are asked of the same model through the same ledger, so this costs nothing the second time.

An engine that gives no token probabilities is asked for votes: that is found out by the first of the known cases. A
judge that gives no answer gives no verdict.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Engine

from judges import Criterion, NoVerdict, Threshold, Verdict, contrast, count_votes, fit
from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply, Request
from recgpt.errors import EngineError
from recgpt.labels.store import judge_id
from recgpt.labels.targets import Target
from recgpt.labels.thresholds import newest
from recgpt.settings import Seat
from recgpt.stages.answers import Refused
from recgpt.stages.work import Question, Settled, settle
from recgpt.store.tables import Label
from recgpt.words import Outcome, Task

UNFITTED: Final = Threshold(0.5, 0.5, 0.0, 0.0, 0)
LEAST: Final = 0.5  # of a criterion's known cases that must get a verdict


@dataclass(frozen=True)
class Asked:
    """A criterion as a judge asks it."""

    criterion: Criterion
    threshold: Threshold
    votes: int = 1  # answers to one question; 1: with probabilities, where there are any

    @property
    def identity(self) -> tuple[str, float, int]:
        """What a verdict depends on besides the target and the answers."""
        return self.criterion.version, round(self.threshold.value, 6), self.votes

    @property
    def answers(self) -> int:
        """How many make a verdict: the votes, or what is said of what is given and of nothing in particular."""
        return self.votes if self.criterion.neutral is None else 2

    def verdict(self, answers: Sequence[Settled]) -> Verdict | None:
        """What so many answers come to; None: to no verdict."""
        values = [answer.value for answer in answers]
        try:
            if self.criterion.neutral is not None:
                return contrast(values[0], values[1], self.threshold.value)
            return values[0] if self.votes == 1 else count_votes(values, self.threshold.value)
        except NoVerdict:
            return None


@dataclass(frozen=True)
class Judge:
    model: LanguageModel
    seat: Seat

    def id(self, task: Task) -> str:
        """What its labels on a task are known by."""
        return judge_id(*self.model.answering(task), self.seat.form)

    async def ready(self, store: Engine, task: Task, criteria: Sequence[Criterion]) -> tuple[Asked, ...]:
        """Criteria of one task with their thresholds.

        Raises:
            EngineError: the model gave no answer to a known case, or no verdict on too many: there is nothing to hold
                it against.
        """
        kept = newest(store, self.id(task), task)

        async def one(criterion: Criterion) -> Asked:
            votes = await self._votes(criterion)
            known = kept.get((criterion.name, criterion.version))
            return Asked(criterion, known or await self._fit(criterion, votes), votes)

        return tuple(await asyncio.gather(*map(one, criteria)))

    def unready(self, criteria: Sequence[Criterion]) -> tuple[Asked, ...]:
        """The same for a dry run: without a threshold, and with votes if a known case was answered with some."""
        return tuple(Asked(one, UNFITTED, self._voted(one)) for one in criteria)

    def questions(self, target: Target, asked: Sequence[Asked]) -> list[Question]:
        """What to ask about a target, for `read`."""
        return [one for each in asked for one in self._questions(each, target.given_for(each.criterion), target.claim)]

    async def verdicts(self, target: Target, asked: Sequence[Asked]) -> dict[str, Verdict]:
        """The verdicts on a target, by criterion, as far as there are any; nothing is kept but the answers."""
        settled = await asyncio.gather(*(settle(self.model, one) for one in self.questions(target, asked)))
        return {name: verdict for name, (verdict, _) in read(asked, settled).items()}

    async def _votes(self, criterion: Criterion) -> int:
        """How many answers to ask for."""
        if self.seat.votes == 1 or self.seat.form == "said":
            return 1
        case = criterion.cases[0]
        reply = await self.model.ask(self._request(criterion, case.given, case.claim))
        # A server that knows nothing of probabilities may refuse a request that asks for them.
        return 1 if reply.outcome == Outcome.OK and reply.logprobs is not None else self.seat.votes

    def _voted(self, criterion: Criterion) -> int:
        """How many answers were asked for before, as far as the ledger tells."""
        if self.seat.votes == 1 or self.seat.form == "said":
            return 1
        case, asked = criterion.cases[0], Asked(criterion, UNFITTED, self.seat.votes)
        return self.seat.votes if self.model.replayed(self._requests(asked, case.given, case.claim)) else 1

    async def _fit(self, criterion: Criterion, votes: int) -> Threshold:
        asked = Asked(criterion, UNFITTED, votes)
        questions = [one for case in criterion.cases for one in self._questions(asked, case.given, case.claim)]
        settled = await asyncio.gather(*(settle(self.model, one) for one in questions))
        p_yes, truth, why = [], [], "no reason given"
        for place, case in enumerate(criterion.cases):
            answers = settled[place * asked.answers : (place + 1) * asked.answers]
            found = read([asked], answers).get(criterion.name)
            missing = next((one.unavailable for one in answers if one.unavailable), "")
            if missing:  # another threshold tonight than tomorrow, were it left out
                raise EngineError(
                    f"the judge did not answer to a known case of {criterion.task}.{criterion.name} ({missing}): run "
                    "the same command again when it does"
                )
            if found is None:
                why = next((str(one.refusals[-1][0]) for one in answers if one.value is None), why)
                continue
            p_yes.append(float(found[0].verdict) if found[0].p_yes is None else found[0].p_yes)
            truth.append(case.verdict)
        if len(truth) < LEAST * len(criterion.cases) or set(truth) != {True, False}:
            raise EngineError(
                f"the judge gave no verdict on {len(criterion.cases) - len(truth)} of the {len(criterion.cases)} known "
                f"cases of {criterion.task}.{criterion.name} (the last: {why}): name other criteria in "
                "[judge.criteria], another judge.form, or a better model"
            )
        return fit(p_yes, truth)

    def _questions(self, asked: Asked, given: str, claim: str) -> list[Question]:
        check = partial(_read, asked=asked, given=given, claim=claim)
        return [Question((request,), check) for request in self._requests(asked, given, claim)]

    def _requests(self, asked: Asked, given: str, claim: str) -> list[Request]:
        neutral = asked.criterion.neutral
        if neutral is not None:
            return [self._request(asked.criterion, one, claim) for one in (given, neutral)]
        if asked.votes == 1:
            return [self._request(asked.criterion, given, claim)]
        return [
            self.model.request(
                asked.criterion,
                {"given": given, "claim": claim},
                schema=asked.criterion.schema_for(given=given, claim=claim),
                temperature=self.seat.temperature,
                seed=seed,
            )
            for seed in range(asked.votes)
        ]

    def _request(self, criterion: Criterion, given: str, claim: str) -> Request:
        schema = criterion.schema_for(given=given, claim=claim)
        variables, verbatim = {"given": given, "claim": claim}, criterion.verbatim(claim)
        return self.model.request(
            criterion, variables, schema=schema, top_logprobs=criterion.top_logprobs, verbatim=verbatim
        )


def read(asked: Sequence[Asked], settled: Sequence[Settled]) -> dict[str, tuple[Verdict, list[Settled]]]:
    """The verdicts that came of `Judge.questions`, by criterion, each with the answers that it is of: first the one
    whose evidence it has. Criteria without a verdict are left out."""
    found, rest = {}, iter(settled)
    for one in asked:
        answers = [next(rest) for _ in range(one.answers)]
        verdict = one.verdict(answers)
        if verdict is None:
            continue
        if one.votes > 1:
            answers.sort(key=lambda answer: answer.value is None or answer.value.verdict != verdict.verdict)
        found[one.criterion.name] = (verdict, answers)
    return found


def labels_of(
    target: Target,
    asked: Sequence[Asked],
    found: Mapping[str, tuple[Verdict, list[Settled]]],
    form: str,
    run_id: int | None = None,
) -> list[Label]:
    """What `read` found, as rows."""
    rows = []
    for one in asked:
        if one.criterion.name not in found:
            continue
        verdict, answers = found[one.criterion.name]
        reply = answers[0].reply
        assert reply is not None
        model, revision = reply.request.model, reply.request.revision
        rows.append(
            Label(
                task=target.task,
                target_id=target.id,
                criterion=one.criterion.name,
                verdict=verdict.verdict,
                p_yes=verdict.p_yes,
                threshold=verdict.threshold,
                votes=verdict.votes,
                evidence=verdict.evidence,
                judge=judge_id(model, revision, form),
                revision=revision,
                prompt_version=one.criterion.version,
                tokens=_tokens(answers),
                request_hash=answers[0].request_hash,
                run_id=run_id,
            )
        )
    return rows


def _read(reply: Reply, asked: Asked, given: str, claim: str) -> Verdict:
    logprobs = reply.logprobs if asked.votes == 1 else None
    try:
        return asked.criterion.read(reply.content, logprobs, asked.threshold.value, given=given, claim=claim)
    except NoVerdict as error:
        raise Refused("no_verdict", reply.content, str(error)) from None


def _tokens(answers: Sequence[Settled]) -> int | None:
    total = 0
    for one in answers:
        if one.reply is None or one.reply.tokens_in is None or one.reply.tokens_out is None:
            return None
        total += one.reply.tokens_in + one.reply.tokens_out
    return total
