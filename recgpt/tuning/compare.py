"""A tuned version beside the one that serves, on the same held-out users, and what the gate says of it.

What came of it is kept with the version, so that `recgpt promote` knows: against which version, by which judge, on how
many users. A judge that is not trusted (see its passport) decides nothing, unless forced, and then the result says so.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Engine as Store
from sqlalchemy.orm import Session

from recgpt.engine.asking import LanguageModel
from recgpt.engine.open import open_engine
from recgpt.errors import ConfigError, DataError
from recgpt.serving import ADAPTER, JUDGE, PROMPT, PROMPTS, Serving, stored_adapter, stored_prompt
from recgpt.stages.night import Night
from recgpt.store.tables import ModelVersion, PromptVersion
from recgpt.tuning.bench import Bench, sitting
from recgpt.tuning.gate import AIM, Decision, decide
from recgpt.tuning.judge_trial import tried
from recgpt.tuning.promote import Candidate, current
from recgpt.tuning.trial import Inputs, Turns, asked_by, inputs, turns, values
from recgpt.words import Task

USERS: Final = 600  # enough to see 5 points in four gates of five (benchmarks/gate.py)


@dataclass(frozen=True)
class Rules:
    """What the gate is asked."""

    users: int = USERS  # at most; or names of interests, for explanations
    aim: str = AIM
    margin: float | None = None  # what a criterion may fall by, instead of tuning.gate.margin
    force: bool = False  # take the word of a judge that is not trusted


@dataclass(frozen=True)
class Comparison:
    version: str
    against: str | None  # None: what is packaged
    task: Task
    judge: str
    untrusted: str  # why the judge's word should not be taken; "": it should
    users: int  # with a value of both versions; or names of interests, for explanations
    of: int  # that were tried
    rows: Mapping[str, int]  # that each of both made
    decision: Decision
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def as_dict(self) -> dict[str, Any]:
        """As it is kept with the version."""
        named = ("against", "judge", "untrusted", "users", "of", "rows", "at")
        return {**self.decision.as_dict(), **{name: getattr(self, name) for name in named}}


async def evaluate(night: Night, one: Candidate, rules: Rules) -> Comparison:
    """Open the engine and the judges, and `compare`.

    Raises:
        ConfigError: the aim is no criterion that is judged, or the version is a prompt that is not in use.
        DataError: nobody is held out; the judge is not trusted, and nothing is forced.
    """
    if one.task.startswith(JUDGE):
        return await _judges(night, one, rules)
    task = task_of(night, one)
    async with contextlib.AsyncExitStack() as stack:
        opened = open_engine(night.config, night.store, night.parent_run, served=night.serving)
        model = await stack.enter_async_context(opened)
        bench = await stack.enter_async_context(sitting(night, model, task))
        return await compare(night, one, model, bench, rules)


async def compare(night: Night, one: Candidate, model: LanguageModel, bench: Bench, rules: Rules) -> Comparison:
    """Let both make what they make, have it judged, and keep what the gate says.

    Args:
        model: the config's engine, with the adapters that serve.

    Raises:
        as `evaluate`.
    """
    untrusted = refuse(night, bench, rules)
    with Session(night.store) as session:
        before = current(session, one.kind, one.task)
        served = serving_with(night, session, one)
    given = inputs(night, bench.task, rules.users, prompt=one.task if one.kind == PROMPT else "")
    new = await _turns(night, given, served, model, bench)
    old = await turns(night, given, night.serving, model, bench.verdicts)
    criteria, gate = list(bench.criteria), night.config.tuning.gate
    decision = decide(
        values(new, old, given.keys, criteria),
        values(old, new, given.keys, criteria),
        aim=rules.aim,
        margin=gate.margin if rules.margin is None else rules.margin,
        margins=gate.margins.get(bench.task),
    )
    users = decision.differences[rules.aim].users
    rows = {name: sum(len(turn.rows) for turn in found.values()) for name, found in (("new", new), ("old", old))}
    of = len(given.keys)
    found = Comparison(one.version, before, bench.task, bench.id, untrusted, users, of, rows, decision)
    _keep(night.store, one, found)
    return found


def refuse(night: Night, bench: Bench, rules: Rules) -> str:
    """Why the judges are not trusted, where that is forced; "" where they are.

    Raises:
        ConfigError: the aim, or what has a margin, is nothing that they judge.
        DataError: they are not trusted, and nothing is forced.
    """
    known = [*bench.criteria, AIM]
    if rules.aim not in known:
        raise ConfigError(f"{rules.aim!r} is no criterion that {bench.id} judges {bench.task} by: {', '.join(known)}")
    stray = sorted(set(night.config.tuning.gate.margins.get(bench.task, {})) - set(known))
    if stray:
        raise ConfigError(f"[tuning.gate.margins.{bench.task}]: {', '.join(stray)} is no criterion of {bench.id}")
    refusal = bench.refused(night)
    if refusal is not None and not rules.force:
        raise DataError(str(refusal))
    return "" if refusal is None else refusal.why


def task_of(night: Night, one: Candidate) -> Task:
    """What a version makes.

    Raises:
        ConfigError: it is a prompt that nothing is asked by, as the project is configured.
    """
    if one.kind == PROMPT:
        task = next(task for task, names in PROMPTS.items() if one.task in names)
        if one.task not in asked_by(night.config)[task]:
            raise ConfigError(
                f"{one.task} is not asked as the project is configured, {', '.join(asked_by(night.config)[task])} is: "
                f"change the strategy of {task} in recgpt.toml first"
            )
        return task
    return Task(one.task)


async def _judges(night: Night, one: Candidate, rules: Rules) -> Comparison:
    """A judge beside the one that serves, by what people said (see `judge_trial`)."""
    task, gate = Task(one.task.removeprefix(JUDGE)), night.config.tuning.gate
    with Session(night.store) as session:
        before = current(session, one.kind, one.task)
        served = serving_with(night, session, one)
    trial = await tried(night, task, served, rules.users, force=rules.force)
    if rules.aim not in trial.new:
        raise ConfigError(f"{rules.aim!r} is no criterion that both judges are asked: {', '.join(trial.new)}")
    margin = gate.margin if rules.margin is None else rules.margin
    decision = decide(trial.new, trial.old, aim=rules.aim, margin=margin, margins=gate.margins.get(task))
    users = decision.differences[rules.aim].users
    found = Comparison(one.version, before, task, trial.judge, "", users, len(trial.keys), trial.given, decision)
    _keep(night.store, one, found)
    return found


def _keep(store: Store, one: Candidate, found: Comparison) -> None:
    with Session(store) as session:
        row: PromptVersion | ModelVersion = (
            session.get_one(PromptVersion, one.version)
            if one.kind == PROMPT
            else session.get_one(ModelVersion, one.version)
        )
        row.result = {**(row.result or {}), "gate": found.as_dict()}
        session.commit()


def serving_with(night: Night, session: Session, one: Candidate) -> Serving:
    """What serves, with a version in its place."""
    if one.kind == ADAPTER:
        return night.serving.with_adapter(one.task, stored_adapter(session, night.config, one.version))
    return night.serving.with_prompt(stored_prompt(session, one.version))


async def _turns(night: Night, given: Inputs, tried: Serving, model: LanguageModel, bench: Bench) -> Turns:
    """Of the version on trial: an adapter is served by an engine of its own, until it serves."""
    if tried.adapters == night.serving.adapters:
        return await turns(night, given, tried, model, bench.verdicts)
    async with open_engine(night.config, night.store, night.parent_run, served=tried) as other:
        return await turns(night, given, tried, other, bench.verdicts)
