"""The chat model against a server that misbehaves in every way we know of, over real HTTP."""

import asyncio
import contextlib
import json
import resource
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

import fake_server as fake_server_module
import pytest
from fake_server import Answer, FakeServer, Fault, status
from langchain_core.messages import HumanMessage
from pydantic import SecretStr

from recgpt.engine.chat import ServerChat
from recgpt.engine.completion import Completion, PassingError, RefusedError, UnreachableError
from recgpt.errors import EngineError

T = TypeVar("T")
BODY = json.dumps({"model": "fake-model", "messages": [{"role": "user", "content": "hello"}]})


def using(server: FakeServer, work: Callable[[ServerChat], Awaitable[T]], **options: Any) -> T:
    async def run() -> T:
        settings = {"base_url": server.base_url, "model": "fake-model", "timeout_s": 5.0, **options}
        chat = ServerChat(**settings)
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
        (Fault("trickle", seconds=0.05), PassingError, "no answer within 0.3 s"),
        (Fault("garbage"), PassingError, "not JSON"),
        (Fault("nothing"), PassingError, "not JSON"),
        (Fault("utf8"), PassingError, "not JSON"),
        (Fault("deep"), PassingError, "not JSON"),
        (Fault("zip"), PassingError, "connection broke"),
        (Fault("html"), PassingError, "text/html, not JSON"),
        (Fault("no_choices"), PassingError, "not a chat completion"),
        (Fault("model"), PassingError, "answered by model 'another-model', not 'fake-model'"),
        (Fault("huge"), RefusedError, "over the limit"),
        (Fault("endless"), RefusedError, "over the limit"),
        (status(400, "maximum context length is 4096"), RefusedError, "maximum context length is 4096"),
        (status(413), RefusedError, "413"),
        (status(422), RefusedError, "422"),
        (status(401, "bad key"), EngineError, "engine.api_key_env"),
        (status(403), EngineError, "engine.api_key_env"),
        (status(404, "no such model"), EngineError, "engine.model"),
        (Fault("status", 302, location="/v1/elsewhere"), EngineError, "not an OpenAI-compatible API"),
        (status(405), EngineError, "engine.base_url"),
    ],
)
def test_every_fault_has_its_kind_and_says_what_it_was(
    fake_server: FakeServer, fault: Fault, error: type[Exception], words: str
) -> None:
    fake_server.answer = lambda body: fault
    with pytest.raises(error, match=words.replace(".", r"\.")):
        complete(fake_server, timeout_s=0.3 if fault.kind in ("stall", "trickle") else 5.0)
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


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000/v1", "ftp://host/v1", "http://", "http://host:99999/v1", f"http://{'x' * 70}.com/v1"],
)
def test_an_address_that_is_none_is_said_at_once(fake_server: FakeServer, url: str) -> None:
    with pytest.raises(EngineError, match=r"is not the URL of a server: correct engine\.base_url"):
        complete(fake_server, base_url=url)


def test_a_host_that_takes_no_connection_is_unreachable(
    fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recgpt.engine.chat.CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(3):  # nobody accepts, so the queue is full, and the next one is left waiting
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        with pytest.raises(UnreachableError, match=r"no connection within 0\.2 s"):
            complete(fake_server, base_url=f"http://127.0.0.1:{full.getsockname()[1]}/v1")


def test_too_many_connections_are_our_own_fault(fake_server: FakeServer) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def without_a_file_left(chat: ServerChat) -> Completion:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        try:
            return await chat.complete(BODY)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)

    with pytest.raises(EngineError, match=r"lower engine\.in_flight"):
        using(fake_server, without_a_file_left)


def test_an_error_nested_as_deep_as_no_parser_goes_is_an_error(fake_server: FakeServer) -> None:
    fake_server.answer = lambda body: status(500, "\0 and \ud800" + "[" * 100)
    with pytest.raises(PassingError) as caught:
        complete(fake_server)
    assert str(caught.value).startswith("the server said 500: \ufffd and ?[[[")
    fake_server.answer = lambda body: Fault("deep", status=500)
    with pytest.raises(PassingError, match=r"the server said 500: \[\[\["):
        complete(fake_server)


@pytest.mark.parametrize("said", [-1, True, 5.5, "7", 10**30, None])
def test_a_count_of_tokens_that_is_none_is_unknown(
    fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    usual = fake_server_module.completion
    monkeypatch.setattr(
        fake_server_module,
        "completion",
        lambda body, answer: {**usual(body, answer), "usage": {"prompt_tokens": said, "completion_tokens": 3}},
    )
    done = complete(fake_server)
    assert (done.tokens_in, done.tokens_out) == (None, 3)


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
