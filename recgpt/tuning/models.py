"""`recgpt tune sft`, `dpo` and `judge`: from the labels in the store to an adapter that the gate can look at."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from recgpt.stages.night import Night
from recgpt.stopping import Stopping
from recgpt.tuning import judge_model
from recgpt.tuning.base import check_installed, source_of
from recgpt.tuning.dataset import Dataset, build
from recgpt.tuning.graded import answers
from recgpt.tuning.samples import Sampling, sample
from recgpt.tuning.training import BASE, Kind, Tuned, parent_of, tune
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
    max_tokens: int | None = None  # budget of the further answers and their judges
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
