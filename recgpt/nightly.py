"""The plan of a night: which stages, in which order, over which users, with one record in SQL for each.

`run` is what every command that makes something calls, with one stage or with all. It opens the logs and the engine
once, runs the stages in order, and returns a summary however many units failed; only a systemic error leaves early,
and then the same call goes on from where it stopped. Ctrl-C and SIGTERM stop it cleanly: what is finished is committed.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from recgpt.config import Config
from recgpt.engine.asking import LanguageModel, Usage
from recgpt.engine.open import open_engine
from recgpt.errors import Stopped
from recgpt.sources.prepare import prepare
from recgpt.stages import explanations, interests, tags, verdicts
from recgpt.stages.night import Night, Progress
from recgpt.stages.work import Tally
from recgpt.store.runs import recorded
from recgpt.store.session import open_store
from recgpt.words import Stage

ASKING = {
    Stage.INTERESTS: interests,
    Stage.TAGS: tags,
    Stage.EXPLAIN: explanations,
    Stage.JUDGE: verdicts,
}


@dataclass(frozen=True)
class StageSummary:
    """What one stage did: its own counts, and what it cost."""

    stage: Stage
    seconds: float
    counts: dict[str, Any]
    usage: Usage | None  # None for a stage that asks no model


@dataclass
class Summary:
    night: date
    dry_run: bool
    data: dict[str, Any]  # rows read, kept and rejected, by table
    store: str
    engine: str = ""
    stages: list[StageSummary] = field(default_factory=list)

    @property
    def coverage(self) -> float | None:
        """The lowest coverage of any stage; None where no stage had a unit."""
        known = [stage.counts["coverage"] for stage in self.stages if stage.counts.get("coverage") is not None]
        return min(known, default=None)

    def as_dict(self) -> dict[str, Any]:
        return {
            "night": self.night.isoformat(),
            "dry_run": self.dry_run,
            "engine": self.engine,
            "store": self.store,
            "data": self.data,
            "coverage": self.coverage,
            "stages": [
                {
                    "stage": one.stage.value,
                    "seconds": round(one.seconds, 3),
                    **one.counts,
                    "usage": asdict(one.usage) if one.usage else None,
                }
                for one in self.stages
            ],
        }


def run(
    config: Config,
    stages: Sequence[Stage] = tuple(Stage),
    *,
    day: date | None = None,
    users: int | None = None,
    dry_run: bool = False,
    max_tokens: int | None = None,
    force_training: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Summary:
    """Run the stages of one night.

    Args:
        day: the night's date (UTC, today by default); events after it are not read.
        users: only the first so many users, by user_id.
        dry_run: ask and make nothing; say how many requests are to come.
        max_tokens: stop cleanly once so many tokens (in and out) have been spent.
        force_training: train the towers even though they are young enough.

    Raises:
        RecgptError: the run can't go on; its message says the remedy, and what is finished is kept.
    """
    work = _run(config, stages, day, users, dry_run, max_tokens, force_training, progress)
    return asyncio.run(_until_signalled(work))


async def _until_signalled(work: Any) -> Summary:
    """Turn SIGTERM into the same clean cancellation that Ctrl-C is, and either into `Stopped`."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError, RuntimeError):  # not in the main thread: the caller's business
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        summary: Summary = await task
    except asyncio.CancelledError:
        raise Stopped("stopped; what is finished is kept, and the same command goes on from here") from None
    return summary


async def _run(
    config: Config,
    stages: Sequence[Stage],
    day: date | None,
    users: int | None,
    dry_run: bool,
    max_tokens: int | None,
    force_training: bool,
    progress: Callable[[Progress], None],
) -> Summary:
    day = day or datetime.now(UTC).date()
    logs = prepare(config)
    store = open_store(config)
    summary = Summary(day, dry_run, logs.counts, store.url.render_as_string(hide_password=True))
    with recorded(store, config, "dry_run" if dry_run else "night", day) as night_run:
        night = Night(config, store, logs, day, users, night_run.id, progress)
        async with contextlib.AsyncExitStack() as stack:
            model: LanguageModel | None = None
            if any(stage in ASKING for stage in stages):
                model = await stack.enter_async_context(
                    open_engine(config, store, run_id=night_run.id, max_tokens=max_tokens, contact=not dry_run)
                )
                summary.engine = f"{model.model} ({model.revision})"
            try:
                for stage in stages:
                    before, started = model.usage if model else None, time.monotonic()
                    counts = await _stage(night, stage, model, dry_run, force_training)
                    usage = model.usage - before if model and before and stage in ASKING else None
                    summary.stages.append(StageSummary(stage, time.monotonic() - started, counts, usage))
            finally:
                night_run.counts.update(summary.as_dict())
    return summary


async def _stage(
    night: Night, stage: Stage, model: LanguageModel | None, dry_run: bool, force_training: bool
) -> dict[str, Any]:
    if dry_run:
        if stage not in ASKING or model is None:
            return {}
        tally: Tally = ASKING[stage].dry_run(night, model)
        return {"units": tally.units, "untouched": tally.untouched, "to_ask": tally.to_ask, "replays": tally.replays}
    with recorded(night.store, night.config, stage, night.day, night.parent_run) as record:
        if stage == Stage.TOWERS:
            from recgpt.stages import towers  # noqa: PLC0415 (torch takes seconds to import, and most commands need none)

            record.counts = towers.run(night, record.id, force=force_training)
        elif stage == Stage.SCORE:
            from recgpt.stages import score  # noqa: PLC0415 (likewise)

            record.counts = score.run(night, record.id)
        elif model is not None:
            record.counts = (await ASKING[stage].run(night, model, record.id)).as_dict()
    return record.counts
