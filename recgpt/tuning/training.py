"""From data to a registered adapter: what `recgpt tune sft`, `dpo`, `grpo` and `judge` have in common.

A training has a folder of its own, named after everything that decides what comes of it: kind, task, base, parent, data
and settings. The same command on the same labels finds it again, and goes on from the last whole checkpoint, or has
nothing to do. In it lie

    data/          train.jsonl, held_out.jsonl (each row with its source), data.json (hash and counts)
    checkpoints/   while it is trained
    adapter/       what came of it

The adapter is a row of `model_versions` and serves nothing: the gate, and `recgpt promote`, decide about that.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from recgpt.config import Config
from recgpt.errors import DataError
from recgpt.serving import ADAPTER, JUDGE
from recgpt.stages.night import Progress
from recgpt.stages.work import digest
from recgpt.store.tables import ModelVersion, now
from recgpt.tuning import adapter, dpo, sft
from recgpt.tuning.adapter import Stored
from recgpt.tuning.base import Base, Source, load
from recgpt.tuning.dataset import Dataset
from recgpt.tuning.lora import Plan, Trained
from recgpt.tuning.promote import current, find
from recgpt.tuning.record import recorded
from recgpt.tuning.settings import Method, Tuning
from recgpt.words import Task

Kind = Literal["sft", "dpo", "grpo", "judge"]
Learn = Callable[[Base, Dataset, Plan], Trained]
LEARN: Final[dict[Kind, Learn]] = {"sft": sft.train, "dpo": dpo.train, "judge": sft.train}
BASE, SERVING = "base", "serving"  # what --parent may say instead of a version


@dataclass(frozen=True)
class Tuned:
    """An adapter that was trained and registered."""

    version: str
    name: str  # as it is served
    served: str  # the task that it would serve; JUDGE before it where it judges
    folder: Path
    parent: str | None
    base: str
    data: dict[str, Any]  # hash and counts
    figures: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        named = ("version", "name", "served", "parent", "base", "data", "figures")
        return {**{name: getattr(self, name) for name in named}, "folder": str(self.folder)}


def train(
    kind: Kind,
    task: Task,
    data: Dataset,
    source: Source,
    rules: Tuning,
    folder: Path,
    *,
    parent: Stored | None = None,
    learn: Learn | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Stored:
    """Train an adapter in `folder`, or go on with it there; one that is whole is given back as it is.

    Args:
        source: the weights that it is trained on.
        learn: instead of the kind's own way.

    Raises:
        DataError: what lies in the folder came of other data or settings; no example fits.
        ConfigError, EngineError: the base can't be loaded.
    """
    facts = {
        "kind": kind,
        "task": task.value,
        "parent": None if parent is None else parent.version,
        "data": data.hash,
        "settings": settings_of(kind, rules),
    }
    target, checkpoints = folder / "adapter", folder / "checkpoints"
    if (target / adapter.MARKER).exists():
        stored = adapter.read(target)
        if {name: stored.facts.get(name) for name in facts} == facts and stored.base == source.name:
            return stored
        raise DataError(f"{target} came of other data or settings: name another folder")
    data.write(folder / "data")
    plan = Plan(method_of(kind, rules), rules.lora, rules.seed, rules.max_tokens, checkpoints, parent, progress)
    trained = (learn or LEARN[kind])(load(source), data, plan)
    stored = adapter.save(target, trained.model, source.name, {**facts, "figures": dict(trained.figures)})
    shutil.rmtree(checkpoints, ignore_errors=True)
    return stored


def tune(
    config: Config,
    store: Engine,
    kind: Kind,
    task: Task,
    data: Dataset,
    source: Source,
    *,
    parent: Stored | None = None,
    out: Path | None = None,
    learn: Learn | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Tuned:
    """`train` in the project's folder for it, with a record, and register what comes of it.

    Args:
        out: where the training's folder is made, instead of in the work folder.
    """
    rules = config.tuning
    before = None if parent is None else parent.version
    made_of = {"base": source.name, "parent": before, **settings_of(kind, rules)}
    name = digest(kind, task, made_of, data.hash).removeprefix("sha256:")[:12]
    folder = (config.work_folder / "tuning" if out is None else out) / f"{kind}-{task}-{name}"
    with recorded(store, kind, task, made_of, data.hash) as record:
        stored = train(kind, task, data, source, rules, folder, parent=parent, learn=learn, progress=progress)
        tuned = register(config, store, stored, data)
        record.version, record.result = tuned.version, {"figures": tuned.figures, "counts": dict(data.counts)}
    return tuned


def register(config: Config, store: Engine, stored: Stored, data: Dataset) -> Tuned:
    """A row of `model_versions` for an adapter; one that is there keeps what is known of it."""
    facts = stored.facts
    served = (JUDGE if facts["kind"] == "judge" else "") + str(facts["task"])
    name = f"{served.replace('.', '-')}-{stored.version.removeprefix('sha256:')[:12]}"
    kept = {"hash": data.hash, "counts": dict(data.counts)}
    result = {
        "task": served,
        "kind": facts["kind"],
        "data": kept,
        "figures": facts["figures"],
        "split": {"seed": config.tuning.seed, "held_out": config.tuning.held_out},
    }
    with Session(store) as session:
        row = session.get(ModelVersion, stored.version)
        if row is None:
            row = ModelVersion(version=stored.version, kind=ADAPTER, result=result, trained_until=now())
            session.add(row)
        row.name, row.base, row.path, row.parent = name, stored.base, _path(config, stored), facts["parent"]
        session.commit()
    return Tuned(
        stored.version, name, served, stored.folder, facts["parent"], stored.base, kept, dict(facts["figures"])
    )


def parent_of(config: Config, store: Engine, named: str, task: Task) -> Stored | None:
    """The adapter that a training goes on from: a version, the one that serves the task, or none.

    Raises:
        DataError: there is no such adapter, or it is another task's.
    """
    if named == BASE:
        return None
    if named == SERVING:
        with Session(store) as session:
            version = current(session, ADAPTER, task)
        if version is None:
            return None
    else:
        found = find(store, named)
        if (found.kind, found.task) != (ADAPTER, task):
            raise DataError(f"{found.version} is a {found.kind} for {found.task}, and no adapter for {task}")
        version = found.version
    with Session(store) as session:
        row = session.get_one(ModelVersion, version)
        return adapter.read(config.path(row.path))


def method_of(kind: Kind, rules: Tuning) -> Method:
    methods: dict[Kind, Method] = {"sft": rules.sft, "dpo": rules.dpo, "grpo": rules.grpo, "judge": rules.judge}
    return methods[kind]


def settings_of(kind: Kind, rules: Tuning) -> dict[str, Any]:
    """What decides, besides base, parent and data, what comes of a training."""
    return {
        "method": method_of(kind, rules).model_dump(mode="json"),
        "lora": rules.lora.model_dump(mode="json"),
        "seed": rules.seed,
        "max_tokens": rules.max_tokens,
    }


def _path(config: Config, stored: Stored) -> str:
    """Relative to the project where it lies in it, so that the project can be moved."""
    folder, project = stored.folder.resolve(), config.folder.resolve()
    return str(folder.relative_to(project) if folder.is_relative_to(project) else folder)
