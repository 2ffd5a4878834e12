"""`recgpt tune prompts`: the prompt of a task evolves by reflection on its failures, and what came of it is kept.

Users that are not held out are divided in two: those whose failures a model reflects on, and those by whom the better
of two prompts is known. The best prompt is kept with its parent as a plain file, and then measured once on the held-out
users, as `recgpt tune evaluate` does. It serves once it is promoted, and not before.

Nothing of the search is on disk but the answers, in the ledger. All that is drawn by chance is drawn from the seed, so
the same command asks the same again, is given the same answers, and so goes on from where it was killed. The budget is
of the tokens of all that is asked, replayed or not: it ends at the same place however often it was interrupted.
"""

import difflib
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy.orm import Session

from prompts import Prompt
from recgpt.errors import BudgetSpent, ConfigError, DataError
from recgpt.stages.night import Night
from recgpt.stages.work import digest
from recgpt.stopping import Stopping
from recgpt.store.tables import PromptVersion
from recgpt.tuning.compare import Comparison, Rules, compare, refuse
from recgpt.tuning.evolution import Evolution
from recgpt.tuning.promote import find, short
from recgpt.tuning.record import Record, recorded
from recgpt.tuning.table import Purse, Table, laid
from recgpt.tuning.trial import asked_by, inputs
from recgpt.words import Task

FOLDER: Final = "prompts"  # in the work folder
LEAST: Final = 2  # users, one to learn from and one to choose by


@dataclass(frozen=True)
class Tuned:
    """What came of it; without a version nothing better was found."""

    task: Task
    prompt: str  # its name
    parent: str
    version: str | None
    file: str | None
    diff: str
    passing: dict[str, float]  # share of the validation users' rows, by the parent and by the best
    failures: dict[str, int]  # of the parent, by criterion and gate
    users: dict[str, int]  # train, validation
    rounds: int
    tried: int  # prompts that all validation users were asked by, the parent among them
    tokens: int
    stopped: str  # why it ended before all rounds, if it did
    untrusted: str  # why the judge should not be listened to, if so
    gate: dict[str, Any] | None = None  # of the held-out users
    unmeasured: str = ""  # why there is none

    def as_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


def tune(
    night: Night, task: Task, stopping: Stopping, rules: Rules, *, name: str = "", max_tokens: int | None = None
) -> Tuned:
    """Tune the prompt that writes what is judged of a task, or another of the task's.

    Args:
        rules: for the held-out users; prompts are scored by its aim too.
        name: of another prompt.
        max_tokens: the budget.

    Raises:
        ConfigError: the task is not asked by that prompt, or GEPA is not installed.
        DataError: there are too few users, or the judge is not trusted and nothing is forced.
        EngineError: a model is not there.
        BudgetSpent: before the first prompt was measured.
    """
    if importlib.util.find_spec("gepa") is None:
        raise ConfigError("tuning a prompt needs gepa: pip install 'recgpt[tune]'")
    name = _named(night, task, name)
    settings, parent = night.config.tuning, night.serving.prompt(name)
    given = inputs(night, task, settings.prompts.train + settings.prompts.validation, held=False, prompt=name)
    train, validation = _divided(given.keys, settings.prompts.train, settings.prompts.validation)
    held = len(inputs(night, task, rules.users, prompt=name).keys)
    how = {"seed": settings.seed, **settings.prompts.model_dump(), "aim": rules.aim, "max_tokens": max_tokens}
    data = digest(parent.version, train, validation, str(night.day))
    purse = Purse(math.inf if max_tokens is None else max_tokens)
    with recorded(night.store, "prompts", name, how, data) as record, laid(night, task, stopping, purse) as table:
        untrusted = refuse(night, table.bench, rules)
        search = Evolution(table, night, parent, given, train, validation, rules.aim, held)
        search.run()
        found = _found(task, search, untrusted)
        _note(record, found)
        if found.version is None:
            return found
        found = _kept(night, search, found)
        purse.limit = math.inf if max_tokens is None else max_tokens
        found = _measured(table, night, found, rules)
        _note(record, found)
    return found


def _named(night: Night, task: Task, name: str) -> str:
    known = asked_by(night.config)[task]
    if name and name not in known:
        raise ConfigError(f"{task} is not asked by {name!r} as the project is configured, but by {', '.join(known)}")
    return name or known[0]


def _divided(keys: Sequence[str], train: int, validation: int) -> tuple[list[str], list[str]]:
    """Those to learn from and those to choose by, in these proportions where there are too few."""
    if len(keys) < LEAST:
        raise DataError(f"{len(keys)} of the users are not held out, and to tune takes {LEAST}: lower tuning.held_out")
    cut = min(train, max(1, len(keys) * train // (train + validation)))
    return list(keys[:cut]), list(keys[cut : cut + validation])


def _found(task: Task, search: Evolution, untrusted: str) -> Tuned:
    first, best = search.first, search.best
    better = best.version != first.version
    scores = search.scores or [math.nan]
    return Tuned(
        task,
        first.task,
        first.version,
        best.version if better else None,
        None,
        "".join(_diff(first, best)),
        {"parent": scores[0], "best": max(scores)},
        search.failures(),
        {"train": len(search.train), "validation": len(search.validation)},
        search.rounds,
        len(search.scores),
        search.table.purse.spent,
        search.stopped,
        untrusted,
        unmeasured="" if better else "nothing better was found",
    )


def _diff(old: Prompt, new: Prompt) -> list[str]:
    before, after = (f"{one.task}.md {short(one.version)}" for one in (old, new))
    return list(difflib.unified_diff(old.text.splitlines(True), new.text.splitlines(True), before, after))


def _kept(night: Night, search: Evolution, found: Tuned) -> Tuned:
    """The best prompt in the store, where it is served from, and in a file, for people."""
    best = search.best
    folder = night.config.work_folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{best.task}-{short(best.version)}.md"
    _write(file, best.text)
    found = replace(found, file=str(file))
    with Session(night.store) as session:
        row = session.get(PromptVersion, best.version) or PromptVersion(
            version=best.version, task=best.task, text=best.text
        )
        row.parent = search.first.version
        row.result = {**(row.result or {}), "tuning": _facts(found)}
        session.add(row)
        session.commit()
    return found


def _write(file: Path, text: str) -> None:
    part = file.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)


def _measured(table: Table, night: Night, found: Tuned, rules: Rules) -> Tuned:
    assert found.version is not None
    candidate = find(night.store, found.version)
    gate: Comparison | None = None
    try:
        gate = table.run(compare(night, candidate, table.model, table.bench, rules))
        why = ""
    except BudgetSpent as error:
        why = f"{error}: 'recgpt tune evaluate {short(found.version)}' measures it"
    tokens = table.purse.spent
    return replace(found, gate=None if gate is None else gate.as_dict(), unmeasured=why, tokens=tokens)


def _note(record: Record, found: Tuned) -> None:
    record.version, record.result = found.version, _facts(found)


def _facts(found: Tuned) -> dict[str, Any]:
    names = ("passing", "failures", "users", "rounds", "tried", "tokens", "stopped", "untrusted", "unmeasured")
    return {name: getattr(found, name) for name in names}
