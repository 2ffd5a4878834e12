"""Narrowed schemas, and the phrases that they are narrowed to."""

import re
from typing import Any

import pytest

from prompts import begins, deal, one_of, opening, phrase

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"tags": {"type": "array"}}, "required": ["tags"]}


def test_one_of_offers_each_place_its_own_choices_and_leaves_the_prompt_alone() -> None:
    narrowed = one_of(SCHEMA, "tags", [["a b", "c d"], ["e f"]])
    assert narrowed["properties"]["tags"] == {
        "type": "array",
        "prefixItems": [{"enum": ["a b", "c d"]}, {"enum": ["e f"]}],
        "minItems": 2,
        "maxItems": 2,
    }
    assert SCHEMA["properties"]["tags"] == {"type": "array"}


@pytest.mark.parametrize("choices", [[], [["a b"], []], [["a b"], ["a b"]], [["a b", "a b"]]])
def test_choices_that_could_repeat_or_are_none_are_refused(choices: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="non-empty lists that share no phrase"):
        one_of(SCHEMA, "tags", choices)


def test_a_property_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no property 'tag'; it has tags"):
        one_of(SCHEMA, "tag", [["a b"]])


def test_begins_holds_the_text_to_its_opening() -> None:
    narrowed = begins(SCHEMA, "tags", "For r.c. cars (1:10): a motor that")
    pattern = narrowed["properties"]["tags"]["pattern"]
    rest = " keeps your car quick on the track."
    assert re.fullmatch(pattern, "For r.c. cars (1:10): a motor that" + rest)
    assert not re.fullmatch(pattern, "For rxc. cars (1:10): a motor that" + rest)
    assert not re.fullmatch(pattern, "For r.c. cars (1:10): a motor that is. It was.")
    assert not re.fullmatch(pattern, "For r.c. cars (1:10): a motor that is new.")


@pytest.mark.parametrize("wrong", ["", "  ", 'a "b" that', "a \\ that", "a\nb that"])
def test_an_opening_that_would_break_the_json_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="printable text"):
        begins(SCHEMA, "tags", wrong)


@pytest.mark.parametrize(
    ("title", "brand", "said"),
    [
        ("Fellrunner Waterproof Trail Running Shoes, Grip Sole", "Fellrunner", "waterproof trail running shoes"),
        ("Insulated French Press by Brewmark (1 Litre)", "Brewmark", "insulated french press"),
        ("Northpitch 2-Person Camping Tent, 3 Season", "Northpitch", "camping tent"),
        ("Chisholm Tools Sanding Discs - Hook-and-Loop, 125 mm", "Chisholm Tools", "sanding discs"),
        ("Up-and-Down Wall Light", None, "up-and-down wall light"),
        ("Glow 500ml Body Lotion", "Glow", "body lotion"),
        ("Body Lotion 1.5 fl oz", None, "body lotion"),
        (
            "Maybelline New York Eye Studio Lasting Drama Gel Eyeliner, Eggplant",
            "Maybelline",
            "lasting drama gel eyeliner",
        ),
        ("Glowing Lamp", "Glow", "glowing lamp"),
        ("Crème Brûlée Torch", "", "crème brûlée torch"),
        ("12345 - 67", None, ""),
        ("", None, ""),
    ],
)
def test_phrase(title: str, brand: str | None, said: str) -> None:
    assert phrase(title, brand) == said


def test_deal_gives_one_of_a_kind_nearest_first_across_the_places() -> None:
    near = [
        "waterproof trail running shoes", "cushioned running shoes", "running vest", "shoes",
        "wool running socks", "soft flask", "head torch",
    ]  # fmt: skip
    assert deal(near, 2, 2) == [
        ["waterproof trail running shoes", "wool running socks"],
        ["running vest", "soft flask"],
    ]
    assert deal(near, 9) == [[one] for one in (near[0], *near[2:3], *near[4:])]
    assert deal(near, 2, 2, not_again=["red running vest"])[1] == ["wool running socks", "head torch"]
    assert deal(["trail shoes", "road map"], 2, not_again=["shoes"]) == [["road map"]]
    assert deal(["shoes", ""], 4) == []


def test_opening() -> None:
    assert opening("camping", "oval tent") == "For camping: an oval tent that"
    assert opening("camping", "down sleeping bag") == "For camping: a down sleeping bag that"
    assert opening("camping", "tent pegs") == "For camping: tent pegs that"
    assert opening("camping", "glass") == "For camping: a glass that"
    assert opening('say "yes" \\ now', "cat's <toy>") == "For say yes now: a cat's toy that"
