"""A store with rows to be judged and labels that a test writes itself; no events are read and no model is asked."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from judges import Criterion, load_criteria
from recgpt.config import Config
from recgpt.labels.store import add
from recgpt.settings import Store
from recgpt.sources.logs import Catalogue
from recgpt.store.session import open_store
from recgpt.store.tables import Explanation, Interest, Label, Tag
from recgpt.words import Task

DAY = datetime(2026, 10, 31, tzinfo=UTC)


class Shelf:
    """Interests, tags and explanations, and what judges said of them."""

    def __init__(self, folder: Path, url: str = Store().url) -> None:
        self.config = Config(folder=folder, store=Store(url=url))
        self.store: Engine = open_store(self.config)
        titles = ["Lumo Refractor Telescope", "Star Chart", "Zest Racket Overgrips"]
        categories = ["Hobbies > Astronomy", "Hobbies > Astronomy", "Sports > Tennis"]
        self.catalogue = Catalogue(["i1", "i2", "i3"], titles, categories, ["Lumo", "", "Zest"], np.ones(3, np.float32))

    def interest(self, name: str = "stargazing", user: str = "u1", **columns: Any) -> int:
        events = [{"number": n, "timestamp": DAY.isoformat(), "item_id": item, "night": "2026-10-31"} for n, item in
                  enumerate(columns.pop("items", ("i1", "i2")))]  # fmt: skip
        row = {
            "user_id": user, "name": name, "horizon": "long_term", "evidence": events, "first_seen": DAY,
            "last_confirmed": DAY, "state": "active", "operation": "add", "since_night": DAY.date(), **columns,
        }  # fmt: skip
        return self.put(Interest(**row))

    def tag(self, interest_id: int, tag: str, user: str = "u1", **columns: Any) -> int:
        row = {"state": "active", "since_night": DAY.date(), **columns}
        return self.put(Tag(user_id=user, interest_id=interest_id, tag=tag, **row))

    def explanation(self, interest: str, item: str, text: str, **columns: Any) -> int:
        row = {"state": "active", "since_night": DAY.date(), "input_hash": "sha256:0", **columns}
        return self.put(Explanation(interest=interest, item_id=item, text=text, **row))

    def put(self, row: Any) -> int:
        with Session(self.store) as session:
            session.add(row)
            session.commit()
            return int(row.id)

    def label(self, judge: str, criterion: Criterion, verdicts: Iterable[tuple[int, bool]], **columns: Any) -> None:
        prefix, _, name = judge.partition(":")
        kind = prefix if name and prefix in ("human", "panel", "import") else "model"
        row = {"task": criterion.task, "criterion": criterion.name, "prompt_version": criterion.version, "kind": kind,
               **columns}  # fmt: skip
        with Session(self.store) as session:
            add(session, [Label(target_id=target, verdict=verdict, judge=judge, **row) for target, verdict in verdicts])
            session.commit()

    def labels(self, *where: Any) -> list[Label]:
        with Session(self.store, expire_on_commit=False) as session:
            return list(session.scalars(select(Label).where(*where).order_by(Label.id)))


class Reading:
    """Logs of which only the catalogue is looked at."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
def logs(shelf: Shelf) -> Any:
    return Reading(shelf.catalogue)


@pytest.fixture
def tags() -> dict[str, Criterion]:
    return {one.name: one for one in load_criteria(Task.TAGS)}


@pytest.fixture
def night() -> date:
    return DAY.date()
