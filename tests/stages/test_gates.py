import pytest

from recgpt.stages import gates
from recgpt.stages.work import Refused

RECORD = "Norvik waterproof trail shoes, grey | Sports > Trail running | Norvik trail running"


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


def explain(text: str) -> str:
    return gates.explanation(text, title="Norvik waterproof trail shoes, grey", record=RECORD)


def test_an_explanation_may_claim_what_the_record_says() -> None:
    text = "Waterproof, so wet autumn trails are no reason to stay in."
    assert explain(text) == text


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("Good shoes", "length"),
        ("x" * 161, "length"),
        ("Norvik grey waterproof trail shoes", "title_again"),
        ("These shoes are a must-have for every runner", "slogan"),
        ("Shoes that improve your complexion on the trail", "health_claim"),
        ("A leather shoe for long runs on the trail", "invented"),
    ],
)
def test_an_explanation_is_refused_by_the_gate_that_it_breaks(text: str, gate: str) -> None:
    assert refused(explain, text) == gate


OPENING = "For trail running: waterproof trail shoes that"


def go_on(rest: str) -> str:
    return gates.continuation(f"{OPENING} {rest}", OPENING, record=RECORD)


def test_a_continuation_that_says_something_passes() -> None:
    assert go_on("keep your feet dry on wet ground.").endswith("wet ground.")


@pytest.mark.parametrize(
    ("rest", "gate"),
    [
        ("keep the keeper's feet dry, keeping dry.", "stutter"),
        ("keep your feet dry without", "unfinished"),
        ("", "unfinished"),
        ("are running shoes for the trail.", "says_nothing"),
    ],
)
def test_a_continuation_is_refused_by_the_gate_that_it_breaks(rest: str, gate: str) -> None:
    assert refused(go_on, rest) == gate
