"""Short phrases out of a shop's titles, for a small model to choose from and to write on from.

"Fellrunner Waterproof Trail Running Shoes, Grip Sole, 42" becomes "waterproof trail running shoes": the modifier and
the core word, without brand, sizes and what comes after the first break. Code does this because a small model asked to
do it copies the title. English word order (core word last) is assumed; a title without such a phrase gives "".
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

LONGEST: Final = 4  # words of a phrase; the core words stand last, so the front is what goes
# What ends the name of a product in a title: a dash between spaces, a bracket, a comma, a word that begins an addition.
_BREAK: Final = re.compile(r"\s[-–—|:]\s|[,;(\[{/]|\s(?:&|by|with|for|from|in|and|of|to|plus)(?=\s|$)", re.IGNORECASE)
# A number, what hangs on it ("2-Person", "500ml"), and the unit after it ("1.5 kg").
_MEASURE: Final = re.compile(
    r"(?<!\S)\S*\d\S*(?:\s+(?:ml|l|m|mm|cm|kg|g|mg|oz|ounces?|fl|lbs?|hz|lumen|inch(?:es)?|ft|w|v|dpi|bar|packs?|pcs|"
    r"pieces?|pairs?|count|ct|cups?|gsm|grit|litres?|liters?)(?!\w))*",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_UNSAID: Final = re.compile(r"[^\w '’-]+")


def phrase(title: str, brand: str | None = None) -> str:
    """The modifier and core word of a title, lower case, at most `LONGEST` words; "" if nothing is left."""
    text = re.sub(rf"(?<!\w){re.escape(brand)}(?!\w)", " ", title, flags=re.IGNORECASE) if brand else title
    text = _MEASURE.sub(" ", _BREAK.split(text.strip(" -–—|:,"))[0])
    return " ".join(_WORD.findall(text.lower())[-LONGEST:])


def deal(phrases: Iterable[str], places: int, each: int = 2, not_again: Collection[str] = ()) -> list[list[str]]:
    """Deal phrases, best first, into `places` lists of at most `each`: one choice from each list gives distinct kinds.

    Only phrases of two words or more are dealt, and only one of a kind: two are of one kind if the last two words of
    one are among the other's ("running shoes", "waterproof trail running shoes"). What is of a kind with any of
    `not_again` is left out too. With few phrases there are fewer lists; with none, none.
    """
    kinds = [_kind(one) for one in not_again]
    kept: list[str] = []
    for one in phrases:
        kind = _kind(one)
        if len(one.split()) < 2 or any(kind <= other or other <= kind for other in kinds):
            continue
        kinds.append(kind)
        kept.append(one)
        if len(kept) == places * each:
            break
    return [kept[place::places] for place in range(min(places, len(kept)))]


def opening(interest: str, product: str) -> str:
    """How an explanation begins: "For camping: a down sleeping bag that". Only letters, digits, ', ’ and - are kept."""
    interest, product = (" ".join(_UNSAID.sub(" ", text).split()) for text in (interest, product))
    plural = product.endswith("s") and not product.endswith("ss")
    article = "" if plural else "an " if product[:1].lower() in "aeiou" else "a "
    return f"For {interest}: {article}{product} that"


def _kind(text: str) -> frozenset[str]:
    return frozenset(text.split()[-2:])
