"""A store whose labels a test writes itself: no shop, no model."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from recgpt.config import load
from recgpt.labels.store import add
from recgpt.store.session import open_store
from recgpt.store.tables import Label, Preference
from recgpt.words import Task


class Desk:
    """Labels of tags, put into a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "recgpt.toml").write_text("", encoding="utf-8")
        self.store: Engine = open_store(load(folder))

    def label(self, judge: str, verdicts: Iterable[tuple[int, bool]], **columns: Any) -> None:
        """One judge's verdicts on targets, by default on the criterion 'specific'."""
        prefix, _, name = judge.partition(":")
        kind = prefix if name and prefix in ("human", "panel", "import") else "model"
        row = {"task": Task.TAGS, "criterion": "specific", "prompt_version": "v1", "kind": kind, **columns}
        with Session(self.store) as session:
            add(session, [Label(target_id=target, verdict=verdict, judge=judge, **row) for target, verdict in verdicts])
            session.commit()

    def prefer(self, judge: str, left: int, right: int, first: str, second: str, **columns: Any) -> None:
        row = {
            "task": Task.TAGS,
            "criterion": "specific",
            "prompt_version": "p1",
            "input_hash": f"{left}-{right}",
            **columns,
        }
        with Session(self.store) as session:
            session.add(
                Preference(
                    judge=judge, left=f"text {left}", right=f"text {right}", left_target=left, right_target=right,
                    first=first, second=second, winner=first if first == second != "tie" else None, **row,
                )
            )  # fmt: skip
            session.commit()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)
