"""`recgpt tune sft`, `dpo`, `grpo` and `judge`: from the labels in the store to an adapter for the gate to look at."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from judges import Verdict
from recgpt.engine.asking import LanguageModel
from recgpt.engine.open import open_engine
from recgpt.errors import DataError
from recgpt.labels.targets import Target
from recgpt.stages.night import Night
from recgpt.stopping import Stopping
from recgpt.tuning import grpo, judge_model
from recgpt.tuning.adapter import Stored
from recgpt.tuning.base import Source, check_installed, source_of
from recgpt.tuning.bench import Bench, sitting
from recgpt.tuning.dataset import Dataset, build
from recgpt.tuning.graded import answers
from recgpt.tuning.rewards import Rewards, puzzles
from recgpt.tuning.samples import Sampling, sample
from recgpt.tuning.training import BASE, Kind, Tuned, parent_of, tune
from recgpt.tuning.trial import inputs
from recgpt.words import Task

TEMPERATURE: Final = 0.9  # of further answers
USERS: Final = 200  # whose questions are answered further


@dataclass(frozen=True)
class Wanted:
    """What a command was told."""

    kind: Kind
    task: Task
    parent: str = BASE  # base, serving, or a version
    samples: int = 0  # further answers to each question
    users: int = USERS
    temperature: float = TEMPERATURE
    max_tokens: int | None = None  # budget of the engine's answers and verdicts
    general: Path | None = None  # instead of tuning.general
    out: Path | None = None
    force: bool = False  # believe judges below the bar


def tune_model(night: Night, stopping: Stopping, wanted: Wanted) -> Tuned:
    """Gather the data, train, register.

    Raises:
        ConfigError: the extra `tune` or the base's weights are not there.
        DataError: there is nothing to learn from.
        Stopped, BudgetSpent: the same command goes on.
    """
    check_installed()
    config = night.config
    source = source_of(config)
    parent = parent_of(config, night.store, wanted.parent, wanted.task)
    if wanted.kind == "grpo":
        return _grpo(night, stopping, wanted, source, parent)
    return tune(
        config,
        night.store,
        wanted.kind,
        wanted.task,
        dataset(night, stopping, wanted),
        source,
        parent=parent,
        out=wanted.out,
        progress=night.progress,
    )


def dataset(night: Night, stopping: Stopping, wanted: Wanted) -> Dataset:
    """What is to be learnt."""
    config, rules, task = night.config, night.config.tuning, wanted.task
    if wanted.kind == "judge":
        found, refused = judge_model.cases(night.store, night.logs, config, task, force=wanted.force)
        return judge_model.build(found, rules, refused)
    assert wanted.kind != "grpo"
    graded = answers(night.store, night.logs.catalogue, task, rules, config.judge, force=wanted.force)
    if wanted.samples:
        sampling = Sampling(wanted.samples, wanted.users, wanted.temperature, wanted.max_tokens, wanted.force)
        further = stopping.run(sample(night, task, sampling))
        graded = replace(graded, listed=(*graded.listed, *further))
    general = wanted.general or (config.path(rules.general) if rules.general else None)
    return build(graded, wanted.kind, rules, general=general)


def _grpo(night: Night, stopping: Stopping, wanted: Wanted, source: Source, parent: Stored | None) -> Tuned:
    """The judges' engines stay open on an event loop that runs whenever answers are to be judged."""
    given = inputs(night, wanted.task, wanted.users, held=False)
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        engines = AsyncExitStack()
        stack.callback(lambda: runner.run(engines.aclose()))
        model, bench = stopping.run(_judges(night, wanted, engines), runner)

        async def judged(targets: Sequence[Target]) -> list[Mapping[str, Verdict]]:
            return await asyncio.gather(*map(bench.verdicts, targets))

        tried, found = stack.enter_context(puzzles(night, given, model))
        rewards = Rewards(
            tried, wanted.task, list(bench.criteria), lambda targets: stopping.run(judged(targets), runner), found
        )
        learn = partial(grpo.train, worth=rewards, max_tokens=rewards.max_tokens)
        data, progress = rewards.data(), night.progress
        return tune(
            night.config, night.store, "grpo", wanted.task, data, source,
            parent=parent, out=wanted.out, learn=learn, progress=progress,
        )  # fmt: skip


async def _judges(night: Night, wanted: Wanted, engines: AsyncExitStack) -> tuple[LanguageModel, Bench]:
    opened = open_engine(
        night.config, night.store, night.parent_run, max_tokens=wanted.max_tokens, served=night.serving
    )
    model = await engines.enter_async_context(opened)
    bench = await engines.enter_async_context(sitting(night, model, wanted.task))
    refusal = bench.refused(night)
    if refusal is not None and not wanted.force:
        raise DataError(str(refusal))
    return model, bench
