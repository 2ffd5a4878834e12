"""The sitting in a terminal: one screen a question, one key a verdict. Without a terminal, one line a key.

The screen is 80 columns wide: the question on the left, what it is about on the right. At a terminal a key counts only
once the keyboard has been quiet since the question was shown, so that a key held down, or typed ahead, never answers a
question that nobody has read. Where the input is no terminal each line is a key and, behind it, a note ("n not a
kind of product"), so that a sitting can be scripted; the same screens are written out one below the other.
"""

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TextIO

from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from recgpt.labelling.session import NotNow, Question, Sitting, Why
from recgpt.labelling.visible import one_line, visible

WIDTH: Final = 80
QUIET_S: Final = 0.15
KEYS: Final = {"y": "yes", "n": "no", "s": "skip", "t": "note", "u": "undo", "w": "why", "q": "quit"}
PROMPT: Final = "  ".join(f"{key} {word}" for key, word in KEYS.items()) + " > "
NOTHING_LEFT: Final = "There is nothing left to ask. u takes the last one back, q ends."


@dataclass(frozen=True)
class Pressed:
    key: str
    note: str = ""


def run(sitting: Sitting, out: Console, stdin: TextIO | None = None) -> None:
    """Ask until the queue is at its end, the person quits, or the input ends. Ctrl-C quits too: nothing is unsaved."""
    stdin = sys.stdin if stdin is None else stdin
    at_terminal = stdin.isatty()
    read = _keys(stdin, out) if at_terminal else _lines(stdin)
    note, said = "", ""
    try:
        while True:
            question = sitting.current()
            if question is None and not at_terminal:
                break
            if out.is_terminal:
                out.clear()
            out.print(screen(sitting, question, note=note, said=said))
            pressed = next(read, None)
            if pressed is None or pressed.key == "q":
                break
            note, said = _act(sitting, question, pressed, note)
    except KeyboardInterrupt:
        out.print()


def console(stream: TextIO) -> Console:
    """Where screens are written: nothing in a text is markup, an emoji's name or a number to be coloured."""
    return Console(file=stream, width=WIDTH, highlight=False, markup=False, emoji=False)


def _act(sitting: Sitting, question: Question | None, pressed: Pressed, note: str) -> tuple[str, str]:
    """Do what a key stands for. Gives the note to go on with, and what to tell the person."""
    key = pressed.key
    if pressed.note or key == "t":
        note = pressed.note
    if key == "t":
        return note, ""
    if key not in KEYS:
        return note, f"{one_line(key)} is no key here."
    try:
        return note if key == "w" else "", _do(sitting, question, key, note)
    except NotNow as refused:
        return note, str(refused)


def _do(sitting: Sitting, question: Question | None, key: str, note: str) -> str:
    if key == "u":
        sitting.undo()
        return "Taken back; it is asked again."
    if key == "w":
        return told(sitting.why())
    if question is None:
        return ""
    if key == "s":
        sitting.skip(question.key)
        return "Skipped; it comes last."
    sitting.answer(question.key, key == "y", note)
    return f"{KEYS[key]}: {one_line(question.target.claim)} ({question.criterion.name})"


def screen(sitting: Sitting, question: Question | None, *, note: str = "", said: str = "") -> RenderableType:
    """What the person sees, at most `WIDTH` columns wide."""
    counts = sitting.counts
    now = counts["yes"] + counts["no"]
    head = Table.grid(expand=True)
    head.add_column()
    head.add_column(justify="right")
    what = "" if question is None else f"{question.target.task}: {question.criterion.name}"
    head.add_row(Text(what, "bold"), Text(f"{sitting.judge}, {now} answered in this sitting", "dim"))
    parts: list[RenderableType] = [head, Rule(style="dim")]
    parts.append(Text(NOTHING_LEFT) if question is None else _beside(question))
    parts.append(Rule(style="dim"))
    if note:
        parts.append(Text(f"note: {visible(note)}", "italic"))
    if said:
        parts.append(Text(said, "dim"))
    return Group(*parts)


def _beside(question: Question) -> Table:
    criterion, target = question.criterion, question.target
    asked = Group(
        Text(visible(target.claim), "bold reverse"),
        Text(""),
        Text(criterion.question, "bold"),
        Text(""),
        *(
            Text.assemble((f"{name} ", "bold"), criterion.parts[part])
            for name, part in (("yes", "yes"), ("no", "no"), ("what counts", "evidence"))
        ),
    )
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    table.add_row(asked, Group(Text("given", "dim"), Text(visible(question.given))))
    return table


def told(why: Why) -> str:
    """What `w` says."""
    lines = []
    if why.reason is not None:
        lines.append(f"Asked because {why.reason}. What others said of it is shown once you have answered.")
    if why.answered is not None:
        lines.append(
            f"Before it, {one_line(why.answered.target.claim)} ({why.answered.criterion.name}): you said {why.verdict}."
        )
        lines += [f"  {one.line()}" for one in why.others] or ["  Nobody else has judged it."]
    return "\n".join(lines) or "Nothing is asked."


def _lines(stdin: TextIO) -> Iterator[Pressed]:
    for line in stdin:
        key, _, note = line.strip().partition(" ")
        if key:
            yield Pressed(key.lower(), note.strip())


def _keys(stdin: TextIO, out: Console) -> Iterator[Pressed]:
    """Keys as they are pressed; for t, the line that is typed then."""
    fd = stdin.fileno()
    while True:
        with _each_key(fd):
            _await_quiet(fd)
            out.print(PROMPT, end="", soft_wrap=True)
            out.file.flush()
            key = os.read(fd, 1)
            _await_quiet(fd, wait=0.0)  # the rest of an arrow key, or of a letter of several bytes
        out.print()
        if not key or key == b"\x04":  # Ctrl-D
            return
        letter = key.decode("utf-8", "replace").lower()
        if letter == "t":
            out.print("note: ", end="")
            out.file.flush()
            yield Pressed("t", stdin.readline().strip())
        else:
            yield Pressed(letter)


@contextmanager
def _each_key(fd: int) -> Iterator[None]:
    """Have keys come one by one and unseen, but Ctrl-C still interrupt."""
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd, termios.TCSANOW)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, before)


def _await_quiet(fd: int, wait: float = QUIET_S) -> None:
    """Throw away what is typed until nothing is for a moment."""
    while select.select([fd], [], [], wait)[0] and os.read(fd, 1024):
        pass
