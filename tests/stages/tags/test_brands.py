from collections.abc import Iterable

import numpy as np
import pytest

from recgpt.sources.logs import Catalogue
from recgpt.stages.tags.brands import TagBrands, split


def brands(*items: tuple[str, str], categories: Iterable[str] = ()) -> TagBrands:
    """Of a catalogue of (title, brand) pairs."""
    paths = [*categories, *[""] * len(items)][: len(items)]
    ids = [f"i{number}" for number in range(len(items))]
    titles, makers = [title for title, _ in items], [brand for _, brand in items]
    return TagBrands(Catalogue(ids, titles, paths, makers, np.zeros(len(items), np.float32)))


# "Natural" is a maker, and a word that four others use of five of their things.
NATURAL = [
    ("Natural Soap", "Natural"),
    ("Natural Deodorant Stick", "Lumo"),
    ("Natural Deodorant, Unscented", "Lumo"),
    ("Soft Natural Sponge", "Norvik"),
    ("Cotton Pads, natural", "Fjord"),
]


def test_a_brand_of_the_catalogue_is_found_whoever_the_user_is() -> None:
    found = brands(("Trail Shoes", "Norvik"), ("Rain Jacket", "Summit Line"))
    assert found.named_in("norvik trail shoes") == "norvik"
    assert found.named_in("light summit line jacket") == "summit line"


@pytest.mark.parametrize("text", ["norvikish trail shoes", "summit jacket", "line summit jacket", "trail shoes"])
def test_a_brand_is_all_of_its_words_in_a_row(text: str) -> None:
    assert brands(("Trail Shoes", "Norvik"), ("Rain Jacket", "Summit Line")).named_in(text) == ""


@pytest.mark.parametrize(
    ("brand", "text"),
    [("L'Oréal", "loreal hair dye"), ("L'Oréal", "l’oréal hair dye"), ("Coca-Cola", "coca cola glass")],
)
def test_spellings_of_a_brand_are_one(brand: str, text: str) -> None:
    assert brands(("Thing", brand)).named_in(text) == " ".join(split(brand))


def test_a_brand_whose_word_other_makers_use_of_their_things_is_an_ordinary_word() -> None:
    found = brands(*NATURAL)
    assert found.ordinary == {("natural",)}
    assert found.named_in("natural deodorant") == ""
    assert found.named_in("lumo deodorant") == "lumo"


def test_two_other_makers_are_too_few() -> None:
    assert brands(*NATURAL[:-1]).named_in("natural deodorant") == "natural"


def test_more_things_of_the_brands_own_outweigh_the_others() -> None:
    own = [(f"Natural Soap {number}", "Natural") for number in range(4)]
    assert brands(*NATURAL, *own).named_in("natural deodorant") == "natural"


def test_what_a_thing_goes_with_makes_no_word_ordinary() -> None:
    parts = [(f"Battery for Lumo Cameras {maker}", maker) for maker in ("Norvik", "Fjord", "Voltro", "Ampere")]
    assert brands(("Lumo Camera", "Lumo"), *parts).named_in("lumo camera") == "lumo"


def test_a_house_of_the_brands_name_is_no_other_maker() -> None:
    houses = [("Maybelle Lipstick", f"Maybelle {town}") for town in ("New York", "Paris", "Rome")]
    assert brands(("Maybelle Mascara", "Maybelle"), *houses).named_in("maybelle mascara") == "maybelle"


def test_things_of_an_unknown_maker_prove_nothing() -> None:
    unknown = [(f"Norvik Shoes {number}", "") for number in range(9)]
    assert brands(("Shoes", "Norvik"), *unknown).named_in("norvik shoes") == "norvik"


def test_a_category_is_named_in_ordinary_words() -> None:
    assert brands(("Towel", "Bath"), categories=["Home > Bath"]).named_in("soft bath towel") == ""


def test_letters_and_numbers_alone_name_nothing() -> None:
    found = brands(("Thing", "A"), ("Thing", "47"), ("Thing", "3M"), ("Thing", ""))
    assert found.named_in("a thing of 47 parts") == ""
    assert found.named_in("3m tape") == "3m"
