"""Questions made of answers: a unit's rounds, over real HTTP, through the ledger."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from fake_server import FakeServer, Fault
from sqlalchemy.orm import Session

import prompts
from recgpt.config import Config
from recgpt.engine.asking import LanguageModel
from recgpt.engine.open import open_engine
from recgpt.engine.requests import Reply
from recgpt.settings import Engine
from recgpt.stages.answers import Refused, read_json
from recgpt.stages.night import Night
from recgpt.stages.work import Kept, Question, Settled, Tally, Work, plan, work, work_through
from recgpt.store.runs import recorded
from recgpt.store.session import open_store
from recgpt.store.tables import Rejection, Unit
from recgpt.words import Outcome, Stage

NIGHT = date(2026, 10, 31)
NAME = prompts.load("interest_name")
TASKS = {"plan": ["gardener", "cook"], "gardener": ["rakes"], "cook": ["pans"], "join gardener cook": ["rakes", "pans"]}
TASKS["join gardener"] = ["rakes"]


def about(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"]).strip().removeprefix("Products:").strip()


def says(body: dict[str, Any]) -> str:
    return json.dumps({"interest": TASKS[about(body)]})


def check(reply: Reply) -> list[str]:
    said = read_json(reply)["interest"]
    if not said:
        raise Refused("empty", reply.content)
    return list(said)


def planned(model: LanguageModel, seen: list[Any]) -> Work:
    """Plan -> one question for each that is planned -> all of those joined in one."""

    def question(text: str) -> Question:
        return Question((model.request(NAME, {"products": text}),), check)

    def then(settled: Sequence[Settled]) -> list[Question]:
        first, *rest = settled
        if not first.value:
            return []
        if not rest:
            return [question(one) for one in first.value]
        if len(rest) == len(first.value):
            names = " ".join(name for name, one in zip(first.value, rest, strict=True) if one.value)
            return [question(f"join {names}")]
        return []

    def keep(session: Session, settled: Sequence[Settled], run_id: int) -> Kept:
        seen.append([one.value for one in settled])
        return Kept(Outcome.OK)

    return work("u1", [question("plan")], keep, then=then)


class Bench:
    """One unit of three rounds, a store and the fake server."""

    def __init__(self, folder: Any, server: FakeServer) -> None:
        engine = Engine(kind="server", base_url=server.base_url, model="fake-model", revision="r1", retries=0)
        self.config, self.server, self.seen = Config(folder=folder, engine=engine), server, list[Any]()
        (folder / "work").mkdir()
        self.store = open_store(self.config)
        server.answer = says

    def do(self, step: Callable[[Night, LanguageModel], Any]) -> Any:
        async def opened() -> Any:
            async with open_engine(self.config, self.store) as model:
                nothing: Any = None  # these stages read no logs
                night = Night(self.config, self.store, nothing, NIGHT)
                done = step(night, model)
                return await done if asyncio.iscoroutine(done) else done

        return asyncio.run(opened())

    def through(self) -> Tally:
        def step(night: Night, model: LanguageModel) -> Any:
            return work_through(night, Stage.TAGS, model, [planned(model, self.seen)], run_id=record.id)

        with recorded(self.store, self.config, "tags", NIGHT) as record:
            return self.do(step)  # type: ignore[no-any-return]

    def rows(self, table: type[Any]) -> list[Any]:
        with Session(self.store) as session:
            return list(session.query(table))


def test_each_round_is_made_of_the_answers_before_it(tmp_path: Any, fake_server: FakeServer) -> None:
    bench = Bench(tmp_path, fake_server)
    assert bench.through().outcomes == {Outcome.OK: 1}
    assert bench.seen == [[["gardener", "cook"], ["rakes"], ["pans"], ["rakes", "pans"]]]
    assert sorted(map(about, fake_server.requests)) == ["cook", "gardener", "join gardener cook", "plan"]


def test_a_later_round_without_an_answer_leaves_the_unit_to_be_asked(tmp_path: Any, fake_server: FakeServer) -> None:
    bench = Bench(tmp_path, fake_server)
    fake_server.answer = lambda body: Fault("status") if about(body) == "cook" else says(body)
    assert bench.through().outcomes == {Outcome.UNAVAILABLE: 1}
    assert bench.seen == []
    (unit,) = bench.rows(Unit)
    assert unit.reason
    fake_server.answer, before = says, len(fake_server.requests)
    assert bench.through().outcomes == {Outcome.OK: 1}
    # What was answered is in the ledger, whichever round it was of.
    assert [about(body) for body in fake_server.requests[before:]] == ["cook", "join gardener cook"]


def test_what_a_later_round_refuses_is_stored_and_the_others_go_on(tmp_path: Any, fake_server: FakeServer) -> None:
    bench = Bench(tmp_path, fake_server)
    fake_server.answer = lambda body: '{"interest": []}' if about(body) == "cook" else says(body)
    tally = bench.through()
    assert tally.refused == {"empty": 1}
    (rejection,) = bench.rows(Rejection)
    assert (rejection.gate, rejection.text) == ("empty", '{"interest": []}')
    assert rejection.request_hash
    assert bench.seen == [[["gardener", "cook"], ["rakes"], None, ["rakes"]]]


def test_a_first_round_that_is_refused_ends_the_unit(tmp_path: Any, fake_server: FakeServer) -> None:
    bench = Bench(tmp_path, fake_server)
    fake_server.answer = lambda body: "no json"
    assert bench.through().refused == {"json": 1}
    assert bench.seen == [[None]]
    assert len(fake_server.requests) == 1


def test_a_dry_run_counts_the_first_round(tmp_path: Any, fake_server: FakeServer) -> None:
    bench = Bench(tmp_path, fake_server)
    tally = bench.do(lambda night, model: plan(night, Stage.TAGS, model, [planned(model, bench.seen)]))
    assert (tally.units, tally.to_ask, tally.replays) == (1, 1, 0)
    assert fake_server.requests == []
