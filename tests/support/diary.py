"""A project whose users do only what a test says, and a model that answers what it says: for the nights of a memory."""

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from scripted import Body, last, task
from sqlalchemy.orm import Session

from recgpt import nightly
from recgpt.sources.shop import CATEGORIES
from recgpt.stages.interests.memory import MemoryUnit, memory_as_of
from recgpt.words import Stage

NIGHT = date(2026, 10, 31)
Says = Callable[[str], list[Any]]  # from a prompt's text to the entries of the answer


class Diary:
    """Days are given as so many before NIGHT. Items are the demo shop's, by category: ("Baking", 0) is its first."""

    def __init__(self, project: Any, strategy: str = "read") -> None:
        self.project = project
        self.found: Says = lambda text: []
        self.operations: Says = lambda text: []
        self.names: Callable[[str], str] = lambda text: text.removeprefix("- ").split(":")[0]
        project.server.answer = self._answer
        project.configure(interests={"strategy": strategy})
        items = pq.read_table(project.folder / "data" / "items.parquet").to_pylist()
        self.items: dict[str, list[str]] = {}
        for item in items:
            self.items.setdefault(item["category"].split(" > ")[-1], []).append(item["item_id"])
        self.users = pq.read_table(project.folder / "data" / "users.parquet")["user_id"].to_pylist()
        self.user: str = self.users[0]
        events = project.folder / "data" / "events.parquet"
        pq.write_table(pq.read_table(events).slice(0, 0), events)

    def _answer(self, body: Body) -> str:
        match task(body):
            case "interests_read":
                return json.dumps({"interests": self.found(last(body))})
            case "interests_update":
                return json.dumps({"operations": self.operations(last(body))})
            case "interest_name":
                return json.dumps({"interest": self.names(last(body))})
        raise AssertionError(task(body))

    def did(self, days: Sequence[int], category: str, first: int = 0, behaviour: str = "view", user: str = "") -> None:
        """On each of these days the same thing to another item of the category, from the item `first` on."""
        self.log([(day, category, first + place, behaviour) for place, day in enumerate(days)], user)

    def log(self, rows: Sequence[tuple[int, str, int, str]], user: str = "") -> None:
        path = self.project.folder / "data" / "events.parquet"
        table = pq.read_table(path)
        events = [
            {
                "user_id": user or self.user,
                "timestamp": datetime.combine(NIGHT - timedelta(days=ago), time(9, number % 60), UTC),
                "behaviour": behaviour,
                "item_id": None if behaviour == "search" else self.items[category][number],
                "query": category if behaviour == "search" else None,
                "value": None,
            }
            for ago, category, number, behaviour in rows
        ]
        pq.write_table(pa.concat_tables([table, pa.Table.from_pylist(events, schema=table.schema)]), path)

    def run(self, ago: int = 0, **options: Any) -> dict[str, Any]:
        """Run the interests of the night so many days before NIGHT. Returns its counts."""
        summary: nightly.Summary = self.project.run(Stage.INTERESTS, day=NIGHT - timedelta(days=ago), **options)
        return summary.stages[0].counts

    def memory(self, ago: int = 0, user: str = "") -> tuple[MemoryUnit, ...]:
        with Session(self.project.store) as session:
            return memory_as_of(session, user or self.user, NIGHT - timedelta(days=ago))

    def asked(self, ago: int) -> list[str]:
        """The texts that the run of that night sent, run now."""
        before = len(self.project.server.requests)
        self.run(ago)
        return [last(body) for body in self.project.server.requests[before:]]


def numbers(text: str, category: str) -> list[int]:
    """The numbers in a prompt's text at which a product of the category, or a search for it, stands."""
    [one] = [one for one in CATEGORIES if one.path.endswith(f" > {category}")]
    names = [line.split(";")[0].strip().lower() for line in one.products.strip().splitlines()]
    labels = re.findall(r"\[(\d+)\] (.*?)(?=; \[\d+\] |$)", text, flags=re.MULTILINE)
    return [
        int(number) for number, label in labels if any(name in label.lower() for name in [*names, category.lower()])
    ]


def unit_number(text: str, name: str) -> int:
    return int(re.findall(rf"^M(\d+) {re.escape(name)} \(", text, flags=re.MULTILINE)[0])


def interest(name: str, evidence: Any, horizon: str = "long_term") -> dict[str, Any]:
    return {"evidence": evidence, "reason": "comes back often", "name": name, "horizon": horizon}


def operation(kind: str, unit: Any = 1, evidence: Any = (), reason: str = "it goes on", **more: Any) -> dict[str, Any]:
    """An entry of an answer; evidence may be a category: whatever numbers its events have in the text."""
    return {"operation": kind, "unit": unit, "evidence": evidence, "reason": reason, **more}


def says(*entries: Any) -> Says:
    def said(text: str) -> list[Any]:
        return [
            {**entry, "evidence": numbers(text, entry["evidence"])}
            if isinstance(entry, dict) and isinstance(entry.get("evidence"), str)
            else entry
            for entry in entries
        ]

    return said
