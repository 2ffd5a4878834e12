"""What every stage of one night shares: the config, the store, the logs, the moment up to which they are read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
from sqlalchemy import Engine

from recgpt.config import Config, night_of
from recgpt.engine.asking import Usage
from recgpt.engine.tokens import token_counter
from recgpt.serving import Serving, serving
from recgpt.sources.logs import History, Logs
from recgpt.vectors import Encoder, item_vectors

OF_THE_LOGS: Final = ("weights", "encoder", "vectors", "count_tokens")


@dataclass(frozen=True)
class Progress:
    """How far a stage is; handed to whoever draws it."""

    stage: str
    done: int  # units finished, those that were done before among them
    total: int | None  # None where it isn't known before the end
    note: str = ""
    counts: Mapping[str, Any] | None = None  # what the stage's record would say if it ended now
    usage: Usage | None = None  # what the stage has cost so far; put in by the night


@dataclass(frozen=True)
class Night:
    """One night's fixed facts. Stages read from it and never change it."""

    config: Config
    store: Engine
    logs: Logs
    day: date
    users: int | None = None  # only the first so many users, by user_id
    only: frozenset[str] | None = None  # only these users
    parent_run: int | None = None
    progress: Callable[[Progress], None] = field(default=lambda _: None)
    trial: Serving | None = None  # what serves, where it is not what the store says

    @cached_property
    def serving(self) -> Serving:
        """The prompts and adapters of this night: those that are promoted, unless it was made to try others."""
        return serving(self.store, self.config) if self.trial is None else self.trial

    def like(self, **changes: Any) -> "Night":
        """This night with changes of what says nothing of its logs; what was worked out of these is not done anew."""
        other = replace(self, **changes)
        other.__dict__.update({name: value for name, value in self.__dict__.items() if name in OF_THE_LOGS})
        return other

    @property
    def until(self) -> datetime:
        """Events before this moment are known to the night; later ones do not exist for it."""
        return night_of(self.day)

    @property
    def n_users(self) -> int:
        known = self.logs.n_users if self.only is None else len(self.only)
        return known if self.users is None else min(self.users, known)

    def histories(self) -> Iterator[History]:
        """The events of each of the night's users, by user_id."""
        return self.logs.histories(self.until, users=None if self.only is None else sorted(self.only), limit=self.users)

    @cached_property
    def weights(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The weight of each behaviour of the logs, 0 for one that is not reliable, (B,)."""
        known = self.config.behaviours
        return np.array([known[name].weight if known[name].reliable else 0.0 for name in self.logs.behaviours])

    @cached_property
    def encoder(self) -> Encoder:
        return Encoder(self.config.encoder_path, self.config.work_folder / "vectors")

    @cached_property
    def vectors(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """(N, d) unit vectors of the catalogue's items."""
        return item_vectors(self.logs.catalogue, self.encoder, self.config.rendering.title_words)

    @cached_property
    def count_tokens(self) -> Callable[[str], int]:
        """Tokens of a text, by the engine's own tokenizer where there is one."""
        return token_counter(self.config)
