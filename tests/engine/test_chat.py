"""The chat model against a server that misbehaves in every way we know of, over real HTTP."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

import pytest
from fake_server import Answer, FakeServer, Fault, status
from langchain_core.messages import HumanMessage
from pydantic import SecretStr

from recgpt.engine.chat import Completion, PassingError, RefusedError, ServerChat, UnreachableError
from recgpt.errors import EngineError

T = TypeVar("T")
BODY = json.dumps({"model": "fake-model", "messages": [{"role": "user", "content": "hello"}]})


def using(server: FakeServer, work: Callable[[ServerChat], Awaitable[T]], **options: Any) -> T:
    async def run() -> T:
        chat = ServerChat(base_url=server.base_url, **{"model": "fake-model", "timeout_s": 5.0, **options})
        try:
            return await work(chat)
        finally:
            await chat.aclose()

    return asyncio.run(run())


def complete(server: FakeServer, **options: Any) -> Completion:
    return using(server, lambda chat: chat.complete(BODY), **options)


def test_an_answer_comes_with_its_tokens_and_probabilities(fake_server: FakeServer) -> None:
    probabilities = [{"token": "yes", "logprob": -0.1, "top_logprobs": [{"token": "yes", "logprob": -0.1}]}]
    fake_server.answer = lambda body: Answer("yes", "length", probabilities, cached=1)
    done = complete(fake_server)
    assert (done.content, done.finish_reason, done.logprobs) == ("yes", "length", probabilities)
    assert (done.tokens_in, done.tokens_out, done.tokens_cached) == (2, 1, 1)
    assert done.seconds > 0


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (status(429, "slow down"), PassingError, "429: slow down"),
        (status(408), PassingError, "408"),
        (status(500), PassingError, "500"),
        (status(503), PassingError, "503"),
        (Fault("close"), PassingError, "connection broke"),
        (Fault("half"), PassingError, "connection broke"),
        (Fault("stall", seconds=30), PassingError, "no answer within 0.3 s"),
        (Fault("garbage"), PassingError, "not JSON"),
        (Fault("html"), PassingError, "text/html, not JSON"),
        (Fault("no_choices"), PassingError, "not a chat completion"),
        (Fault("model"), PassingError, "answered by model 'another-model', not 'fake-model'"),
        (Fault("huge"), RefusedError, "over the limit"),
        (status(400, "maximum context length is 4096"), RefusedError, "maximum context length is 4096"),
        (status(413), RefusedError, "413"),
        (status(422), RefusedError, "422"),
        (status(401, "bad key"), EngineError, "engine.api_key_env"),
        (status(403), EngineError, "engine.api_key_env"),
        (status(404, "no such model"), EngineError, "engine.model"),
        (status(302), EngineError, "not an OpenAI-compatible API"),
        (status(405), EngineError, "engine.base_url"),
    ],
)
def test_every_fault_has_its_kind_and_says_what_it_was(
    fake_server: FakeServer, fault: Fault, error: type[Exception], words: str
) -> None:
    fake_server.answer = lambda body: fault
    with pytest.raises(error, match=words.replace(".", r"\.")):
        complete(fake_server, timeout_s=0.3 if fault.kind == "stall" else 5.0)
    assert len(fake_server.requests) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("-3", 0.0),
        ("soon", None),
        ("a date", 1000.0),
    ],
)
def test_retry_after_is_read_in_both_its_forms(fake_server: FakeServer, header: str, seconds: float | None) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=1000), usegmt=True)
    fake_server.answer = lambda body: status(429, retry_after=date if header == "a date" else header)
    with pytest.raises(PassingError) as caught:
        complete(fake_server)
    assert caught.value.retry_after == (None if seconds is None else pytest.approx(seconds, abs=60))


def test_nobody_listening_is_told_apart(fake_server: FakeServer) -> None:
    fake_server.stop()
    with pytest.raises(UnreachableError, match="no connection"):
        complete(fake_server)
    fake_server.start()


def test_what_no_database_takes_as_text_is_replaced(fake_server: FakeServer) -> None:
    fake_server.answer = lambda body: "a\0b\ud800"
    assert complete(fake_server).content == "a\ufffdb?"


def test_the_key_is_sent_and_never_shown(fake_server: FakeServer) -> None:
    fake_server.key = "secret-key"
    complete(fake_server, api_key=SecretStr("secret-key"))
    with pytest.raises(EngineError) as caught:
        complete(fake_server, api_key=SecretStr("other-key"))
    assert "other-key" not in str(caught.value)
    assert "secret-key" not in repr(ServerChat(base_url="x", model="m", api_key=SecretStr("secret-key")))


def test_it_is_an_ordinary_langchain_chat_model(fake_server: FakeServer) -> None:
    probabilities = [{"token": "yes", "logprob": -0.1, "top_logprobs": []}]
    fake_server.answer = lambda body: Answer("yes", logprobs=probabilities, cached=1)
    asked = [HumanMessage("Is it?")]
    said = using(fake_server, lambda chat: chat.bind(logprobs=True, top_logprobs=3).ainvoke(asked, stop=["."]))
    assert said.content == "yes"
    assert said.response_metadata["logprobs"] == {"content": probabilities}
    assert said.usage_metadata is not None
    assert said.usage_metadata["input_token_details"]["cache_read"] == 1
    assert fake_server.requests[0] == {
        "model": "fake-model", "messages": [{"role": "user", "content": "Is it?"}], "temperature": 0.0,
        "stop": ["."], "logprobs": True, "top_logprobs": 3,
    }  # fmt: skip
    assert ServerChat(base_url=fake_server.base_url, model="fake-model").invoke("Is it?").content == "yes"
