"""Who judges a trial: the judge that the config names, or its panel, as `recgpt judge run` would judge.

Nothing is kept of their verdicts but the answers, in the ledger: what is judged are rows of a trial.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from judges import Criterion, Threshold, Verdict
from recgpt.audit.passport import Refusal, trusted
from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply
from recgpt.labels.judging import Asked, Judge
from recgpt.labels.panel import Rule, panel, panel_id
from recgpt.labels.targets import Target
from recgpt.labels.thresholds import newest
from recgpt.stages.night import Night
from recgpt.stages.verdicts import criteria, seated
from recgpt.words import Task


@dataclass(frozen=True)
class Bench:
    """Judges that are ready for one task."""

    task: Task
    members: tuple[tuple[Judge, tuple[Asked, ...]], ...]
    rule: Rule
    cuts: Mapping[tuple[str, str], Threshold]  # of the panel, by criterion and its version

    @property
    def id(self) -> str:
        """What their labels are known by."""
        ids = [judge.id(self.task) for judge, _ in self.members]
        return ids[0] if len(ids) == 1 else panel_id(ids, self.rule)

    @property
    def criteria(self) -> dict[str, Criterion]:
        return {one.criterion.name: one.criterion for _, asked in self.members for one in asked}

    @property
    def models(self) -> list[LanguageModel]:
        return [judge.model for judge, _ in self.members]

    def refused(self, night: Night) -> Refusal | None:
        """Why their word is not to be taken, if it is not."""
        versions = {name: one.version for name, one in self.criteria.items()}
        return trusted(night.store, self.id, self.task, night.config.judge, asked=versions)

    async def verdicts(self, target: Target) -> Mapping[str, Verdict]:
        """What they say of a target, by criterion, as far as they say anything."""
        said = await asyncio.gather(*(judge.verdicts(target, asked) for judge, asked in self.members))
        if len(said) == 1:
            return said[0]
        together = ((name, self._together(one, said)) for name, one in self.criteria.items())
        return {name: verdict for name, verdict in together if verdict is not None}

    def _together(self, criterion: Criterion, said: Sequence[Mapping[str, Verdict]]) -> Verdict | None:
        name = criterion.name
        asked = sum(any(one.criterion.name == name for one in listed) for _, listed in self.members)
        voices = [verdicts[name] for verdicts in said if name in verdicts]
        if 2 * len(voices) <= asked:
            return None
        cut = self.cuts.get((name, criterion.version))
        return panel(voices, self.rule, None if cut is None else cut.value)


@contextlib.asynccontextmanager
async def sitting(
    night: Night, model: LanguageModel, task: Task, told: Callable[[Reply], None] = lambda _: None
) -> AsyncIterator[Bench]:
    """The config's judges, for a block.

    Args:
        model: the config's own engine, with the adapters that serve.
        told: hears every reply to a judge whose engine is another.

    Raises:
        EngineError: one of their servers is not there, or gives no verdicts on known cases.
    """
    async with contextlib.AsyncExitStack() as stack:
        members = []
        for seat in night.config.seats:
            own = await stack.enter_async_context(seated(night, model, seat))
            if own is not model:
                own.told = told
            judge = Judge(own, seat)
            asked = await judge.ready(night.store, task, criteria(night.config, seat, task))
            members.append((judge, asked))
        bench = Bench(task, tuple(members), night.config.judge.panel_rule, {})
        yield Bench(task, bench.members, bench.rule, newest(night.store, bench.id, task))
