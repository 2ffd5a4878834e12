"""Rates and the time left, by a clock that the test moves; and the plain lines of a log."""

from dataclasses import dataclass

import pytest

from cli import progress as drawing
from cli.progress import Pace, progress, span
from recgpt.engine.asking import Usage
from recgpt.stages.night import Progress


@dataclass
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def step(done: int, total: int | None = 1000, tokens: int = 0) -> Progress:
    return Progress("interests", done, total, usage=Usage(tokens_in=tokens))


def test_rates_and_the_time_left_follow_from_the_last_minute() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.now(step(0)) == ""
    clock.seconds = 10
    assert pace.now(step(50, tokens=20_000)) == "5.0/s, 2,000 tokens/s, 3 min left"
    clock.seconds = 10.5  # within the second nothing is worked out anew
    assert pace.now(step(51)) == "5.0/s, 2,000 tokens/s, 3 min left"


def test_units_done_before_do_not_make_the_rest_look_quick() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.now(step(0))
    clock.seconds = 1
    pace.now(step(900))  # untouched ones, in a moment
    for second in range(2, 92):
        clock.seconds = second
        said = pace.now(step(900 + second // 2))  # then one in two seconds
    assert said == "30.0/min, 110 s left".replace("110 s", span(2 * (1000 - 945)))


def test_without_a_total_no_time_is_promised() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.now(step(0, None))
    clock.seconds = 4
    assert pace.now(step(8, None)) == "2.0/s"
    assert pace.whole(step(8, None)) == "in 4 s, 2.0/s"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (99, "99 s"), (101, "2 min"), (3000, "50 min"), (11_100, "3 h 5 min")]
)
def test_spans_are_said_in_the_unit_that_fits(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_a_log_gets_a_line_at_once_with_the_first_unit_every_ten_seconds_and_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(drawing.time, "monotonic", clock)
    monkeypatch.setattr(drawing, "Pace", lambda: Pace(clock))
    with progress() as draw:
        draw(Progress("interests", 0, None))
        for done in range(1, 31):
            clock.seconds = done
            draw(step(done, 30, tokens=100 * done))
        draw(Progress("towers", 0, None))
        clock.seconds = 35
        draw(Progress("towers", 1, 9, "loss 4.200"))
    assert capsys.readouterr().err.splitlines() == [
        "interests: 0",
        "interests: 1/30 (3%), 1.0/s, 100 tokens/s, 29 s left",
        "interests: 11/30 (37%), 1.0/s, 100 tokens/s, 19 s left",
        "interests: 21/30 (70%), 1.0/s, 100 tokens/s, 9 s left",
        "interests: 30/30 (100%), in 30 s, 1.0/s, 100 tokens/s",
        "towers: 0",
        "towers: 1/9 (11%), 12.0/min, 40 s left, loss 4.200",
        "towers: 1/9 (11%), in 5 s, 12.0/min, loss 4.200",
    ]
