"""What is asked is what is answered: schemas held while decoding, the chat as it was sent, sampling, and limits."""

import asyncio
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from vllm_server import VllmServer, weights

import prompts
from judges import load_criteria
from prompts.choices import SENTENCE_REST
from prompts.loader import FOLDER
from recgpt.engine.open import open_engine
from recgpt.engine.requests import Reply
from recgpt.engine.tokens import token_counter
from recgpt.errors import EngineError
from recgpt.words import Outcome, Task

PROMPTS = sorted(file.stem for file in FOLDER.glob("*.md"))
SHORT = replace(prompts.load("interest_name"), schema={}, max_tokens=24)
MUGS = {"products": "- kitchen: stoneware mug\n- kitchen: glass teapot\n- kitchen: tea strainer"}


def compact(reply: Reply) -> Any:
    """The answer's JSON, which must be written without a superfluous character."""
    value = json.loads(reply.content)
    assert reply.content == json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return value


def test_every_schema_of_ours_is_one_that_it_takes(ask: Any) -> None:
    files = [replace(prompts.load(task), max_tokens=1) for task in PROMPTS]
    criteria = [one for task in Task for one in load_criteria(task)]
    filled = [(one, dict.fromkeys(one.variables, "tea")) for one in files]
    target = {"given": "tea", "claim": "tea"}
    replies = ask(
        lambda model: (
            [model.request(one, variables) for one, variables in filled]
            + [model.request(one, target, schema=one.schema_for(**target)) for one in criteria]
        )
    )
    assert len(replies) == len(files) + len(criteria)
    assert [(reply.request.task, reply.reason) for reply in replies if reply.outcome is not Outcome.OK] == []


def test_a_schema_that_it_can_not_hold_is_refused_with_the_reason(ask: Any) -> None:
    schema = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    (reply,) = ask(lambda model: [model.request(SHORT, MUGS, schema=schema)])
    assert reply.outcome is Outcome.INVALID
    assert "400" in reply.reason


def test_nested_objects_lists_and_enums(ask: Any) -> None:
    number = {"type": "integer", "minimum": 1, "maximum": 99}  # without bounds a small model writes digits for ever
    horizons = ["long_term", "short_term"]
    entry = {
        "type": "object",
        "properties": {
            "evidence": {"type": "array", "items": number, "minItems": 2, "maxItems": 2},
            "name": {"type": "string", "pattern": "^[a-z]{3,8} [a-z]{3,8}$"},
            "horizon": {"enum": horizons},
        },
        "required": ["evidence", "name", "horizon"],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {"interests": {"type": "array", "items": entry, "minItems": 2, "maxItems": 2}},
        "required": ["interests"],
        "additionalProperties": False,
    }
    long = replace(SHORT, max_tokens=120)
    (reply,) = ask(lambda model: [model.request(long, MUGS, schema=schema)])
    (interests,) = compact(reply).values()
    assert len(interests) == 2
    for one in interests:
        assert list(one) == ["evidence", "name", "horizon"]  # in the schema's order
        assert all(type(number) is int and 1 <= number <= 99 for number in one["evidence"])
        assert len(one["evidence"]) == 2
        assert re.fullmatch(r"[a-z]{3,8} [a-z]{3,8}", one["name"])
        assert one["horizon"] in horizons


def test_one_of_a_few_phrases_in_each_place(ask: Any) -> None:
    tags = prompts.load("interest_tags")
    choices = [("stoneware mug", "glass mug"), ("tea strainer",), ('pot "large"', "kettle, 1 l")]
    schema = prompts.one_of(tags.schema, "tags", choices)
    (reply,) = ask(lambda model: [model.request(tags, {"interest": "drinking tea"}, schema=schema)])
    chosen = compact(reply)["tags"]
    assert len(chosen) == len(choices)
    assert all(tag in phrases for tag, phrases in zip(chosen, choices, strict=True))


def test_a_sentence_that_must_begin_as_it_is_told(ask: Any) -> None:
    short = prompts.load("explanation_short")
    opening = "For tea (at 5) drinkers: the glass teapot"
    schema = prompts.begins(short.schema, "explanation", opening)
    variables = dict.fromkeys(short.variables, "tea")
    (reply,) = ask(lambda model: [model.request(short, variables, schema=schema)])
    assert re.fullmatch(re.escape(opening) + SENTENCE_REST, compact(reply)["explanation"])


def test_the_chat_is_rendered_as_it_was_sent(server: VllmServer) -> None:
    messages = SHORT.messages(**MUGS)
    assert messages[0]["role"] == "system"
    status, said = server.call("/tokenize", model="smollm2", messages=messages, add_generation_prompt=True)
    assert status == 200, said
    status, text = server.call("/detokenize", model="smollm2", tokens=json.loads(said)["tokens"])
    sent = "".join(f"<|im_start|>{one['role']}\n{one['content']}<|im_end|>\n" for one in messages)
    assert json.loads(text)["prompt"] == sent + "<|im_start|>assistant\n"


def test_our_count_of_tokens_is_the_servers(server: VllmServer, make_config: Any) -> None:
    count = token_counter(make_config(tokenizer=str(weights())))
    for text in (MUGS["products"], "Café 茶 <b>&amp;</b>  two  spaces", "1 299.50 EUR don't WE'LL ünïcode 🙂"):
        _, said = server.call("/tokenize", model="smollm2", prompt=text, add_special_tokens=False)
        assert json.loads(said)["count"] == count(text)


def test_sampling_and_the_limit_of_an_answer(ask: Any) -> None:
    # Free text: nothing but the seed tells these apart, and 24 tokens at this temperature don't come twice.
    replies = ask(lambda model: [model.request(SHORT, MUGS, temperature=1.5, seed=seed) for seed in (1, 2, 3)])
    assert len({reply.content for reply in replies}) > 1
    cut = replace(SHORT, max_tokens=5)
    (reply,) = ask(lambda model: [model.request(cut, MUGS, schema={"type": "string", "minLength": 200})])
    assert (reply.outcome, reply.finish_reason, reply.tokens_out) == (Outcome.OK, "length", 5)


def test_a_prompt_that_is_too_long_is_invalid_and_not_tried_again(ask: Any) -> None:
    (reply,) = ask(lambda model: [model.request(SHORT, {"products": "tea " * 5000})])
    assert (reply.outcome, reply.attempts) == (Outcome.INVALID, 1)
    assert "400" in reply.reason
    assert "4096" in reply.reason


def test_a_name_that_it_does_not_serve_stops_the_run(make_config: Any, store: Any) -> None:
    async def work() -> None:
        async with open_engine(make_config(model="another"), store):
            pass

    with pytest.raises(EngineError, match="does not serve 'another', only 'smollm2'"):
        asyncio.run(work())
