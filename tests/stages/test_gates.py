import pytest

from recgpt.stages import gates
from recgpt.stages.answers import Refused


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
