import pytest

from recgpt.stages import gates
from recgpt.stages.work import Refused


def name(text: str, **changes: object) -> str:
    options = {"titles": ["Norvik trail shoes"], "examples": ["keeping bees"], "sensitive": ["religion", "gay"]}
    return gates.interest_name(text, **{**options, **changes})  # type: ignore[arg-type]


def refused(call: object, *args: object, **options: object) -> str:
    with pytest.raises(Refused) as caught:
        call(*args, **options)  # type: ignore[operator]
    return caught.value.gate


def test_a_plain_name_passes_trimmed() -> None:
    assert name(' "Trail  running." ') == "Trail running"


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("", "name"),
        ("42", "name"),
        ("someone who likes to run on trails a lot", "name"),
        ("norvik TRAIL shoes!", "item_title"),
        ("Keeping bees", "prompt_example"),
        ("books on religion", "sensitive"),
        ("tea and tea cups", "stutter"),
        ("trail trails", "stutter"),
        ("running with", "unfinished"),
    ],
)
def test_a_name_is_refused_by_the_gate_that_it_breaks(text: str, gate: str) -> None:
    assert refused(name, text) == gate


def test_a_sensitive_word_inside_another_word_is_none() -> None:
    assert name("gayal wool") == "gayal wool"


def tag(text: str) -> str:
    return gates.tag_form(text, brands=["Norvik", "Summit Line"], banned=["smart", "set"])


def test_a_tag_is_lower_cased_and_kept() -> None:
    assert tag("Waterproof trail shoes") == "waterproof trail shoes"


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("shoes", "form"),
        ("one two three four five six seven", "form"),
        ("trail shoes 42", "form"),
        ("norvik trail shoes", "brand"),
        ("light summit line jacket", "brand"),
        ("smart trail shoes", "vague"),
        ("trail trail shoes", "stutter"),
    ],
)
def test_a_tag_is_refused_by_the_gate_that_it_breaks(text: str, gate: str) -> None:
    assert refused(tag, text) == gate


def test_a_brand_is_a_whole_word() -> None:
    assert tag("norvikish trail shoes") == "norvikish trail shoes"
