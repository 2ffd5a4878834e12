"""What a model answered, read field by field: what was asked for, or a refusal that says what is missing."""

from enum import StrEnum
from typing import Any

import pytest

from recgpt.engine.requests import Reply, resolve
from recgpt.stages.answers import Refused, choice_in, list_in, read_json, read_list, read_text
from recgpt.words import Outcome

REQUEST = resolve(
    task="tags", prompt_version="p", model="m", revision="1", messages=[], schema={}, max_tokens=1, temperature=0.0
)


class Horizon(StrEnum):
    LONG = "long"
    SHORT = "short"


def reply(content: str) -> Reply:
    return Reply(REQUEST, Outcome.OK, content=content)


@pytest.mark.parametrize(
    "content",
    ["", "{", '{"tags": ["trail sh', "[" * 100_000, '{"tags": ["a\\u0000b"]}', '{"a\\u0000": 1}', '["\\ud800"]'],
    ids=["empty", "cut", "cut in a text", "deep", "NUL", "NUL in a name", "half a pair"],
)
def test_what_is_no_json_or_no_text_is_refused_whole(content: str) -> None:
    with pytest.raises(Refused) as refused:
        read_json(reply(content))
    assert (refused.value.gate, refused.value.text) == ("json", content)
    assert refused.value.detail


def test_json_is_read_as_it_stands() -> None:
    assert read_json(reply('{"tags": ["caf\\u00e9", "\\ud83d\\ude00"]}')) == {"tags": ["café", "\U0001f600"]}


def test_a_field_is_read_where_it_has_the_kind_that_was_asked_for() -> None:
    assert read_list(reply('{"tags": [1, "a"], "more": 0}'), "tags") == [1, "a"]
    assert read_text(reply('{"style": ""}'), "style") == ""
    assert list_in({"interests": []}, "interests") == []
    assert choice_in({"horizon": "short"}, "horizon", Horizon) is Horizon.SHORT


@pytest.mark.parametrize("content", ["[]", "null", '"tags"', "{}", '{"tags": null}', '{"tags": "a"}', '{"tags": {}}'])
def test_no_list_is_refused_with_its_name(content: str) -> None:
    with pytest.raises(Refused) as refused:
        read_list(reply(content), "tags")
    assert (refused.value.gate, refused.value.text, refused.value.detail) == ("schema", content, "no list of tags")


@pytest.mark.parametrize("content", ["[]", "{}", '{"style": null}', '{"style": ["a"]}', '{"style": 1}'])
def test_no_text_is_refused_with_its_name(content: str) -> None:
    with pytest.raises(Refused) as refused:
        read_text(reply(content), "style")
    assert (refused.value.gate, refused.value.text, refused.value.detail) == ("schema", content, "no style")


@pytest.mark.parametrize("entry", [None, [], "interests", {}, {"interests": 1}])
def test_no_list_in_an_entry_is_refused_with_the_entry(entry: Any) -> None:
    with pytest.raises(Refused) as refused:
        list_in(entry, "interests")
    assert (refused.value.gate, refused.value.text) == ("schema", str(entry))
    assert refused.value.detail == "no list of interests"


@pytest.mark.parametrize("value", [None, "", "LONG", "longer", ["long"], 0])
def test_no_choice_is_refused_with_what_stood_there(value: Any) -> None:
    with pytest.raises(Refused) as refused:
        choice_in({"horizon": value}, "horizon", Horizon)
    assert (refused.value.gate, refused.value.detail) == ("schema", f"no such horizon: {value!r}")
