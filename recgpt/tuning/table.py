"""The models around a search that asks now and again: the engine, the judges and the one that reflects, opened once.

A search is plain code that calls for answers, so the event loop is one that stays between two calls. All models count
into one purse; what is left of a batch when the purse is empty is given up, so that a budget is one.
"""

import asyncio
import contextlib
import math
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from recgpt.engine.asking import LanguageModel, tokens_of
from recgpt.engine.open import open_engine
from recgpt.engine.requests import Reply
from recgpt.errors import BudgetSpent
from recgpt.serving import Serving
from recgpt.stages.night import Night
from recgpt.stopping import Stopping
from recgpt.tuning.bench import Bench, sitting
from recgpt.words import Outcome, Task

T = TypeVar("T")


@dataclass
class Purse:
    """Counts what was asked and answered, each request once, replayed or not, and says when it is enough.

    Which answers of a batch come before the limit is reached is chance. So a batch that reaches it counts up to the
    limit, and as if none of it had been answered: what is spent is the same each time.
    """

    limit: float = math.inf
    spent: int = 0
    _seen: set[str] = field(default_factory=set)
    _batch: list[str] = field(default_factory=list)
    _before: int = 0

    def hear(self, reply: Reply) -> None:
        """For `LanguageModel.told`.

        Raises:
            BudgetSpent: with the reply that reaches the limit, and with all that follow.
        """
        if reply.outcome is Outcome.OK and reply.request.hash not in self._seen:
            self._seen.add(reply.request.hash)
            self._batch.append(reply.request.hash)
            self.spent += tokens_of(reply)
        if self.spent >= self.limit:
            raise BudgetSpent(f"the {max(self.limit, 0):,.0f} tokens that there were for it are spent")

    def begin(self) -> None:
        """A batch begins."""
        self._batch.clear()
        self._before = self.spent

    def end(self) -> None:
        """The batch was cut short by the limit."""
        self._seen.difference_update(self._batch)
        self.spent = max(self._before, math.ceil(self.limit))


@dataclass(frozen=True)
class Table:
    model: LanguageModel
    bench: Bench
    reflector: LanguageModel
    purse: Purse
    stopping: Stopping
    runner: asyncio.Runner

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something that asks; what it leaves behind when it fails is given up.

        Raises:
            BudgetSpent: the purse is empty.
            RecgptError: as `work`.
        """
        self.purse.begin()
        try:
            return self.stopping.run(work, self.runner)
        except BudgetSpent:
            self.purse.end()
            for model in {id(one): one for one in (self.model, self.reflector, *self.bench.models)}.values():
                self.runner.run(model.give_up())
            raise


@contextlib.contextmanager
def laid(night: Night, task: Task, stopping: Stopping, purse: Purse) -> Iterator[Table]:
    """Open the models for a block.

    Raises:
        EngineError: one is not there.
        BudgetSpent: already to make the judges ready takes more than there is.
    """
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def opened() -> tuple[LanguageModel, Bench, LanguageModel]:
            own = open_engine(night.config, night.store, night.parent_run, served=night.serving)
            model = await stack.enter_async_context(own)
            model.told = purse.hear
            bench = await stack.enter_async_context(sitting(night, model, task, purse.hear))
            if night.config.reflector == night.config.engine:
                return model, bench, model
            config = night.config.model_copy(update={"engine": night.config.reflector})
            other = open_engine(config, night.store, night.parent_run, served=Serving())
            reflector = await stack.enter_async_context(other)
            reflector.told = purse.hear
            return model, bench, reflector

        try:
            yield Table(*stopping.run(opened(), runner), purse, stopping, runner)
        finally:
            runner.run(stack.aclose())
