"""Answers in a ledger, the rows read out of them, and what judges said of those: what data sets are built of."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from recgpt.labels.store import add
from recgpt.sources.logs import Catalogue
from recgpt.store.tables import Answer, Explanation, Interest, Label, Passport, Rejection, Request, Tag
from recgpt.words import Task

CATALOGUE = Catalogue(
    ids=["i1", "i2", "i3"],
    titles=["Trail shoe", "Wool sock", "Tent"],
    categories=["Sports > Running", "Sports > Running", "Outdoor > Camping"],
    brands=["", "", ""],
    prices=np.zeros(3, dtype=np.float32),
)
MOMENT = datetime(2026, 10, 1, tzinfo=UTC)
NIGHT = date(2026, 10, 1)
Grade = float | None  # P(yes) of both criteria; None: not judged


class Judged:
    """Adds rows to a store. `judge`, `kind`: whose labels they get."""

    def __init__(self, store: Engine, judge: str = "human:ann", kind: str = "human") -> None:
        self.store, self.judge, self.kind = store, judge, kind
        self.requests = 0

    def interest(self, user: str, name: str = "hiking", items: Sequence[str] = ("i1",)) -> int:
        events = [
            {"number": n, "timestamp": MOMENT.isoformat(), "behaviour": "view", "item_id": item, "night": "2026-10-01"}
            for n, item in enumerate(items)
        ]
        with Session(self.store) as session:
            row = Interest(
                user_id=user, name=name, horizon="long_term", reason="", evidence=events, first_seen=MOMENT,
                last_confirmed=MOMENT, state="active", operation="add", since_night=NIGHT,
            )  # fmt: skip
            session.add(row)
            session.commit()
            return row.id

    def request(self, prompt: str, answer: Any, task: str = "interest_tags", schema: Any = None, seed: int = 0) -> str:
        """A request that was answered; `answer` is JSON, or text as it came."""
        self.requests += 1
        name = f"sha256:{self.requests:064x}"
        body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": prompt}], "seed": seed}
        if schema:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": task, "schema": schema}}
        with Session(self.store) as session:
            session.add(
                Request(hash=name, task=task, prompt_version="sha256:p", model="m", revision="r", body=json.dumps(body))
            )
            session.flush()
            text = answer if isinstance(answer, str) else json.dumps(answer)
            session.add(Answer(request_hash=name, content=text, finish_reason="stop", seconds=0.1, attempts=1))
            session.commit()
        return name

    def tags(
        self, user: str, prompt: str, tags: dict[str, Grade], *, interest: int | None = None, schema: Any = None,
        refused: Sequence[str] = (), gate: str = "form", seed: int = 0,
    ) -> str:  # fmt: skip
        """An answer that lists tags: those that became rows with their grades, and those that a gate refused."""
        interest = self.interest(user) if interest is None else interest
        request = self.request(prompt, {"tags": [*tags, *refused]}, schema=schema, seed=seed)
        with Session(self.store) as session:
            for text, grade in tags.items():
                row = Tag(
                    user_id=user, interest_id=interest, tag=text, rationale="", state="active", request_hash=request,
                    since_night=NIGHT,
                )  # fmt: skip
                session.add(row)
                session.flush()
                self._label(session, Task.TAGS, row.id, grade)
            for text in refused:
                session.add(Rejection(stage="tags", key=user, gate=gate, text=text, request_hash=request))
            session.commit()
        return request

    def line(self, interest: str, prompt: str, text: str, grade: Grade, item: str = "i1") -> str:
        request = self.request(prompt, {"explanation": text}, task="explanation_short")
        with Session(self.store) as session:
            row = Explanation(
                interest=interest, item_id=item, text=text, input_hash="", state="active", request_hash=request,
                since_night=NIGHT,
            )  # fmt: skip
            session.add(row)
            session.flush()
            self._label(session, Task.EXPLANATIONS, row.id, grade)
            session.commit()
        return request

    def passport(self, task: Task, kappa: float, specificity: float) -> None:
        """What an audit against people found of the judge."""
        with Session(self.store) as session:
            session.add(
                Passport(
                    task=task, judge=self.judge, prompt_versions={"relevant": "sha256:c", "valid": "sha256:c"},
                    labels_hash="sha256:l", figures={"against": "people"}, kappa=kappa, specificity=specificity, n=50,
                )
            )  # fmt: skip
            session.commit()

    def _label(self, session: Session, task: Task, target: int, grade: Grade) -> None:
        if grade is None:
            return
        add(
            session,
            [
                Label(
                    task=task, target_id=target, criterion=name, verdict=grade >= 0.5, p_yes=grade, threshold=0.5,
                    kind=self.kind, judge=self.judge, prompt_version="sha256:c", created_at=MOMENT,
                )
                for name in ("relevant", "valid")
            ],
        )  # fmt: skip
