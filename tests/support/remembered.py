"""A project with one user whose interests are given, for tests of what is made of interests.

The interests are written straight into the store, so these tests stand on nothing that the interests stage does.
"""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
from scripted import Body, last, task
from sqlalchemy.orm import Session

from recgpt.store.tables import Interest, Rejection, Tag
from recgpt.words import Stage, State

SHOES, SOCKS, VEST = "waterproof trail shoes", "merino running socks", "light running vest"
GRINDER, KETTLE = "burr coffee grinder", "gooseneck pouring kettle"
WRITTEN = {"trail running": [SHOES, SOCKS], "coffee": [GRINDER, KETTLE]}
NIGHT = date(2026, 10, 31)


class Memory:
    """A project with one user who has two interests, and a model that writes `WRITTEN` unless told otherwise."""

    def __init__(self, project: Any) -> None:
        self.project = project
        self.user = project.events()[0]["user_id"]
        self.written = {name: list(tags) for name, tags in WRITTEN.items()}
        self.running = self.add("trail running", "Trail running")
        self.coffee = self.add("coffee", "Coffee making")
        self.configure()
        project.server.answer = self.answer

    def configure(self, **settings: Any) -> None:
        self.project.configure(tags={"strategy": "single", "retrievable": 0.2, **settings})

    def items(self) -> list[dict[str, Any]]:
        return list(pq.read_table(self.project.folder / "data" / "items.parquet").to_pylist())

    def item(self, leaf: str, number: int = 0) -> str:
        return str([row["item_id"] for row in self.items() if row["category"].endswith(leaf)][number])

    def add(self, name: str, leaf: str, user: str = "", since: date = NIGHT, **changes: Any) -> int:
        moment = datetime(2026, 9, 1, tzinfo=UTC)
        evidence = [self.event(leaf, number, moment + timedelta(days=number), since) for number in range(3)]
        row = {
            "user_id": user or self.user, "name": name, "horizon": "long_term", "evidence": evidence,
            "since_night": since, "first_seen": moment, "last_confirmed": moment, "state": State.ACTIVE,
            "operation": "add", **changes,
        }  # fmt: skip
        with Session(self.project.store) as session:
            interest = Interest(**row)
            session.add(interest)
            session.commit()
            return int(interest.id)

    def event(self, leaf: str, number: int, moment: datetime, night: date) -> dict[str, Any]:
        return {
            "number": number, "timestamp": moment.isoformat(), "behaviour": "view",
            "item_id": self.item(leaf, number), "night": night.isoformat(),
        }  # fmt: skip

    def change(self, interest: int, change: Callable[[Interest], None]) -> None:
        with Session(self.project.store) as session:
            change(session.get_one(Interest, interest))
            session.commit()

    def answer(self, body: Body) -> Any:
        assert task(body) == "tags_single"
        return self.entries(last(body))

    def entries(self, listed: str) -> str:
        """The tags of every interest that a prompt lists as `[number] name (...)`."""
        found = []
        for line in listed.splitlines():
            number, _, rest = line.removeprefix("[").partition("] ")
            for tag in self.written.get(rest.split(" (")[0], []) if line.startswith("[") else []:
                found.append({"interest": int(number), "rationale": f"goes with {rest.split(' (')[0]}", "tag": tag})
        return json.dumps({"tags": found})

    def run(self, day: date = NIGHT) -> Any:
        (stage,) = self.project.run(Stage.TAGS, day=day).stages
        return stage.counts

    def tags(self, state: State = State.ACTIVE) -> dict[str, Tag]:
        return {row.tag: row for row in self.project.rows(Tag, Tag.state == state)}

    def gates(self) -> set[str]:
        return {row.gate for row in self.project.rows(Rejection, Rejection.stage == Stage.TAGS)}
