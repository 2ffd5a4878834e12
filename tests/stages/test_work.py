"""What `work_through` promises of units: each asked once, kept whole with its rows or not at all, and done for good."""

import asyncio
import gc
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fake_server import FakeServer, Fault
from sqlalchemy import select
from sqlalchemy.orm import Session

import prompts
from recgpt.config import Config
from recgpt.engine.asking import LanguageModel
from recgpt.engine.open import open_engine
from recgpt.engine.requests import Reply
from recgpt.settings import Engine
from recgpt.stages import work as module
from recgpt.stages.answers import Refused, read_json
from recgpt.stages.night import Night
from recgpt.stages.work import Kept, Question, Settled, Tally, Work, work, work_through
from recgpt.store.runs import recorded
from recgpt.store.session import open_store
from recgpt.store.tables import Answer as AnswerRow
from recgpt.store.tables import Explanation, Rejection, Unit
from recgpt.words import Outcome, Stage, State

NIGHT = date(2026, 10, 31)
NAME = prompts.load("interest_name")


def about(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"]).strip().removeprefix("Products:").strip()


class Bench:
    """Units that ask what a thing is called and keep a row of it, a store, and the fake server."""

    def __init__(self, folder: Path, server: FakeServer) -> None:
        engine = Engine(
            kind="server", base_url=server.base_url, model="fake-model", revision="r1", retries=0, in_flight=4
        )
        self.config, self.server = Config(folder=folder, engine=engine), server
        self.store = open_store(self.config)
        server.answer = lambda body: json.dumps({"interest": about(body)})

    def unit(self, model: LanguageModel, key: str, *made_of: Any) -> Work:
        def check(reply: Reply) -> str:
            name = str(read_json(reply)["interest"])
            if name.startswith("bad"):
                raise Refused("bad", name * 1000, "why")
            return name

        def keep(session: Session, settled: Sequence[Settled], run_id: int) -> Kept:
            (answer,) = settled
            if key == "bug":
                raise ZeroDivisionError("a bug")
            query = select(Explanation).where(Explanation.item_id == key, Explanation.state == State.ACTIVE)
            for old in session.scalars(query):
                old.state = State.RETIRED
            if answer.value is None:
                return Kept(Outcome.INVALID, "refused")
            session.add(
                Explanation(
                    interest="", item_id=key, text=answer.value, input_hash="", state=State.ACTIVE, since_night=NIGHT,
                    request_hash=answer.request_hash, run_id=run_id,
                )
            )  # fmt: skip
            return Kept(Outcome.OK, refusals=[(Refused("noted", key), answer.request_hash)])

        question = Question((model.request(NAME, {"products": key}),), check)
        return work(key, [question], keep, *made_of)

    def run(self, *keys: str, made_of: str = "") -> Tally:
        async def opened() -> Tally:
            async with open_engine(self.config, self.store) as model:
                with recorded(self.store, self.config, Stage.EXPLAIN, NIGHT) as record:
                    night = Night(self.config, self.store, None, NIGHT)  # type: ignore[arg-type]
                    units = (self.unit(model, key, made_of) for key in keys)
                    return await work_through(night, Stage.EXPLAIN, model, units, run_id=record.id)

        return asyncio.run(opened())

    def rows(self, table: type[Any]) -> list[Any]:
        with Session(self.store) as session:
            return list(session.scalars(select(table)))

    def active(self) -> Counter[str]:
        return Counter(row.text for row in self.rows(Explanation) if row.state == State.ACTIVE)


@pytest.fixture
def bench(tmp_path: Path, fake_server: FakeServer) -> Bench:
    return Bench(tmp_path, fake_server)


def keys(count: int) -> list[str]:
    return [f"thing {number}" for number in range(count)]


def test_every_unit_is_asked_and_kept_once_and_then_done(bench: Bench) -> None:
    named = keys(3 * module.COMMIT + 7)
    tally = bench.run(*named)
    assert (tally.units, tally.finished, tally.outcomes) == (len(named), len(named), {"ok": len(named)})
    assert bench.active() == Counter(named)
    assert {row.key: row.outcome for row in bench.rows(Unit)} == dict.fromkeys(named, "ok")
    asked = len(bench.server.requests)
    again = bench.run(*named)
    assert (again.untouched, asked, len(bench.server.requests)) == (len(named), len(named), asked)
    assert bench.active() == Counter(named)


def test_other_inputs_take_the_unit_s_place(bench: Bench) -> None:
    bench.run("thing")
    (before,) = bench.rows(Unit)
    bench.run("thing", made_of="new rules")
    (after,) = bench.rows(Unit)
    assert (after.key, after.outcome, after.run_id) == ("thing", "ok", before.run_id + 1)
    assert after.input_hash != before.input_hash
    assert bench.active() == {"thing": 1}
    assert len(bench.rows(Explanation)) == 2
    assert len(bench.server.requests) == 1  # the answer is replayed


def test_refusals_are_kept_with_their_unit(bench: Bench) -> None:
    tally = bench.run("good", "bad one")
    refused = {row.key: row for row in bench.rows(Rejection)}
    assert (refused["good"].gate, refused["good"].text) == ("noted", "good")
    assert (refused["bad one"].gate, refused["bad one"].detail, len(refused["bad one"].text)) == ("bad", "why", 2000)
    hashes = {row.request_hash for row in bench.rows(AnswerRow)}
    assert {row.request_hash for row in refused.values()} == hashes
    assert tally.refused == {"noted": 1, "bad": 1}
    assert {row.key: (row.outcome, row.reason) for row in bench.rows(Unit)} == {
        "good": ("ok", ""), "bad one": ("invalid", "refused"),
    }  # fmt: skip


def test_no_answer_leaves_the_unit_to_be_asked(bench: Bench) -> None:
    usual, bench.server.answer = bench.server.answer, lambda body: Fault("close")
    assert bench.run("thing").outcomes == {"unavailable": 1}
    assert bench.rows(Explanation) == []
    bench.server.answer = usual
    assert bench.run("thing").outcomes == {"ok": 1}
    (row,) = bench.rows(Unit)
    assert row.outcome == "ok"


def test_a_batch_that_fails_leaves_nothing_but_its_answers(bench: Bench) -> None:
    named = keys(3 * module.COMMIT)
    with pytest.raises(ZeroDivisionError):
        bench.run(*named[:-20], "bug", *named[-20:])
    kept = {row.key for row in bench.rows(Unit)}
    assert kept == set(bench.active())  # units with their rows, and no row without its unit
    assert 2 * module.COMMIT <= len(kept) < len(named)
    asked = len(bench.server.requests)
    tally = bench.run(*named)
    assert (tally.untouched, tally.outcomes) == (len(kept), {"ok": len(named)})
    assert len(bench.server.requests) == asked  # every answer was on disk


@pytest.mark.parametrize("key", ["thing", "bug"])
def test_the_garbage_collector_is_left_as_it_was(bench: Bench, key: str) -> None:
    usual, before, own, during = bench.server.answer, gc.get_threshold(), (701, 11, 12), []

    def answer(body: dict[str, Any]) -> Any:
        during.append(gc.get_threshold())
        return usual(body)

    bench.server.answer = answer
    gc.set_threshold(*own)
    try:
        with pytest.raises(ZeroDivisionError) if key == "bug" else nullcontext():
            bench.run(key)
        assert gc.get_threshold() == own
    finally:
        gc.set_threshold(*before)
    assert during == [(module.YOUNG, 20, 20)]
