"""Replay, bound, retry, give up: what `ask` promises, against a server that speaks real HTTP."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from fake_server import Answer, FakeServer, Fault, from_schema, schema_of, status
from sqlalchemy import Engine as Store
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from recgpt.config import Config
from recgpt.engine.asking import GIVE_UP_AFTER, LanguageModel, Usage
from recgpt.engine.open import open_engine
from recgpt.engine.requests import Reply
from recgpt.errors import BudgetSpent, EngineError, RecgptError, StoreError
from recgpt.store.tables import Answer as AnswerRow
from recgpt.words import Outcome

T = TypeVar("T")
Config_ = Callable[..., Config]


def run(config: Config, store: Store, work: Callable[[LanguageModel], Awaitable[T]], **options: Any) -> T:
    async def opened() -> T:
        async with open_engine(config, store, **options) as model:
            return await work(model)

    return asyncio.run(opened())


def asking(prompt: Any, *texts: str) -> Callable[[LanguageModel], Awaitable[list[Reply]]]:
    async def work(model: LanguageModel) -> list[Reply]:
        return await asyncio.gather(*(model.ask(model.request(prompt, {"text": text})) for text in texts))

    return work


def said(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def test_an_answer_is_kept_and_replayed(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    (first,) = run(make_config(), store, asking(prompt, "a"))
    assert (first.outcome, first.replayed, first.attempts) == (Outcome.OK, False, 1)
    (again,) = run(make_config(), store, asking(prompt, "a"))
    assert (again.content, again.replayed) == (first.content, True)
    run(make_config(revision="r2"), store, asking(prompt, "a"))
    assert len(fake_server.requests) == 2  # other weights, other answers


def test_an_answer_is_on_disk_before_ask_returns(store: Store, make_config: Config_, prompt: Any) -> None:
    async def work(model: LanguageModel) -> None:
        reply = await model.ask(model.request(prompt, {"text": "a"}))
        with Session(store) as session:
            assert session.get_one(AnswerRow, reply.request.hash).content == reply.content

    run(make_config(), store, work)


def test_the_same_request_twice_at_once_is_sent_once(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    async def work(model: LanguageModel) -> Usage:
        replies = await asking(prompt, "a", "a", "a", "b")(model)
        assert {reply.outcome for reply in replies} == {Outcome.OK}
        assert [reply.replayed for reply in replies] == [False, True, True, False]
        return model.usage

    usage = run(make_config(), store, work)
    assert (usage.asked, usage.replayed, len(fake_server.requests)) == (2, 2, 2)


def test_no_more_than_in_flight_are_with_the_server(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    most = 0

    def answer(body: dict[str, Any]) -> Answer:
        nonlocal most
        most = max(most, len(fake_server._connections))
        return Answer("{}", after=0.01)

    fake_server.answer = answer
    run(make_config(in_flight=3), store, asking(prompt, *map(str, range(20))))
    assert most == 3


@pytest.mark.parametrize(
    "fault",
    [
        status(429, retry_after="0"), status(500), status(503, retry_after="0"), Fault("close"), Fault("half"),
        Fault("garbage"), Fault("html"), Fault("model"), Fault("no_choices"),
    ],
    ids=lambda fault: fault.kind if fault.kind != "status" else str(fault.status),
)  # fmt: skip
def test_what_can_pass_is_tried_again(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any, fault: Fault
) -> None:
    fake_server.answer = lambda body: fault if len(fake_server.requests) < 3 else "{}"
    (reply,) = run(make_config(), store, asking(prompt, "a"))
    assert (reply.outcome, reply.content, reply.attempts) == (Outcome.OK, "{}", 3)


def test_retry_after_is_waited_for(fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any) -> None:
    moments = []

    def answer(body: dict[str, Any]) -> str | Fault:
        moments.append(asyncio.get_running_loop().time())
        return status(429, retry_after="0.4") if len(moments) == 1 else "{}"

    fake_server.answer = answer
    run(make_config(), store, asking(prompt, "a"))
    assert moments[1] - moments[0] >= 0.4


def test_what_does_not_pass_is_unavailable_and_asked_by_the_next_run(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    fake_server.answer = lambda body: status(503, "loading") if said(body) == "a" else "{}"
    bad, good = run(make_config(), store, asking(prompt, "a", "b"))
    assert (bad.outcome, bad.attempts, bad.reason) == (Outcome.UNAVAILABLE, 4, "the server said 503: loading")
    assert good.outcome is Outcome.OK
    fake_server.answer = lambda body: "{}"
    (bad,) = run(make_config(), store, asking(prompt, "a"))
    assert (bad.outcome, bad.replayed) == (Outcome.OK, False)


def test_a_server_that_wants_an_hour_is_not_waited_for(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    fake_server.answer = lambda body: status(429, retry_after="3600")
    (reply,) = run(make_config(), store, asking(prompt, "a"))
    assert (reply.outcome, reply.attempts) == (Outcome.UNAVAILABLE, 1)


def test_a_refused_request_is_invalid_with_the_servers_reason_and_not_repeated(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    fake_server.answer = lambda body: status(400, "maximum context length") if said(body) == "a" else "{}"
    bad, good = run(make_config(), store, asking(prompt, "a", "b"))
    assert (bad.outcome, bad.attempts) == (Outcome.INVALID, 1)
    assert "maximum context length" in bad.reason
    assert good.outcome is Outcome.OK
    assert len(fake_server.requests) == 2


def test_an_answer_cut_at_max_tokens_is_an_answer(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    fake_server.answer = lambda body: Answer('{"reason": "be', finish_reason="length")
    for replayed in (False, True):
        (reply,) = run(make_config(), store, asking(prompt, "a"))
        assert (reply.outcome, reply.finish_reason, reply.replayed) == (Outcome.OK, "length", replayed)


def test_a_server_that_goes_away_stops_the_run_and_the_next_one_goes_on(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    async def work(model: LanguageModel) -> None:
        await asking(prompt, "a", "b")(model)
        await asyncio.to_thread(fake_server.stop)
        await asking(prompt, "c")(model)

    with pytest.raises(EngineError, match=r"recgpt engine serve.*run the same command again"):
        run(make_config(), store, work)
    fake_server.start()
    replies = run(make_config(), store, asking(prompt, "a", "b", "c"))
    assert [reply.replayed for reply in replies] == [True, True, False]


def test_a_server_that_is_back_in_time_is_waited_for(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recgpt.engine.asking.FIRST_WAIT_S", 0.5)

    async def work(model: LanguageModel) -> list[Reply]:
        await asyncio.to_thread(fake_server.stop)
        back = threading.Timer(0.2, fake_server.start)
        back.start()
        return await asking(prompt, "a")(model)

    (reply,) = run(make_config(), store, work)
    assert reply.outcome is Outcome.OK
    assert reply.attempts > 1


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [(status(500), "engine serve"), (status(400), r"rendering\.max_tokens"), (Fault("model"), "another-model")],
    ids=["500", "400", "model"],
)
def test_too_many_failures_in_a_row_stop_the_run(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any, fault: Fault, remedy: str
) -> None:
    fake_server.answer = lambda body: fault

    async def work(model: LanguageModel) -> None:
        for i in range(GIVE_UP_AFTER - 1):
            (reply,) = await asking(prompt, str(i))(model)
            assert reply.outcome is not Outcome.OK
        with pytest.raises(EngineError, match=f"{GIVE_UP_AFTER} requests in a row.*{remedy}"):
            await asking(prompt, "last")(model)
        seen = len(fake_server.requests)
        with pytest.raises(EngineError):
            await asking(prompt, "one more")(model)
        assert len(fake_server.requests) == seen

    run(make_config(retries=0), store, work)


def test_an_answer_between_failures_is_a_sign_of_life(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    fake_server.answer = lambda body: "{}" if int(said(body)) % 10 == 9 else status(500)

    async def work(model: LanguageModel) -> Counter[str]:
        return Counter([(await asking(prompt, str(i))(model))[0].outcome.value for i in range(60)])

    assert run(make_config(retries=0), store, work) == {"ok": 6, "unavailable": 54}


def test_slow_failures_that_end_together_do_not_stop_the_run(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    # Sent while others were being answered, all of them end after the last answer.
    fake_server.answer = lambda body: "{}" if said(body) == "49" else Fault("stall", seconds=60)
    replies = run(make_config(retries=0, timeout_s=1.0), store, asking(prompt, *map(str, range(50))))
    assert Counter(reply.outcome.value for reply in replies) == {"ok": 1, "unavailable": 49}


@pytest.mark.parametrize(("code", "key"), [(401, "engine.api_key_env"), (404, "engine.model")])
def test_no_permission_or_no_model_stops_the_run_at_once(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any, code: int, key: str
) -> None:
    fake_server.answer = lambda body: status(code)
    with pytest.raises(EngineError, match=key):
        run(make_config(), store, asking(prompt, "a"))
    assert len(fake_server.requests) == 1


def test_a_spent_budget_stops_the_run_and_the_next_one_goes_on(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    async def work(model: LanguageModel) -> None:
        for i in range(10):
            await asking(prompt, str(i))(model)

    with pytest.raises(BudgetSpent, match="budget of 30 tokens is spent") as caught:
        run(make_config(), store, work, max_tokens=30)
    assert caught.value.exit_code == 3
    done = len(fake_server.requests)
    assert 0 < done < 10
    run(make_config(), store, work)
    assert len(fake_server.requests) == 10  # none of the `done` twice


def test_a_store_that_fills_up_stops_the_run_before_more_is_bought(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    @event.listens_for(store, "connect")
    def no_growth(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA max_page_count=1")

    store.dispose()
    fake_server.answer = lambda body: "x" * 100_000

    async def work(model: LanguageModel) -> None:
        for _ in range(2):
            with pytest.raises(StoreError, match="disk is full"):
                await asking(prompt, "a")(model)

    run(make_config(), store, work)
    assert len(fake_server.requests) == 1


def test_what_is_given_up_is_asked_no_more_and_the_model_goes_on(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    fake_server.answer = lambda body: "{}" if said(body) == "quick" else Fault("stall", seconds=10_000)

    async def work(model: LanguageModel) -> None:
        heard: list[Any] = []
        model.told = heard.append
        waiting = [asyncio.create_task(model.ask(model.request(prompt, {"text": str(n)}))) for n in range(9)]
        while len(fake_server.requests) < 2:
            await asyncio.sleep(0.01)
        await model.give_up()
        assert all(
            isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*waiting, return_exceptions=True)
        )
        reply = await model.ask(model.request(prompt, {"text": "quick"}))
        assert (reply.outcome, heard) == (Outcome.OK, [reply])

    run(make_config(in_flight=2), store, work)
    assert len(fake_server.requests) == 3  # those that waited for a slot were never sent


def test_a_cancelled_caller_leaves_the_answer_to_the_ledger(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    fake_server.answer = lambda body: Answer("{}", after=0.2)

    async def work(model: LanguageModel) -> None:
        request = model.request(prompt, {"text": "a"})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(model.ask(request), 0.05)
        assert (await model.ask(request)).outcome is Outcome.OK

    run(make_config(), store, work)
    assert len(fake_server.requests) == 1


def test_leaving_does_not_wait_for_the_server(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    fake_server.answer = lambda body: Fault("stall", seconds=10_000) if said(body) == "slow" else "{}"

    async def work(model: LanguageModel) -> None:
        slow = asyncio.create_task(asking(prompt, "slow")(model))
        await asking(prompt, "a")(model)
        slow.cancel()

    run(make_config(timeout_s=10_000), store, work)
    assert run(make_config(), store, asking(prompt, "a"))[0].replayed


def test_a_dry_run_counts_replays_and_speaks_to_nobody(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    run(make_config(), store, asking(prompt, "a", "b"))
    fake_server.stop()

    async def work(model: LanguageModel) -> list[bool]:
        requests = [model.request(prompt, {"text": text}) for text in ("a", "b", "c")]
        held = model.replayed(requests)
        return [request.hash in held for request in requests]

    assert run(make_config(), store, work, contact=False) == [True, True, False]
    fake_server.start()


def test_usage_is_a_difference_of_two_moments(store: Store, make_config: Config_, prompt: Any) -> None:
    async def work(model: LanguageModel) -> Usage:
        await asking(prompt, "a")(model)
        before = model.usage
        await asking(prompt, "a", "b")(model)
        return model.usage - before

    used = run(make_config(), store, work)
    assert (used.asked, used.replayed, used.ok) == (1, 1, 1)
    assert used.tokens == used.tokens_in + used.tokens_out > 0


def test_among_mixed_faults_every_request_ends_and_the_sums_agree(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any
) -> None:
    dice = random.Random(5)
    faults = [
        status(429, retry_after="0"), status(500), status(503), Fault("close"), Fault("half"), Fault("garbage"),
        Fault("html"), Fault("model"), Fault("no_choices"), status(400),
    ]  # fmt: skip
    fake_server.answer = lambda body: dice.choice(faults) if dice.random() < 0.2 else from_schema(schema_of(body))

    async def work(model: LanguageModel) -> tuple[list[Reply], Usage]:
        return await asking(prompt, *map(str, range(1000)))(model), model.usage

    replies, usage = run(make_config(), store, work)
    ends = Counter(reply.outcome.value for reply in replies)
    assert ends.total() == usage.asked == 1000
    assert (usage.ok, usage.invalid, usage.unavailable) == (ends["ok"], ends["invalid"], ends["unavailable"])
    assert usage.asked + usage.retries == len(fake_server.requests)
    assert ends["ok"] > 900
    assert ends["invalid"] > 0
    assert all(reply.reason for reply in replies if reply.outcome is not Outcome.OK)
    with Session(store) as session:
        assert len(session.scalars(select(AnswerRow.request_hash)).all()) == ends["ok"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "adapter-7"}, r"does not serve 'adapter-7', only 'fake-model'"),
        ({"base_url": "http://127.0.0.1:1/v1"}, "does not answer.*recgpt engine serve"),
        ({"api_key_env": "NO_SUCH_KEY"}, "export NO_SUCH_KEY"),
    ],
)
def test_an_engine_that_is_not_there_is_said_when_it_is_opened(
    store: Store, make_config: Config_, change: dict[str, Any], words: str
) -> None:
    async def work(model: LanguageModel) -> None:
        raise AssertionError("opened")

    with pytest.raises(RecgptError, match=words):
        run(make_config(**change), store, work)


def test_the_key_comes_from_the_environment(
    fake_server: FakeServer, store: Store, make_config: Config_, prompt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_server.key = "secret-key"
    monkeypatch.setenv("SHOP_KEY", "secret-key")
    (reply,) = run(make_config(api_key_env="SHOP_KEY"), store, asking(prompt, "a"))
    assert reply.outcome is Outcome.OK
    with pytest.raises(EngineError, match=r"engine\.api_key_env"):
        run(make_config(), store, asking(prompt, "a"))
