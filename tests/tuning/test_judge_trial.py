"""A tuned judge beside the one that serves, on what people said of held-out users' rows."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_server import FakeServer
from judged import CATALOGUE, Judged
from learners import divided
from scripted import Body, claim, verdict
from sqlalchemy.orm import Session

from judges import load_criteria
from recgpt.config import Config
from recgpt.errors import DataError
from recgpt.labels.store import add
from recgpt.serving import Adapter, Serving
from recgpt.settings import Engine as EngineSettings
from recgpt.settings import Judge as JudgeSettings
from recgpt.settings import Tags
from recgpt.stages.night import Night
from recgpt.store.session import open_store
from recgpt.store.tables import Label
from recgpt.tuning.gate import AIM
from recgpt.tuning.judge_model import Case
from recgpt.tuning.judge_trial import tried, worth
from recgpt.words import Task

VALID, RELEVANT = (load_criteria("tags", [name])[0] for name in ("valid", "relevant"))


def case(number: int, key: str, *, yes: bool, criterion: Any = VALID) -> Case:
    return Case(criterion, "hiking", f"sock {number}", yes, key=key, source={"target": number, "judges": ["human:ann"]})


def test_the_mean_over_users_is_the_balanced_accuracy() -> None:
    cases = [
        *(case(n, "u1", yes=True) for n in range(6)),
        *(case(10 + n, "u2", yes=True) for n in range(2)),
        *(case(20 + n, "u2", yes=False) for n in range(2)),
        *(case(30 + n, "u3", yes=bool(n), criterion=RELEVANT) for n in range(2)),
    ]
    always_yes = worth(cases, {one.identity: True for one in cases}, ("u1", "u2", "u3", "u4"))
    assert np.nanmean(always_yes["valid"]) == np.nanmean(always_yes["relevant"]) == 0.5
    assert np.nanmean(always_yes[AIM]) == pytest.approx(0.5)
    assert np.isnan(always_yes["valid"]).tolist() == [False, False, True, True]
    right = {one.identity: one.verdict for one in cases}
    assert np.nanmean(worth(cases, right, ("u1", "u2", "u3"))[AIM]) == pytest.approx(1.0)
    # One of the two no of `valid` is missed, one of its eight yes has no verdict; `relevant` is as it should be.
    right[cases[8].identity], right[cases[0].identity] = True, None
    said = worth(cases, right, ("u1", "u2", "u3"))
    assert np.nanmean(said["valid"]) == pytest.approx((7 / 8 + 1 / 2) / 2)
    assert np.nanmean(said[AIM]) == pytest.approx(((7 / 8 + 1 / 2) / 2 + 1) / 2)


def test_both_are_asked_about_held_out_users_rows_alone(tmp_path: Path, fake_server: FakeServer) -> None:
    config = Config(
        folder=tmp_path,
        engine=EngineSettings(kind="server", base_url=fake_server.base_url, model="fake-model", revision="r1"),
        judge=JudgeSettings(form="verdict", criteria={Task.TAGS: ("valid",)}),
        tags=Tags(),
    )
    store = open_store(config)
    learners, held = divided([f"u{number}" for number in range(60)], config.tuning)
    judged = Judged(store)
    for user in (*learners[:3], *held[:6]):
        judged.tags(user, user, {f"good {user}": None, f"poor {user}": None})
    night: Any = Night(config, store, SimpleNamespace(catalogue=CATALOGUE), None)  # type: ignore[arg-type]
    served = Serving().with_adapter("judge.tags", Adapter("tuned", "sha256:aa", tmp_path))
    with pytest.raises(DataError, match="recgpt judge label tags"):
        asyncio.run(tried(night, Task.TAGS, served, 100))
    with Session(store) as session:
        rows = [
            Label(task="tags", target_id=2 * number + place + 1, criterion="valid", verdict=not place,
                  judge="human:ann", kind="human", prompt_version=VALID.version)
            for number in range(9) for place in range(2)
        ]  # fmt: skip
        add(session, rows)
        session.commit()

    def script(body: Body) -> Any:
        """Both know the criterion's own cases; of the rows only the tuned one knows which are poor."""
        known = {one.claim: one.verdict for one in VALID.cases}
        if claim(body) in known:
            return verdict(body, "yes" if known[claim(body)] else "no")
        return verdict(body, "no" if body["model"] == "tuned" and claim(body).startswith("poor") else "yes")

    fake_server.answer = script
    fake_server.models.append("tuned")
    found = asyncio.run(tried(night, Task.TAGS, served, 100))
    assert found.keys == tuple(sorted(held[:6]))
    assert (np.mean(found.new[AIM]), np.mean(found.old[AIM])) == (1.0, 0.5)
    assert (found.given, found.judge) == ({"new": 12, "old": 12}, "human:ann")
    asked = {claim(body) for body in fake_server.requests} - {one.claim for one in VALID.cases}
    assert asked == {f"{word} {user}" for word in ("good", "poor") for user in held[:6]}
    store.dispose()
