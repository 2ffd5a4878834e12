"""What a night did and what it cost: what `nightly --json` prints, and what the night's record in SQL holds."""

from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from recgpt.engine.asking import Usage
from recgpt.stages.night import Progress
from recgpt.words import RunState, Stage


@dataclass(frozen=True)
class StageSummary:
    """What one stage did: its own counts, and what it cost."""

    stage: Stage
    state: RunState
    seconds: float
    counts: dict[str, Any]
    usage: Usage | None  # None for a stage that asks no model

    def as_dict(self) -> dict[str, Any]:
        return {
            "stage": self.stage.value,
            "state": self.state.value,
            "seconds": round(self.seconds, 3),
            **self.counts,
            "usage": asdict(self.usage) if self.usage else None,
        }


@dataclass
class Summary:
    night: date
    dry_run: bool
    store: str
    state: RunState = RunState.RUNNING
    message: str = ""  # why it was stopped, or failed
    data: dict[str, Any] = field(default_factory=dict)  # rows read, kept and rejected, by table
    engine: str = ""
    stages: list[StageSummary] = field(default_factory=list)

    @property
    def coverage(self) -> float | None:
        """The lowest coverage of any stage; None where no stage had a unit."""
        known = [stage.counts["coverage"] for stage in self.stages if stage.counts.get("coverage") is not None]
        return min(known, default=None)

    @property
    def usage(self) -> Usage:
        return sum((stage.usage for stage in self.stages if stage.usage), Usage())

    def as_dict(self) -> dict[str, Any]:
        return {
            "night": self.night.isoformat(),
            "dry_run": self.dry_run,
            "state": self.state.value,
            "message": self.message,
            "engine": self.engine,
            "store": self.store,
            "data": self.data,
            "coverage": self.coverage,
            "usage": asdict(self.usage),
            "stages": [one.as_dict() for one in self.stages],
        }


def so_far(step: Progress) -> dict[str, Any]:
    """The counts of a stage that ended early, from its last progress.

    Where the number of units is known before the end, `units` is that number: those not come to lower the coverage.
    """
    counts = dict(step.counts or {})
    if "units" not in counts:
        return {**counts, "done": step.done, "of": step.total}
    units = max(step.total or 0, counts["units"])
    if units:
        counts["coverage"] = (counts["ok"] + counts["invalid"]) / units
    return {**counts, "units": units}
