"""A request's hash changes with whatever decides the answer, and with nothing else."""

import hashlib
import json
from typing import Any

import pytest

from recgpt.engine.requests import Request, resolve

BASE: dict[str, Any] = {
    "task": "interests",
    "prompt_version": "sha256:p",
    "model": "m",
    "revision": "r",
    "messages": [{"role": "user", "content": "tagine, Ägypten, 茶"}],
    "schema": {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}},
    "max_tokens": 10,
}


def make(**changes: Any) -> Request:
    return resolve(**{**BASE, **changes})


def test_the_hash_can_be_verified_from_what_is_stored() -> None:
    request = make()
    assert request.hash == "sha256:" + hashlib.sha256(f"r\n{request.body}".encode()).hexdigest()


def test_the_body_writes_every_default_out_and_keeps_the_order_of_a_schema() -> None:
    body = make().body
    assert json.loads(body)["temperature"] == 0.0
    assert json.loads(body)["seed"] == 0
    assert body.index('"b"') < body.index('"a"')  # a model answers in this order
    assert "茶" in body


def test_a_grammar_stands_in_the_place_of_the_schema() -> None:
    body = json.loads(make(grammar="root ::= <[1]> <[2]>").body)
    assert body["grammar"] == "root ::= <[1]> <[2]>"
    assert "response_format" not in body
    assert "grammar" not in json.loads(make().body)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"revision": "other"},
        {"messages": [{"role": "user", "content": "x"}]},
        {"schema": {}},
        {"schema": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}},
        {"max_tokens": 11},
        {"temperature": 0.5},
        {"seed": 1},
        {"top_logprobs": 5},
        {"grammar": "root ::= <[1]>"},
    ],
)
def test_what_decides_the_answer_is_in_the_hash(change: dict[str, Any]) -> None:
    assert make(**change).hash != make().hash


def test_where_a_prompt_is_kept_is_not_in_the_hash() -> None:
    assert make(prompt_version="sha256:q").hash == make().hash


def test_half_a_surrogate_pair_can_still_be_sent() -> None:
    request = make(messages=[{"role": "user", "content": "a\ud800b"}])
    assert json.loads(request.body.encode())["messages"][0]["content"] == "a?b"
