"""Promotion and rollback: one row each, so that what served on which night can always be told.

A version is promoted when the gate passed it on held-out users (`recgpt tune evaluate`) against what serves now: what
was measured against another version says nothing of this one. Force says so in the row. A rollback puts back what the
newest promotion of a task replaced, and can itself be rolled back.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine as Store
from sqlalchemy import select
from sqlalchemy.orm import Session

from recgpt.errors import DataError
from recgpt.serving import ADAPTER, PROMPT
from recgpt.store.tables import ModelVersion, Promotion, PromptVersion

SHORTEST = 6  # characters of a version's hash that are enough to name it


@dataclass(frozen=True)
class Candidate:
    """A version that tuning made: a prompt of that name, or an adapter for that task."""

    kind: str
    task: str
    version: str
    result: dict[str, Any]

    @property
    def gate(self) -> dict[str, Any] | None:
        """What the gate last said of it, with the version it was measured against."""
        return self.result.get("gate")


def short(version: str | None) -> str:
    """The beginning of a version's hash, as people are shown it; nothing of none."""
    return "" if version is None else version.removeprefix("sha256:")[:12]


def find(store: Store, named: str) -> Candidate:
    """The version whose hash is, or begins with, `named` (with or without "sha256:").

    Raises:
        DataError: there is none, or more than one.
    """
    start = "sha256:" + named.removeprefix("sha256:")
    if len(start) < len("sha256:") + SHORTEST:
        raise DataError(f"{named!r} is too short: give at least {SHORTEST} characters of the version")
    with Session(store) as session:
        found = [_candidate(row) for row in _rows(session, start)]
    if len(found) != 1:
        many = ", ".join(one.version for one in found[:5])
        raise DataError(
            f"{named!r} is {len(found)} versions ({many}): give more of the hash"
            if found
            else f"no prompt or adapter that tuning made has the version {named!r}: 'recgpt tune list' shows them"
        )
    return found[0]


@dataclass(frozen=True)
class Version:
    """A version as it is listed."""

    candidate: Candidate
    parent: str | None
    created_at: datetime
    serves: bool

    def as_dict(self) -> dict[str, Any]:
        one = self.candidate
        return {
            "version": one.version,
            "kind": one.kind,
            "task": one.task,
            "parent": self.parent,
            "created_at": self.created_at.isoformat(timespec="seconds"),
            "serves": self.serves,
            "result": one.result,
        }


def versions(store: Store) -> list[Version]:
    """Every prompt and adapter that tuning made, newest first."""
    with Session(store) as session:
        found = []
        for row in sorted(_rows(session), key=lambda row: (row.created_at, row.version), reverse=True):
            one = _candidate(row)
            serves = current(session, one.kind, one.task) == one.version
            found.append(Version(one, row.parent, row.created_at, serves))
    return found


def current(session: Session, kind: str, task: str) -> str | None:
    """The promoted version that serves; None: what is packaged."""
    newest = select(Promotion.version).where(Promotion.kind == kind, Promotion.task == task)
    return session.scalars(newest.order_by(Promotion.id.desc()).limit(1)).first()


def promote(store: Store, named: str, *, force: bool = False) -> Promotion:
    """Let a version serve from now on.

    Raises:
        DataError: there is no such version, it serves already, or the gate did not pass it and `force` is not set.
    """
    one = find(store, named)
    with Session(store, expire_on_commit=False) as session:
        before = current(session, one.kind, one.task)
        refusal = _refusal(one, before)
        if before == one.version:
            raise DataError(f"{one.version} serves {one.task} already")
        if refusal and not force:
            raise DataError(f"{one.version} is not promoted: {refusal}, or say --force")
        row = Promotion(
            task=one.task,
            kind=one.kind,
            version=one.version,
            previous=before,
            forced=bool(refusal),
            reason=f"forced: {refusal}" if refusal else str((one.gate or {})["why"]),
            result=one.gate,
        )
        session.add(row)
        session.commit()
    return row


def rollback(store: Store, task: str) -> Promotion:
    """Put back what served a task (a prompt's name, or an adapter's task) before its newest promotion.

    Raises:
        DataError: nothing was ever promoted there.
    """
    with Session(store, expire_on_commit=False) as session:
        query = select(Promotion).where(Promotion.task == task).order_by(Promotion.id.desc()).limit(1)
        newest = session.scalars(query).first()
        if newest is None:
            known = sorted(set(session.scalars(select(Promotion.task))))
            raise DataError(
                f"nothing was promoted for {task!r}; "
                + (f"there is {', '.join(known)}" if known else "what serves is as packaged")
            )
        row = Promotion(
            task=task,
            kind=newest.kind,
            version=newest.previous,
            previous=newest.version,
            reason=f"rolled back from promotion {newest.id}",
        )
        session.add(row)
        session.commit()
    return row


def _rows(session: Session, start: str = "") -> list[PromptVersion | ModelVersion]:
    """What tuning made, as far as its version begins so."""
    prompts = select(PromptVersion).where(PromptVersion.parent.is_not(None))
    adapters = select(ModelVersion).where(ModelVersion.kind == ADAPTER)
    return [
        *session.scalars(prompts.where(PromptVersion.version.startswith(start, autoescape=True))),
        *session.scalars(adapters.where(ModelVersion.version.startswith(start, autoescape=True))),
    ]


def _candidate(row: PromptVersion | ModelVersion) -> Candidate:
    result = dict(row.result or {})
    if isinstance(row, PromptVersion):
        return Candidate(PROMPT, row.task, row.version, result)
    return Candidate(ADAPTER, str(result["task"]), row.version, result)


def _refusal(one: Candidate, serving: str | None) -> str:
    """Why a version may not be promoted, with the remedy; "" if it may."""
    measure = f"measure it with 'recgpt tune evaluate {short(one.version)}'"
    if one.gate is None:
        return f"no gate has seen it: {measure}"
    if one.gate["against"] != serving:
        return f"it was measured against {one.gate['against'] or 'what is packaged'}, which serves no more: {measure}"
    if one.gate.get("untrusted"):
        return f"the judge that the gate listened to is not trusted ({one.gate['untrusted']})"
    if not one.gate["promoted"]:
        return f"the gate did not pass it ({one.gate['why']}): tune anew"
    return ""
