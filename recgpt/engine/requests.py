"""One call to a model, fully resolved before it is hashed, and what came back.

A request's `body` is the JSON text exactly as it is posted: model, messages, sampling and schema, with every default
written out. Its hash covers the body and the revision of the weights, so an answer is never replayed for another model,
another schema or another temperature. Keys keep the order in which they are built here, and a schema's keep their own:
a model writes an object's properties in the schema's order, so two orders are two requests.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from recgpt.words import Outcome


class PromptLike(Protocol):
    """What a request needs of a prompt; `prompts.Prompt` is one, and a judge's criterion can be."""

    @property
    def task(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def schema(self) -> dict[str, Any]: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def messages(self) -> Callable[..., list[dict[str, str]]]: ...


@dataclass(frozen=True)
class Request:
    task: str
    prompt_version: str
    body: str  # canonical JSON, exactly as posted
    model: str
    revision: str

    @cached_property
    def hash(self) -> str:
        return "sha256:" + hashlib.sha256(f"{self.revision}\n{self.body}".encode()).hexdigest()


@dataclass(frozen=True)
class Reply:
    """How a request ended.

    OK is an answer that was received whole and is in the ledger: its `content` is raw and may still break a rule of the
    stage's. INVALID is a request the server refused for what it is (too long for its context), or answered beyond all
    measure. UNAVAILABLE is no answer. The last two have no content, say why in `reason`, and are not in the ledger.
    """

    request: Request
    outcome: Outcome
    content: str = ""
    finish_reason: str = ""  # "length" is an answer cut at max_tokens
    logprobs: list[dict[str, Any]] | None = None  # a token each, in OpenAI's shape: token, logprob, top_logprobs
    tokens_in: int | None = None  # None where the server did not say
    tokens_out: int | None = None
    tokens_cached: int | None = None
    seconds: float = 0.0  # of the try that was answered
    attempts: int = 0
    replayed: bool = False
    reason: str = ""


def resolve(
    *,
    task: str,
    prompt_version: str,
    model: str,
    revision: str,
    messages: Sequence[dict[str, str]],
    schema: dict[str, Any],
    max_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    top_logprobs: int = 0,
    grammar: str = "",
) -> Request:
    """Write everything out. An empty schema asks for free text; `top_logprobs` of 0 asks for no probabilities; a
    `grammar` (llama.cpp's GBNF) holds the answer in the place of the schema."""
    fields: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "temperature": temperature,
        "seed": seed,
        "max_tokens": max_tokens,
    }
    if grammar:
        fields["grammar"] = grammar
    elif schema:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", task)[:64]
        fields["response_format"] = {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}
    if top_logprobs:
        fields |= {"logprobs": True, "top_logprobs": top_logprobs}
    body = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    # Half a surrogate pair out of a broken log can't be sent as UTF-8.
    body = body.encode("utf-8", "replace").decode()
    return Request(task, prompt_version, body, model, revision)
