"""A fake OpenAI-compatible server that speaks real HTTP/1.1 on loopback, with scripted answers and faults.

It promises that every request that reached it is in `requests`, in order of arrival, whatever was then done to it; that
it answers at once unless told to wait; and that by default an answer satisfies the schema that was asked for. It never
thinks: what a test wants said, the test says, by setting `answer`.

In a test, take the fixture `fake_server`. A benchmark that wants it in a process of its own runs
`python tests/support/fake_server.py`, which prints the base URL and serves until its standard input closes.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CHARACTERS_A_TOKEN = 4
Body = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """What the server does instead of answering.

    kind: "status" (the status and text below), "close" (hang up without a word), "half" (stop in the middle of the
    body), "stall" (answer after `seconds`), "trickle" (a byte of the answer every `seconds`), "model" (an answer by
    another model), "huge" (an answer of 10 MB, whose length is said), "endless" (one that never ends, of unsaid
    length), "no_choices" (JSON without an answer in it), "html" (200 with a web page), "zip" (200 whose body is not
    compressed as its header says), or one of `BODIES`, with the status below.
    """

    kind: str
    status: int = 200
    message: str = "scripted fault"
    retry_after: str | None = None
    location: str | None = None  # of a redirect
    seconds: float = 0.0


BODIES = {  # sent as JSON
    "garbage": b'{"choices": [{"mess',
    "nothing": b"",
    "utf8": b'{"choices": [{"message": {"content": "caf\xe9"}}]}',
    "deep": b"[" * 100_000 + b"]" * 100_000,
}


def status(code: int, message: str = "scripted fault", retry_after: str | None = None) -> Fault:
    return Fault("status", code, message, retry_after)


@dataclass(frozen=True)
class Answer:
    """A whole answer, for a test that wants more than its text."""

    content: str
    finish_reason: str = "stop"
    logprobs: list[dict[str, Any]] | None = None
    cached: int = 0
    after: float = 0.0  # seconds before it is sent


@dataclass
class FakeServer:
    """Start with `start()`, end with `stop()`; both return when it is done. Runs its event loop in a thread."""

    models: list[str] = field(default_factory=lambda: ["fake-model"])
    key: str | None = None  # when set, a request without this bearer token gets 401
    answer: Callable[[Body], "str | Answer | Fault"] = lambda body: from_schema(schema_of(body))
    requests: list[Body] = field(default_factory=list)  # bodies of /chat/completions seen
    headers: list[dict[str, str]] = field(default_factory=list)  # of the same requests, names in lower case
    adapters: dict[str, str] | None = None  # folders by name, as they are loaded; None: it takes none
    keep: bool = True  # False: `requests` and `headers` stay empty, so that a million of them cost no memory
    port: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> "FakeServer":
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._connections: set[_Connection] = set()

        async def serve() -> None:
            self._stopping = asyncio.Event()
            server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await self._stopping.wait()
            server.close()
            for connection in list(self._connections):
                connection.transport.abort()
            await asyncio.sleep(0)

        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(serve()), daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the fake server did not start")
        return self

    def stop(self) -> None:
        """Stop listening and drop every connection, as a killed server does. `start()` takes the same port again."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)
        self._loop.close()


class _Connection(asyncio.Protocol):
    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.transport: asyncio.Transport
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.server._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            method, path, _ = first.split(" ")
            self.handle(method, path, headers, rest[:length])

    def handle(self, method: str, path: str, headers: dict[str, str], raw: bytes) -> None:
        server = self.server
        body: Body = json.loads(raw) if raw else {}
        if server.keep and (method, path) == ("POST", "/v1/chat/completions"):
            server.requests.append(body)
            server.headers.append(headers)
        if server.key is not None and headers.get("authorization") != f"Bearer {server.key}":
            self.error(401, "no such key")
        elif (method, path) == ("GET", "/v1/models"):
            self.send(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in server.models]})
        elif (method, path) == ("POST", "/v1/load_lora_adapter") and server.adapters is not None:
            server.adapters[body["lora_name"]] = body["lora_path"]
            server.models.append(body["lora_name"])
            self.raw(200, b"Success: LoRA adapter added successfully.", kind="text/plain")
        elif (method, path) != ("POST", "/v1/chat/completions"):
            self.error(404, f"no {path}")
        elif body["model"] not in server.models:
            self.error(404, f"The model `{body['model']}` does not exist.")
        else:
            self.say(body, server.answer(body))

    def say(self, body: Body, said: "str | Answer | Fault") -> None:
        if isinstance(said, Fault):
            self.misbehave(body, said)
            return
        answer = said if isinstance(said, Answer) else Answer(said)
        payload = completion(body, answer)
        if answer.after:
            self.server._loop.call_later(answer.after, self.send, 200, payload)
        else:
            self.send(200, payload)

    def misbehave(self, body: Body, fault: Fault) -> None:
        usual = Answer(from_schema(schema_of(body)))
        match fault.kind:
            case "status":
                extra = "" if fault.retry_after is None else f"Retry-After: {fault.retry_after}\r\n"
                extra += "" if fault.location is None else f"Location: {fault.location}\r\n"
                self.error(fault.status, fault.message, extra)
            case "close":
                self.transport.close()
            case "half":
                raw = json.dumps(completion(body, usual)).encode()
                self.raw(200, raw, cut=len(raw) // 2)
                self.transport.close()
            case "stall":
                self.server._loop.call_later(fault.seconds, self.send, 200, completion(body, usual))
            case "trickle":
                raw = json.dumps(completion(body, usual)).encode()
                self.raw(200, raw, cut=0)
                self.drip(raw, fault.seconds)
            case "html":
                self.raw(200, b"<html>Bad gateway</html>", kind="text/html")
            case "zip":
                self.raw(200, b'{"choices": []}', "Content-Encoding: gzip\r\n")
            case "model":
                self.send(200, {**completion(body, usual), "model": "another-model"})
            case "huge":
                self.send(200, completion(body, Answer("x" * 10_000_000)))
            case "endless":
                self.transport.write(b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
                self.flood()
            case "no_choices":
                self.send(200, {**completion(body, usual), "choices": []})
            case _:
                self.raw(fault.status, BODIES[fault.kind])

    def drip(self, raw: bytes, seconds: float) -> None:
        if raw and not self.transport.is_closing():
            self.transport.write(raw[:1])
            self.server._loop.call_later(seconds, self.drip, raw[1:], seconds)

    def flood(self) -> None:
        if not self.transport.is_closing():
            if self.transport.get_write_buffer_size() < 1_000_000:
                self.transport.write(b" " * 1_000_000)
            self.server._loop.call_later(0.001, self.flood)

    def error(self, code: int, message: str, extra: str = "") -> None:
        self.send(code, {"error": {"message": message, "code": code}}, extra)

    def send(self, code: int, payload: Body, extra: str = "") -> None:
        self.raw(code, json.dumps(payload).encode(), extra)

    def raw(
        self, code: int, raw: bytes, extra: str = "", kind: str = "application/json", cut: int | None = None
    ) -> None:
        head = f"HTTP/1.1 {code} X\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\n{extra}\r\n"
        self.transport.write(head.encode() + raw[:cut])


def completion(body: Body, answer: Answer) -> Body:
    """A chat completion as vLLM sends one."""
    tokens_in = sum(len(message["content"]) for message in body["messages"]) // CHARACTERS_A_TOKEN + 1
    tokens_out = len(answer.content) // CHARACTERS_A_TOKEN + 1
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.content},
                "logprobs": None if answer.logprobs is None else {"content": answer.logprobs},
                "finish_reason": answer.finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
            "prompt_tokens_details": {"cached_tokens": answer.cached},
        },
    }


def schema_of(body: Body) -> Any:
    return (body.get("response_format") or {}).get("json_schema", {}).get("schema", {"type": "string"})


def from_schema(schema: Any) -> str:
    """The JSON text of a smallest value that satisfies a schema (of the kinds that prompts use)."""
    return json.dumps(_smallest(schema))


def _smallest(schema: Any) -> Any:  # noqa: PLR0911 (one line a kind)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return _smallest(schema[choice][0])
    match schema.get("type", "string"):
        case "object":
            return {name: _smallest(schema["properties"][name]) for name in schema.get("required", ())}
        case "array":
            return [_smallest(schema.get("items", {}))] * max(schema.get("minItems", 0), 0)
        case "string":
            return "answer".ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return True
        case _:
            return None


if __name__ == "__main__":
    running = FakeServer(models=sys.argv[1:] or ["fake-model"], keep=False)
    print(running.start().base_url, flush=True)
    sys.stdin.read()
    running.stop()
