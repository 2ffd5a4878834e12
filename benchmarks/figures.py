"""What every benchmark prints last: one JSON object with its figures, each beside its goal.

Those that take long say on standard error how far they are.
"""

import json
import os
import platform
import sys
from dataclasses import dataclass
from typing import Any

from recgpt.stages.night import Progress

GOALS = {">=": lambda value, goal: value >= goal, "<=": lambda value, goal: value <= goal}


@dataclass(frozen=True)
class Figure:
    """A measured number; `goal` like (">=", 0.8), or None for one that is only reported."""

    name: str
    value: float | None
    goal: tuple[str, float] | None = None

    @property
    def ok(self) -> bool:
        if self.goal is None:
            return True
        sign, bound = self.goal
        return self.value is not None and GOALS[sign](self.value, bound)


def machine() -> str:
    """The processor and its cores, as far as the system tells."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def say(progress: Progress) -> None:
    """Each step where there are few, else every tenth."""
    if (progress.total or 0) < 20 or progress.done % 10 == 0:
        print(f"{progress.stage} {progress.done} of {progress.total} {progress.note}", file=sys.stderr, flush=True)


def report(name: str, figures: list[Figure], **notes: Any) -> bool:
    """Print a table, then the JSON line. Returns whether every goal is met."""
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        value = "no value" if figure.value is None else f"{figure.value:,.4g}"
        goal = f"goal {figure.goal[0]} {figure.goal[1]:g}: {'met' if figure.ok else 'MISSED'}" if figure.goal else ""
        print(f"{figure.name:<{width}}  {value:>12}  {goal}")
    ok = all(figure.ok for figure in figures)
    listed = {
        figure.name: {"value": figure.value, "goal": figure.goal and " ".join(map(str, figure.goal)), "ok": figure.ok}
        for figure in figures
    }
    print(json.dumps({"name": name, "machine": machine(), **notes, "figures": listed, "ok": ok}))
    return ok
