"""Which prompts and which adapters serve: the newest promotion of each, or what is packaged.

A promotion is a row; so is a rollback, which promotes what served before. Nothing is ever overwritten, and the version
that serves is part of every request's hash: of a prompt by its text, of an adapter by its name and version. What was
answered under another version is never replayed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sqlalchemy import Engine as Store
from sqlalchemy import select
from sqlalchemy.orm import Session

import prompts
from prompts import Prompt
from recgpt.config import Config
from recgpt.errors import DataError
from recgpt.store.tables import ModelVersion, Promotion, PromptVersion
from recgpt.words import Task

PROMPT, ADAPTER = "prompt", "adapter"  # kinds of a promotion
JUDGE: Final = "judge."  # before a task: the adapter that judges it, as against the one that writes it

# The prompt files by which a task is asked.
PROMPTS: Final[Mapping[Task, tuple[str, ...]]] = {
    Task.INTERESTS: ("interest_name", "interests_read", "interests_update"),
    Task.TAGS: ("interest_tags", "tags_single", "tags_planner", "tags_expert", "tags_arbiter"),
    Task.EXPLANATIONS: ("explanation_short", "explanation_style", "explanation"),
}


@dataclass(frozen=True)
class Adapter:
    """Weights beside the engine's own. `name` is what a request calls them by; the version is part of its hash."""

    name: str
    version: str
    folder: Path


@dataclass(frozen=True)
class Serving:
    """What is not as packaged."""

    prompts: Mapping[str, Prompt] = field(default_factory=dict)  # by name
    adapters: Mapping[str, Adapter] = field(default_factory=dict)  # by task, or JUDGE + task

    def prompt(self, name: str) -> Prompt:
        """The prompt that serves under a name."""
        return self.prompts.get(name) or prompts.load(name)

    def adapter(self, asked: str) -> Adapter | None:
        """The adapter that answers a request of task `asked`: a prompt's name, or, for a judge, what is judged."""
        writes = next((task for task, names in PROMPTS.items() if asked in names), None)
        return self.adapters.get(JUDGE + asked if writes is None else writes)

    def with_prompt(self, prompt: Prompt) -> "Serving":
        return replace(self, prompts={**self.prompts, prompt.task: prompt})

    def with_adapter(self, task: str, adapter: Adapter | None) -> "Serving":
        others = {name: one for name, one in self.adapters.items() if name != task}
        return replace(self, adapters=others if adapter is None else {**others, task: adapter})


def serving(store: Store, config: Config) -> Serving:
    """What the promotions in the store say.

    Raises:
        DataError: a promoted version is not in the store any more.
    """
    found = Serving()
    with Session(store) as session:
        rows = session.scalars(select(Promotion).order_by(Promotion.id))
        newest = {(row.kind, row.task): row.version for row in rows}
        for (kind, task), version in newest.items():
            if version is None:
                continue
            if kind == PROMPT:
                found = found.with_prompt(stored_prompt(session, version))
            else:
                found = found.with_adapter(task, stored_adapter(session, config, version))
    return found


def stored_prompt(session: Session, version: str) -> Prompt:
    """A prompt that tuning wrote, out of the store: the file that lies beside it is for people."""
    row = session.get(PromptVersion, version)
    if row is None:
        raise _lost("prompt", version)
    return prompts.parse(row.task, row.text)


def stored_adapter(session: Session, config: Config, version: str) -> Adapter:
    row = session.get(ModelVersion, version)
    if row is None or row.kind != ADAPTER:
        raise _lost("adapter", version)
    return Adapter(row.name, row.version, config.path(row.path))


def _lost(kind: str, version: str) -> DataError:
    return DataError(
        f"the promoted {kind} {version} is not in the store: 'recgpt rollback' puts back what served before"
    )
