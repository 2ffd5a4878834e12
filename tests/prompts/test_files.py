"""The packaged prompts: every file loads and renders, and its examples obey its own schema and rules."""

import json
import re
from typing import Any

import pytest

from prompts import Prompt, begins, load, one_of, opening
from prompts.loader import FOLDER

TASKS = sorted(file.stem for file in FOLDER.glob("*.md"))
KNOWN = {
    "type", "properties", "required", "additionalProperties", "items", "prefixItems", "enum", "pattern",
    "minItems", "maxItems", "minLength", "maxLength", "minimum",
}  # fmt: skip  # what vLLM and llama.cpp both enforce while they decode


def broken(schema: dict[str, Any], value: Any) -> str:  # noqa: PLR0911 (one line a word of the schema)
    """Why `value` does not obey `schema` ("" if it does), for the words of JSON schema that the prompts use."""
    assert set(schema) <= KNOWN, f"{set(schema) - KNOWN} is not among the words that every engine knows"
    if "enum" in schema:
        return "" if value in schema["enum"] else f"{value!r} is no choice"
    kind = {"object": dict, "array": list, "string": str, "integer": int}[schema["type"]]
    if not isinstance(value, kind):
        return f"{value!r} is no {schema['type']}"
    if isinstance(value, dict):
        properties = schema["properties"]
        if not set(schema["required"]) <= set(value) <= set(properties):
            return f"wrong properties {list(value)}"
        return next(filter(None, (broken(properties[name], one) for name, one in value.items())), "")
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9):
            return f"{len(value)} entries"
        places = schema.get("prefixItems") or [schema["items"]] * len(value)
        return next(filter(None, map(broken, places, value)), "")
    if isinstance(value, str):
        fits = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9)
        return "" if fits and re.search(schema.get("pattern", ""), value) else f"{value!r} is not of the form"
    return "" if value >= schema.get("minimum", value) else f"{value} is too small"


def filled(prompt: Prompt) -> list[dict[str, str]]:
    return prompt.messages(**{name: f"value of {name}" for name in prompt.variables})


def test_the_stages_find_their_prompts() -> None:
    assert TASKS == [
        "explanation", "explanation_short", "interest_name", "interest_tags", "interests_read", "tags_single",
    ]  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_instructions_come_first_and_the_user_s_data_last(task: str) -> None:
    messages = filled(load(task))
    assert messages[0]["role"] == "system"
    assert not any("value of" in message["content"] for message in messages[:-1])
    for name in load(task).variables:
        assert f"value of {name}" in messages[-1]["content"]


@pytest.mark.parametrize("task", TASKS)
def test_the_schema_is_closed_and_made_of_known_words(task: str) -> None:
    schema = load(task).schema
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == set(schema["properties"])
    json.dumps(schema)  # plain data, no YAML date
    for example in schema["properties"].values():
        broken(example, {"string": "", "array": []}[example["type"]])


@pytest.mark.parametrize("task", TASKS)
def test_examples_obey_the_schema(task: str) -> None:
    prompt = load(task)
    for message in filled(prompt):
        if message["role"] == "assistant":
            assert broken(prompt.schema, json.loads(message["content"])) == ""


def test_small_model_prompts_have_examples_of_trades_no_shop_is_about() -> None:
    for task in ("interest_name", "interest_tags", "explanation_short"):
        text = load(task).text.lower()
        assert len(load(task).parts) >= 8
        assert "falcon" in text
        assert "letterpress" in text


def test_data_for_a_real_model_is_delimited_and_said_to_be_data() -> None:
    for task, tag in (("interests_read", "profile"), ("tags_single", "interests"), ("explanation", "product")):
        messages = filled(load(task))
        assert f"<{tag}>\nvalue of" in messages[-1]["content"]
        assert "instruction" in messages[0]["content"]


def test_narrowed_schemas_take_the_examples_they_are_made_for() -> None:
    tags = one_of(load("interest_tags").schema, "tags", [["bird hood", "hawk bell"], ["bow perch"]])
    assert broken(tags, {"tags": ["hawk bell", "bow perch"]}) == ""
    assert broken(tags, {"tags": ["bow perch", "hawk bell"]})
    prompt = load("explanation_short")
    for interest, product, text in zip(
        ("training hawks", "keeping honey bees", "letterpress printing"),
        ("padded falconry glove", "galvanised hive smoker", "soft hand roller"),
        prompt.example_answers("explanation"),
        strict=True,
    ):
        narrowed = begins(prompt.schema, "explanation", opening(interest, product))
        assert broken(narrowed, {"explanation": text}) == ""
        assert broken(narrowed, {"explanation": "For fishing: a rod that bends when a fish bites the bait."})
