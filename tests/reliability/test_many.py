"""Ten thousand users, and a fault in every fifth answer: nobody is forgotten, nothing bought twice, all sums agree."""

import json
import random
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fake_server import Answer, FakeServer, Fault, status
from project import NIGHT, Project
from scripted import Body, last
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recgpt.store.tables import Answer as AnswerRow
from recgpt.store.tables import Rejection, Unit
from recgpt.words import Outcome, Stage

USERS = 10_000
CATEGORIES = ("Running", "Baking", "Camping", "Chess", "Sewing")
SHARE = 0.2
FAULTS = {  # by weight
    status(429, retry_after="0"): 10, status(429, retry_after="Thu, 01 Jan 2026 00:00:00 GMT"): 10, status(500): 20,
    status(503): 20, Fault("close"): 20, Fault("half"): 20, Fault("garbage"): 20, Fault("utf8"): 10, Fault("html"): 20,
    Fault("nothing"): 10, Fault("no_choices"): 10, Fault("model"): 20, status(400): 5, Fault("huge"): 1,
    Fault("endless"): 1,
}  # fmt: skip
SLOW = (Fault("stall", seconds=60), Fault("trickle", seconds=1))  # they cost a time-out, so they are few, and not last


def light_shop(folder: Path) -> None:
    """Users of five purchases each, made in a moment; which ones spells the user's number, so no two read alike."""
    items = [{"item_id": f"i{i}", "title": f"Thing no. {i}", "category": CATEGORIES[i // 10]} for i in range(50)]
    events = [
        {
            "user_id": f"u{user:05}",
            "timestamp": 1_780_000_000 + 86_400 * 20 * step,
            "behaviour": "purchase",
            "item_id": f"i{step * 10 + int(digit)}",
        }
        for user in range(USERS)
        for step, digit in enumerate(f"{user:05}")
    ]
    (folder / "data").mkdir()
    for name, rows in {
        "users": [{"user_id": f"u{user:05}"} for user in range(USERS)],
        "items": items,
        "events": events,
    }.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / "data" / f"{name}.parquet")


class Model:
    """One in five tries meets a fault. An answer finds an interest, finds none, or breaks a rule."""

    def __init__(self) -> None:
        self.dice = random.Random(11)
        self.share = SHARE
        self.posts = 0
        self.answered: Counter[str] = Counter()  # by the text of the profile, which differs from user to user

    def __call__(self, body: Body) -> str | Answer | Fault:
        self.posts += 1
        if self.share and self.posts < USERS // 2 and self.posts % 250 == 0:
            return self.dice.choice(SLOW)
        if self.dice.random() < self.share:
            return self.dice.choices(list(FAULTS), list(FAULTS.values()))[0]
        text = last(body)
        self.answered[text] += 1
        match zlib.crc32(text.encode()) % 10:
            case 0:
                return "Sure! The interests are"
            case 1:
                return '{"interests": 3}'
            case 2:
                return '{"interests": []}'
            case kind:
                name = "religious books" if kind == 3 else "trail running"
                reason = "It comes back all year."
                found = {"evidence": [1, 2, 3, 4, 5], "reason": reason, "name": name, "horizon": "long_term"}
                return json.dumps({"interests": [found]})


def test_ten_thousand_requests_with_mixed_faults(tmp_path: Path, fake_server: FakeServer) -> None:
    light_shop(tmp_path)
    model = fake_server.answer = Model()
    fake_server.keep = False
    project = Project(tmp_path, fake_server)
    project.configure(
        engine={"in_flight": 128, "timeout_s": 10.0, "retries": 1},
        interests={"strategy": "read"},
        nightly={"min_coverage": 0.99},
    )

    def night() -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-m", "cli.app", "interests", "--json", "-c", str(tmp_path), "--date", str(NIGHT)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
        assert done.returncode in (0, 3), done.stderr
        (stage,) = json.loads(done.stdout)["stages"]
        return done.returncode, stage

    def units() -> list[Unit]:
        return project.rows(Unit, Unit.stage == Stage.INTERESTS)

    def answers() -> int:
        with Session(project.store) as session:
            return session.scalar(select(func.count()).select_from(AnswerRow)) or 0

    code, stage = night()
    ends = Counter(unit.outcome for unit in units())
    assert code == 3  # many users have no answer
    assert ends.total() == stage["units"] == USERS
    assert {outcome: stage[outcome] for outcome in Outcome} == ends
    assert min(ends[Outcome.OK], ends[Outcome.INVALID], ends[Outcome.UNAVAILABLE]) > 100
    assert all(unit.reason for unit in units() if unit.outcome != Outcome.OK)
    refused = {row.key for row in project.rows(Rejection)}
    assert {unit.key for unit in units() if unit.outcome == Outcome.INVALID} <= refused
    assert stage["coverage"] == 1 - ends[Outcome.UNAVAILABLE] / USERS

    usage = stage["usage"]
    assert usage["asked"] == USERS
    assert usage["asked"] + usage["retries"] == model.posts
    assert usage["ok"] == answers() == model.answered.total() == len(model.answered)
    assert usage["unavailable"] == ends[Outcome.UNAVAILABLE]
    assert usage["ok"] + usage["invalid"] + usage["unavailable"] == USERS

    before, model.posts, model.share = answers(), 0, 0.0
    code, stage = night()
    assert code == 0
    assert (stage["untouched"], stage["unavailable"]) == (USERS - ends[Outcome.UNAVAILABLE], 0)
    assert model.posts == stage["usage"]["asked"] == ends[Outcome.UNAVAILABLE]
    assert answers() == before + model.posts
    assert model.answered.total() == len(model.answered)  # no profile was ever read twice
    assert Counter(unit.outcome for unit in units())[Outcome.UNAVAILABLE] == 0
