"""Rows of labels in CSV and JSON Lines: reading them one by one, and saying of each what is wrong with it."""

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

from judges import Criterion
from recgpt.errors import ConfigError, DataError
from recgpt.store.tables import JUDGE_CHARS, Label, now
from recgpt.words import JudgeKind, Task

FIELDS: Final = (
    "task", "target_id", "criterion", "verdict", "p_yes", "threshold", "votes", "evidence", "rationale", "judge",
    "kind", "revision", "prompt_version", "queued", "tokens", "time",
)  # fmt: skip
TEXT_CHARS: Final = 10_000  # of an evidence, of a rationale
SLACK: Final = timedelta(days=1)  # that another machine's clock may be ahead
_VERDICTS: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_NEEDED: Final = ("target_id", "criterion", "verdict")


class Wrong(Exception):
    """What is wrong with a row."""


class Gate:
    """Turns a row's cells into a label, or says why it is none."""

    def __init__(self, criteria: Mapping[Task, Mapping[str, Criterion]], name: str | None, task: Task | None) -> None:
        self._criteria, self._name, self._task = criteria, name, task

    def label(self, cells: Mapping[str, Any]) -> tuple[Label, bool]:
        """A row's label, and whether the file says when it was given.

        Raises:
            Wrong: it is none.
        """
        for one in _NEEDED:
            if _text(cells, one) == "":
                raise Wrong(f"it has no {one}")
        task = self._task_of(_text(cells, "task"))
        criterion = self._criteria[task].get(_text(cells, "criterion"))
        if criterion is None:
            known = ", ".join(self._criteria[task])
            raise Wrong(f"{task} has no criterion {_text(cells, 'criterion')[:80]!r}; there are {known}")
        verdict = _VERDICTS.get(_text(cells, "verdict").casefold())
        if verdict is None:
            raise Wrong(f"the verdict is yes or no, not {_text(cells, 'verdict')[:80]!r}")
        kind, judge = self._judge(_text(cells, "judge"))
        version = _text(cells, "prompt_version") or criterion.version
        if len(version) > 71:
            raise Wrong("the prompt_version is no hash of a file")
        moment = _moment(_text(cells, "time"))
        label = Label(
            task=task,
            target_id=_whole(cells, "target_id", 1) or 0,
            criterion=criterion.name,
            verdict=verdict,
            p_yes=_share(cells, "p_yes"),
            threshold=_share(cells, "threshold"),
            votes=_whole(cells, "votes", 1),
            evidence=_long(cells, "evidence"),
            rationale=_long(cells, "rationale"),
            kind=kind,
            judge=judge,
            revision="",
            prompt_version=version,
            queued=_text(cells, "queued")[:16],
            tokens=_whole(cells, "tokens", 0),
            created_at=moment or now(),
        )
        return label, moment is not None

    def _task_of(self, said: str) -> Task:
        if not said:
            if self._task is None:
                raise Wrong("it names no task; give one with --task")
            return self._task
        try:
            return Task(said)
        except ValueError:
            raise Wrong(f"there is no task {said[:80]!r}; there are {', '.join(Task)}") from None

    def _judge(self, said: str) -> tuple[JudgeKind, str]:
        name = self._name or said
        if not name:
            raise Wrong("it names no judge; give one with --as NAME")
        if not name.isprintable() or len(name) > JUDGE_CHARS - len("import:"):
            raise Wrong(f"the judge's name is too long or can't be printed: {name[:80]!r}")
        if self._name is None:
            for kind in (JudgeKind.HUMAN, JudgeKind.IMPORT):
                if name.startswith(f"{kind}:") and name != f"{kind}:":
                    return kind, name
        return JudgeKind.IMPORT, f"{JudgeKind.IMPORT}:{name}"


def kind_of(file: Path) -> str:
    """What a file is, by its name.

    Raises:
        ConfigError: the name does not say.
    """
    match file.suffix.lower():
        case ".csv":
            return "csv"
        case ".jsonl" | ".ndjson":
            return "jsonl"
    raise ConfigError(f"{file} is named neither .csv nor .jsonl: name it after what is in it")


def rows_of(file: Path) -> Iterator[tuple[int, Mapping[str, Any] | Wrong]]:
    """Each row with the line that it begins at; what can't be read as one is the reason why.

    Raises:
        ConfigError, DataError: see `kind_of`; a table without the columns that are needed.
    """
    kind = kind_of(file)
    # What is no UTF-8 comes through as half a surrogate pair, and costs only its own row.
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="" if kind == "csv" else "\n") as lines:
        yield from _csv_rows(file, lines) if kind == "csv" else _json_rows(lines)


def _csv_rows(file: Path, lines: IO[str]) -> Iterator[tuple[int, Mapping[str, Any] | Wrong]]:
    reader = csv.reader(lines)
    try:
        head = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise DataError(f"{file} is no CSV ({error}): export it again, with a line of names at the top") from None
    missing = [name for name in _NEEDED if name not in head]
    if missing:
        raise DataError(f"{file} has no column {', '.join(missing)}: the first line must name {', '.join(_NEEDED)}")
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, Wrong(f"no CSV: {error}")
            continue
        if len(cells) > len(head):
            yield line, Wrong(f"it has {len(cells)} cells under {len(head)} names")
        elif cells:
            yield line, dict(zip(head, cells, strict=False))


def _json_rows(lines: IO[str]) -> Iterator[tuple[int, Mapping[str, Any] | Wrong]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, Wrong(f"no JSON: {error}")
            continue
        yield number, cells if isinstance(cells, dict) else Wrong("it is no JSON object")


def writer(out: IO[str], kind: str, names: Sequence[str]) -> Callable[[dict[str, Any]], object]:
    """Writes one row after the other."""
    if kind == "jsonl":
        return lambda cells: out.write(json.dumps(cells, ensure_ascii=False) + "\n")
    table = csv.DictWriter(out, names, lineterminator="\n")
    table.writeheader()
    return table.writerow


def _text(cells: Mapping[str, Any], name: str) -> str:
    value = cells.get(name)
    if value is None:
        return ""
    if isinstance(value, (bool, int, float)):
        try:
            return str(value)
        except ValueError:  # an int of more digits than Python writes out
            raise Wrong(f"{name} is too long a number") from None
    if not isinstance(value, str):
        raise Wrong(f"{name} is neither a text nor a number")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise Wrong(f"{name} is no UTF-8 text")
    return value.strip()


def _long(cells: Mapping[str, Any], name: str) -> str:
    text = _text(cells, name)
    if len(text) > TEXT_CHARS:
        raise Wrong(f"{name} has {len(text):,} characters; {TEXT_CHARS:,} is the most")
    return text


def _share(cells: Mapping[str, Any], name: str) -> float | None:
    text = _text(cells, name)
    try:
        value = float(text) if text else None
    except ValueError:
        value = math.nan
    if value is not None and not 0.0 <= value <= 1.0:
        raise Wrong(f"{name} is a number from 0 to 1, not {text[:80]!r}")
    return value


def _whole(cells: Mapping[str, Any], name: str, least: int) -> int | None:
    text = _text(cells, name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 10 or not least <= int(text) < 2**31:
        raise Wrong(f"{name} is a whole number from {least} on, not {text[:80]!r}")
    return int(text)


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Wrong(f"the time is no ISO 8601 date and time: {text[:80]!r}") from None
    if moment > now() + SLACK:
        raise Wrong(f"the time {text[:80]!r} is in the future: nothing later could take its place")
    return moment
