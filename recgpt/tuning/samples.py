"""Further answers to the questions of users who are not held out, judged: what rejection sampling chooses from.

One answer to each question is enough for a night, and too few to learn from: a pair wants a good and a bad one to the
same question. So the stage is run again and again at a temperature, on a store of its own (see `trial`), and what it
makes is judged by the config's judges. The answers are in the ledger, so the same command asks nothing twice; rows and
labels are not kept. An answer that a gate refused is a bad one.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from judges import Verdict
from recgpt.engine.asking import LanguageModel
from recgpt.engine.open import open_engine
from recgpt.engine.requests import PromptLike, Request
from recgpt.errors import DataError
from recgpt.stages.night import Night, Progress
from recgpt.tuning.asked import asked, prompt_hash
from recgpt.tuning.bench import Bench, sitting
from recgpt.tuning.graded import NOT_ITS_FAULT, Graded, Made, assembled, made, reviewing
from recgpt.tuning.trial import Turns, inputs, turns
from recgpt.words import Task

SEEDS = 1000  # of one round: its attempts are numbered from here


@dataclass(frozen=True)
class Sampling:
    rounds: int  # answers to each question
    users: int  # at most; or names of interests, for explanations
    temperature: float
    max_tokens: int | None = None
    force: bool = False  # though the judges are not trusted


async def sample(night: Night, task: Task, sampling: Sampling) -> list[Graded]:
    """Ask, judge and grade.

    Raises:
        DataError: the judges are not trusted, and nothing is forced; or nobody is there to learn from.
        BudgetSpent, EngineError: the same command goes on.
    """
    opened = open_engine(
        night.config, night.store, night.parent_run, max_tokens=sampling.max_tokens, served=night.serving
    )
    async with opened as model, sitting(night, model, task) as bench:
        refusal = bench.refused(night)
        if refusal is not None and not sampling.force:
            raise DataError(str(refusal))
        given = inputs(night, task, sampling.users, held=False)
        quiet = night.like(progress=lambda _: None)
        found: list[tuple[int, Turns]] = []
        for number in range(1, sampling.rounds + 1):
            hot = at(model, sampling.temperature, SEEDS * number)
            found.append((number, await turns(quiet, given, night.serving, hot, bench.verdicts)))
            night.progress(Progress("samples", number, sampling.rounds, usage=model.usage))
        return await asyncio.to_thread(_graded, night, task, bench, found)


def at(model: LanguageModel, temperature: float, seed: int) -> LanguageModel:
    """The same model, asked at no less than a temperature and with other seeds."""

    class Sampled(LanguageModel):
        def __init__(self) -> None:
            self.__dict__ = model.__dict__  # its ledger, its connections, its counts

        def request(
            self,
            prompt: PromptLike,
            variables: dict[str, str],
            *,
            schema: dict[str, Any] | None = None,
            temperature: float = 0.0,
            seed: int = 0,
            top_logprobs: int = 0,
            verbatim: str | None = None,
        ) -> Request:
            return super().request(
                prompt,
                variables,
                schema=schema,
                temperature=max(temperature, least),
                seed=first + seed,
                top_logprobs=top_logprobs,
                verbatim=verbatim,
            )

    least, first = temperature, seed
    return Sampled()


def _graded(night: Night, task: Task, bench: Bench, found: list[tuple[int, Turns]]) -> list[Graded]:
    store = night.store
    categories = _categories(night, task)
    rows: list[Made] = []
    said: dict[int, Mapping[str, Verdict]] = {}
    gates: dict[str, set[str]] = defaultdict(set)
    rounds: dict[str, int] = {}

    def add(key: str, request: str | None, claim: str, verdicts: Mapping[str, Verdict], number: int) -> None:
        if request is None:
            return
        user = None if task is Task.EXPLANATIONS else key
        rows.append(Made(len(rows) + 1, request, claim, key, user_id=user))
        said[len(rows)] = verdicts
        rounds.setdefault(request, number)

    for number, made_now in found:
        for key, turn in made_now.items():
            for target, verdicts in turn.rows:
                add(key, target.request_hash, target.claim, verdicts, number)
            for refused, request in turn.refusals:
                if request is not None and refused.gate not in NOT_ITS_FAULT:
                    gates[request].add(refused.text)
                    add(key, request, refused.text, {}, number)
    listed = assembled(store, rows, said, gates, night.config.tuning, reviewing(store, task))
    return [
        replace(
            one,
            category=categories.get(one.prompt_hash, ""),
            source={**one.source, "targets": [], "round": rounds[one.request_hash], "judge": bench.id},
        )
        for one in listed
    ]


def _categories(night: Night, task: Task) -> dict[str, str]:
    """The category of each question, by what the nights made of it."""
    of_request = {row.request_hash: row.category for row in made(night.store, night.logs.catalogue, task)}
    return {prompt_hash(messages): of_request[name] for name, messages, _ in asked(night.store, of_request.keys())}
