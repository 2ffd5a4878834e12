"""How far a night is: bars where stderr is a terminal; else lines, at a stage's begin, with its first unit, every ten
seconds, and at its end.

Both say the same: units done, units and tokens a second, and the time left. Rates are those of the last minute, so that
units which were done before, and went by in a moment, don't make the rest look quick.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from cli.output import ERR
from recgpt.stages.night import Progress

EVERY_S: Final = 10.0  # between two plain lines
WINDOW_S: Final = 60.0  # that rates are taken over
SAMPLE_S: Final = 1.0  # between two looks at the clock


class Pace:
    """The rates of one stage."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looks: deque[tuple[float, int, int]] = deque()  # (moment, units, tokens)
        self._first: tuple[float, int, int] | None = None
        self._text = ""

    def now(self, step: Progress) -> str:
        """`12.3/s, 4,210 tokens/s, 2 min left`, as far as it is known; worked out anew once a second."""
        look = (self._clock(), step.done, step.usage.tokens if step.usage else 0)
        self._first = self._first or look
        if self._looks and look[0] - self._looks[-1][0] < SAMPLE_S:
            return self._text
        self._looks.append(look)
        while look[0] - self._looks[0][0] > WINDOW_S:
            self._looks.popleft()
        self._text = _rates(self._looks[0], look, step.total)
        return self._text

    def whole(self, step: Progress) -> str:
        """`in 33 s, 12.3/s, 4,210 tokens/s`: of the stage from its first step to this one."""
        look = (self._clock(), step.done, step.usage.tokens if step.usage else 0)
        first = self._first or look
        return ", ".join(part for part in (f"in {span(look[0] - first[0])}", _rates(first, look, None)) if part)


def _rates(first: tuple[float, int, int], last: tuple[float, int, int], total: int | None) -> str:
    seconds = last[0] - first[0]
    if seconds < SAMPLE_S:
        return ""
    units, tokens = (last[1] - first[1]) / seconds, (last[2] - first[2]) / seconds
    parts = []
    if units:
        parts.append(f"{units:.1f}/s" if units >= 1 else f"{units * 60:.1f}/min")
    if tokens:
        parts.append(f"{tokens:,.0f} tokens/s")
    if total and units:
        parts.append(f"{span((total - last[1]) / units)} left")
    return ", ".join(parts)


def span(seconds: float) -> str:
    """`33 s`, `12 min`, `3 h 5 min`."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def progress() -> Iterator[Callable[[Progress], None]]:
    """A function that draws each `Progress` it is given, while the block lasts."""
    if not ERR.is_terminal:
        lines = _Lines()
        try:
            yield lines
        finally:
            lines.finish()
        return
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[pace]}"),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, console=ERR, transient=True) as bar:
        tasks: dict[str, tuple[TaskID, Pace]] = {}

        def draw(step: Progress) -> None:
            if step.stage not in tasks:
                tasks[step.stage] = bar.add_task(step.stage, total=step.total, pace="", note=""), Pace()
            task, pace = tasks[step.stage]
            bar.update(task, completed=step.done, total=step.total, pace=pace.now(step), note=step.note)

        yield draw


class _Lines:
    def __init__(self) -> None:
        self._step: Progress | None = None
        self._pace = Pace()
        self._said = 0.0  # the moment of the last line

    def __call__(self, step: Progress) -> None:
        if self._step is None or step.stage != self._step.stage:
            self.finish()
            self._pace, self._said = Pace(), float("-inf")
        begun = step.done > 0 and (self._step is None or self._step.done == 0)
        self._step, pace = step, self._pace.now(step)
        if begun or time.monotonic() - self._said >= EVERY_S:
            self._said = time.monotonic()
            self._say(step, pace)

    def finish(self) -> None:
        """Say how the stage has ended, once it has."""
        if self._step is not None:
            self._say(self._step, self._pace.whole(self._step))

    def _say(self, step: Progress, pace: str) -> None:
        of = "" if step.total is None else f"/{step.total}"
        share = f" ({step.done / step.total:.0%})" if step.total else ""
        facts = ", ".join(part for part in (pace, step.note) if part)
        sys.stderr.write(f"{step.stage}: {step.done}{of}{share}{', ' if facts else ''}{facts}\n")
        sys.stderr.flush()
