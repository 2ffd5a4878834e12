"""The plan of a night: which stages, in which order, over which users, with one record in SQL for each.

`run` is what every command that makes something calls, with one stage or with all. It takes the store's lock, opens the
logs and the engine once, runs the stages in order, and returns a summary however many units failed. Only a systemic
error or a signal raises, and then the same call goes on from where it stopped. A spent budget does not: it was asked
for, so the summary says `stopped`. However a run ends, its record holds the summary of what was done.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from recgpt.config import Config
from recgpt.engine.asking import LanguageModel, Usage
from recgpt.engine.open import open_engine
from recgpt.errors import BudgetSpent, DataError, disk_faults
from recgpt.labels.sampling import NIGHTLY, Drawing
from recgpt.serving import Serving
from recgpt.sources.logs import Logs
from recgpt.sources.prepare import prepare
from recgpt.stages import verdicts
from recgpt.stages.explanations import stage as explanations
from recgpt.stages.interests import stage as interests
from recgpt.stages.night import Night, Progress
from recgpt.stages.tags import stage as tags
from recgpt.stages.work import Tally
from recgpt.stopping import stoppable
from recgpt.store.lock import alone
from recgpt.store.runs import NIGHT, close_killed, ending, recorded
from recgpt.store.session import bring_up, open_store
from recgpt.summary import StageSummary, Summary, so_far
from recgpt.words import RunState, Stage, Training

MAKING: Final = {
    Stage.INTERESTS: interests,
    Stage.TAGS: tags,
    Stage.EXPLAIN: explanations,
}
ASKING: Final = (*MAKING, Stage.JUDGE)  # the stages that ask a model
TICK_S: Final = 1.0  # between two words on what a stage has cost, while none of its units is finished


@disk_faults()
def run(
    config: Config,
    stages: Sequence[Stage] = tuple(Stage),
    *,
    day: date | None = None,
    users: int | None = None,
    only: Iterable[str] | None = None,
    dry_run: bool = False,
    max_tokens: int | None = None,
    training: Training = Training.IF_OLD,
    score_out: Path | None = None,
    judging: Drawing = NIGHTLY,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Summary:
    """Run the stages of one night.

    Args:
        day: the night's date (UTC, today by default); events after it are not read.
        users: only the first so many users, by user_id.
        only: only these users; the towers are trained on everybody all the same.
        dry_run: ask and make nothing; say how many requests and tokens are to come. It takes no lock.
        max_tokens: stop cleanly once so many tokens (in and out) have been spent.
        training: whether the towers are trained though they are young enough, and from where.
        score_out: a folder for the recommendations as Parquet too, beside SQL.
        judging: what is judged.

    Raises:
        LockedError: another command is at work on the store.
        Stopped: a signal came.
        RecgptError: the run can't go on; its message says the remedy. What is finished is kept.
    """
    day = day or datetime.now(UTC).date()
    store = open_store(config, migrate=False)
    summary = Summary(day, dry_run, store.url.render_as_string(hide_password=True))

    def make(parent_run: int | None) -> None:
        with stoppable() as stopping:
            logs = prepare(config)
            summary.data = logs.counts
            watch = _Watch(progress)
            night = Night(config, store, logs, day, users, chosen(logs, only), parent_run, watch)
            plan = _Plan(
                night,
                watch,
                summary,
                dry_run=dry_run,
                max_tokens=max_tokens,
                training=training,
                score_out=score_out,
                judging=judging,
            )
            stopping.run(plan.run(stages))
        summary.state = RunState.DONE

    if dry_run:
        bring_up(store)
        make(None)
        return summary
    with alone(store, "recgpt nightly" if len(stages) > 1 else f"recgpt {stages[0]}"):
        bring_up(store)
        close_killed(store)
        with contextlib.suppress(BudgetSpent), recorded(store, config, NIGHT, day) as record:
            try:
                make(record.id)
            except BaseException as error:
                summary.state, summary.message = ending(error)
                raise
            finally:
                record.counts = summary.as_dict()
    return summary


def chosen(logs: Logs, only: Iterable[str] | None) -> frozenset[str] | None:
    """The users of a list.

    Raises:
        DataError: the logs don't have one of them.
    """
    if only is None:
        return None
    wanted = frozenset(only)
    unknown = sorted(wanted.difference(logs.user_ids()))
    if unknown:
        some = ", ".join(map(repr, unknown[:5])) + (" ..." if len(unknown) > 5 else "")
        raise DataError(f"{len(unknown)} of the {len(wanted)} users asked for are not in the users table: {some}")
    return wanted


class _Watch:
    """Hands a stage's progress on with what the stage has cost, and remembers it, for a stage that ends early."""

    def __init__(self, draw: Callable[[Progress], None]) -> None:
        self._draw = draw
        self._model: LanguageModel | None = None
        self._before = Usage()
        self.step = Progress("", 0, None)

    def begin(self, stage: Stage, model: LanguageModel | None) -> None:
        self._model, self._before = model, model.usage if model else Usage()
        self.step = Progress(stage, 0, None)
        self(self.step)

    @property
    def usage(self) -> Usage | None:
        return self._model.usage - self._before if self._model else None

    def __call__(self, step: Progress) -> None:
        self.step = replace(step, counts=step.counts or self.step.counts, usage=self.usage)
        self._draw(self.step)

    @contextlib.asynccontextmanager
    async def ticking(self) -> AsyncIterator[None]:
        async def tick() -> None:
            while True:
                await asyncio.sleep(TICK_S)
                self(self.step)

        task = asyncio.create_task(tick())
        try:
            yield
        finally:
            task.cancel()


class _Plan:
    """The stages of one run, and what they come to."""

    def __init__(
        self,
        night: Night,
        watch: _Watch,
        summary: Summary,
        *,
        dry_run: bool,
        max_tokens: int | None,
        training: Training,
        score_out: Path | None,
        judging: Drawing,
    ) -> None:
        self.night, self.watch, self.summary = night, watch, summary
        self.dry_run, self.max_tokens, self.training = dry_run, max_tokens, training
        self.score_out, self.judging = score_out, judging

    async def run(self, stages: Sequence[Stage]) -> None:
        night = self.night
        async with contextlib.AsyncExitStack() as stack:
            model: LanguageModel | None = None
            if any(stage in ASKING for stage in stages):
                config = verdicts.opening(night.config) if set(stages) == {Stage.JUDGE} else night.config
                opened = open_engine(
                    config,
                    night.store,
                    run_id=night.parent_run,
                    max_tokens=self.max_tokens,
                    contact=not self.dry_run,
                    # What is promoted is for the config's own engine.
                    served=None if config.engine == night.config.engine else Serving(),
                )
                model = await stack.enter_async_context(opened)
                self.summary.engine = f"{model.model} ({model.revision})"
            for stage in stages:
                await self._summarised(stage, model if stage in ASKING else None)

    async def _summarised(self, stage: Stage, model: LanguageModel | None) -> None:
        """Run one stage and add what it came to, however it ended."""
        started, state, counts = time.monotonic(), RunState.DONE, dict[str, Any]()
        self.watch.begin(stage, model)
        try:
            async with self.watch.ticking():
                counts = await (self._planned(stage, model) if self.dry_run else self._made(stage, model))
        except BaseException as error:
            state, _ = ending(error)
            counts = so_far(self.watch.step)
            raise
        finally:
            seconds = time.monotonic() - started
            self.summary.stages.append(StageSummary(stage, state, seconds, counts, self.watch.usage))

    async def _planned(self, stage: Stage, model: LanguageModel | None) -> dict[str, Any]:
        if model is None:
            return {}
        tally: Tally
        if stage == Stage.JUDGE:
            tally = await verdicts.dry_run(self.night, model, self.judging)
        else:
            tally = MAKING[stage].dry_run(self.night, model)
        return {
            "units": tally.units,
            "untouched": tally.untouched,
            "to_ask": tally.to_ask,
            "replays": tally.replays,
            **asdict(tally.cost),
        }

    async def _made(self, stage: Stage, model: LanguageModel | None) -> dict[str, Any]:
        night = self.night
        with recorded(night.store, night.config, stage, night.day, night.parent_run) as record:
            try:
                if stage == Stage.TOWERS:
                    from recgpt.stages import towers  # noqa: PLC0415 (torch takes seconds, and most commands need none)

                    record.counts = towers.run(night, record.id, self.training)
                elif stage == Stage.SCORE:
                    from recgpt.stages import score  # noqa: PLC0415 (likewise)

                    record.counts = score.run(night, record.id, out=self.score_out)
                elif stage == Stage.JUDGE and model is not None:
                    record.counts = (await verdicts.run(night, model, record.id, self.judging)).as_dict()
                elif model is not None:
                    record.counts = (await MAKING[stage].run(night, model, record.id)).as_dict()
            except BaseException:
                record.counts = so_far(self.watch.step)
                raise
        return record.counts
