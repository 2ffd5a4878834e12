"""The terminal: keys at a real one, and lines where there is none."""

import io
import re

import pytest
from label_terminal import Terminal, plain
from labellers import ALL, Room, queued
from rich.cells import cell_len

from recgpt.labelling import terminal
from recgpt.labelling.session import NOTE_CHARS

HOSTILE = "\x1b]0;owned\x07\x1b[2J[bold]tea[/bold] :tea: \u202eeurt"


def lines(room: Room, typed: str, *claims: str, **options: object) -> str:
    """What is written where the input is no terminal."""
    out = io.StringIO()
    terminal.run(room.sit(queued(*claims), **options), terminal.console(out), io.StringIO(typed))
    return out.getvalue()


def test_lines_are_keys_with_a_note_behind_them(room: Room) -> None:
    written = lines(room, "y\nn  too wide \n\nY\nq\ny\n", "stars", "tea", "rope")
    assert room.said() == [(1, "grounded", True), (1, "specific", False), (2, "grounded", True)]
    assert [row.rationale for row in room.labels()] == ["", "too wide", ""]
    assert "interests: grounded" in written
    assert "human:eva, 3 answered in this sitting" in written


def test_the_end_of_the_input_and_of_the_queue_end_the_sitting(room: Room) -> None:
    lines(room, "y\n", "stars")
    lines(room, "y\ny\ny\n", "stars")
    assert room.said() == [(1, "grounded", True), (1, "specific", True)]


def test_every_key_does_its_part(room: Room) -> None:
    room.judged(1, ALL["grounded"], False, p_yes=0.25, threshold=0.5)
    written = lines(room, "s\nw\nn\nu\ny\ny\n", "stars")
    assert "Skipped; it comes last." in written
    assert "Asked because those who judged it so far do not agree." in written
    assert "Taken back; it is asked again." in written
    assert "small@r1 said no, P(yes) 0.25 against 0.50" not in written
    assert room.said("eva") == [(1, "specific", True), (1, "grounded", True)]


def test_what_the_judges_said_is_told_after_the_answer_only(room: Room) -> None:
    room.judged(1, ALL["grounded"], False, p_yes=0.25, threshold=0.5)
    written = lines(room, "w\ny\nw\nu\nq\n", "stars")
    first, second, *rest = written.split("interests: ")[1:]
    assert "small@r1" not in first + second
    assert "Before it, stars (grounded): you said yes." in rest[1]
    assert "small@r1 said no, P(yes) 0.25 against 0.50" in rest[1]
    assert "its answer stands" in rest[2]
    assert room.said("eva") == [(1, "grounded", True)]


def test_a_note_of_its_own_line_waits_for_the_verdict(room: Room) -> None:
    written = lines(room, "t first thought\nt second\nw\ny\nn\n", "stars")
    assert "note: second" in written
    assert [row.rationale for row in room.labels()] == ["second", ""]


def test_an_empty_note_takes_it_away_and_a_long_one_is_refused(room: Room) -> None:
    written = lines(room, f"t thought\nt\ny\ny {'x' * (NOTE_CHARS + 1)}\n", "stars")
    assert [row.rationale for row in room.labels()] == [""]
    assert "2,000 is the most. Nothing was kept." in written


def test_what_is_no_key_is_said_and_does_nothing(room: Room) -> None:
    assert "yes is no key here." in lines(room, "yes\n\x1b[A\n", "stars")
    assert room.said() == []


def test_a_text_of_the_logs_never_speaks_to_the_terminal(room: Room) -> None:
    written = lines(room, "y\nw\nq\n", HOSTILE)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", written)
    shown = "\\x1b]0;owned\\x07\\x1b[2J[bold]tea[/bold] :tea: \\u202eeurt"
    assert f"yes: {shown} (grounded)" in written.replace("\n", "")


def test_the_screen_is_80_columns_wide_with_the_evidence_beside_the_question(room: Room) -> None:
    written = lines(room, "n\n", "w" * 200, "北京" * 60)
    assert max(cell_len(line) for line in written.splitlines()) <= terminal.WIDTH
    both = [line for line in written.splitlines() if "- astronomy: star chart" in line]
    assert both
    assert all(line.startswith("w") for line in both[:2])


@pytest.mark.parametrize("last", ["q", "\x04", "\x03"])
def test_at_a_terminal_one_key_is_one_verdict_and_q_ctrl_d_and_ctrl_c_end_it(room: Room, last: str) -> None:
    asked = Terminal(room.folder, "stars", HOSTILE)
    screen = asked.until("interests: grounded", terminal.PROMPT)
    assert "\x1b[2J" in screen  # cleared
    assert max(len(line) for line in plain(screen).splitlines()) <= terminal.WIDTH
    asked.press("y")
    asked.until("yes: stars (grounded)", terminal.PROMPT)
    assert room.said() == [(1, "grounded", True)]  # at once
    asked.press("\x1b[A")  # an arrow: one unknown key, not three
    asked.until("\\x1b is no key here.", terminal.PROMPT)
    asked.press("t")
    asked.until("note: ")
    asked.press("not a kynd\x7f\x7f\x7find\n")
    asked.until("note: not a kind", terminal.PROMPT)
    asked.press("n")
    asked.until("owned", "no: stars (specific)", terminal.PROMPT)
    assert "\x1b]0" not in asked.written
    assert "\x07" not in asked.written
    asked.press("u")
    asked.until("Taken back", terminal.PROMPT)
    asked.press("n")
    asked.until("no: stars (specific)", terminal.PROMPT)
    asked.press("s")
    asked.until("Skipped", terminal.PROMPT)
    asked.press(last)
    asked.until("ended {'yes': 1, 'no': 1, 'skipped': 1}")
    assert asked.end() == 0
    assert [(row.verdict, row.rationale) for row in room.labels()] == [(True, ""), (False, "")]


def test_a_key_held_down_answers_one_question(room: Room) -> None:
    asked = Terminal(room.folder, *(f"interest {number}" for number in range(20)))
    asked.until(terminal.PROMPT)
    asked.press("y" * 30)
    asked.until("yes: interest 0 (grounded)", terminal.PROMPT)
    assert room.said() == [(1, "grounded", True)]
    asked.press("q")
    asked.until("ended")
    assert asked.end() == 0


def test_at_the_end_of_the_queue_the_last_can_still_be_taken_back(room: Room) -> None:
    asked = Terminal(room.folder, "stars")
    for _ in range(2):
        asked.until(terminal.PROMPT)
        asked.press("y")
    asked.until("There is nothing left to ask.", terminal.PROMPT)
    asked.press("u")
    asked.until("interests: specific", terminal.PROMPT)
    asked.press("n")
    asked.until("There is nothing left to ask.", terminal.PROMPT)
    asked.press("q")
    asked.until("ended {'yes': 1, 'no': 1, 'skipped': 0}")
    assert asked.end() == 0
