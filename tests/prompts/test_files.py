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

NUMBERS = {"per_interest", "total", "personas", "max_chars"}  # variables that the config fills, not the logs


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


def test_each_prompt_is_some_stage_s_and_each_stage_s_prompt_is_there() -> None:
    code = "".join(file.read_text(encoding="utf-8") for file in (FOLDER.parent / "recgpt").rglob("*.py"))
    assert set(TASKS) <= set(re.findall(r'"(\w+)"', code))
    assert set(re.findall(r'prompts\.load\("(\w+)"\)', code)) <= set(TASKS)


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


@pytest.mark.parametrize("task", [task for task in TASKS if len(load(task).parts) == 2])
def test_data_for_a_real_model_is_delimited_and_said_to_be_data(task: str) -> None:
    system, user = (message["content"] for message in filled(load(task)))
    outside = re.sub(r"^<(\w+)>\n.*?\n</\1>$", "", user, flags=re.MULTILINE | re.DOTALL)
    assert {name for name in load(task).variables if f"value of {name}" in outside} <= NUMBERS
    assert "instruction" in system


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
