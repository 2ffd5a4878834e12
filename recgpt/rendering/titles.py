"""An item in a few words: name, brand, key attributes, and in a label its category's leaf.

Sizes, pack counts, offers, guarantees and repeated words are dropped; what is left is cut to a number of words. An item
without a title is named by its category and brand. The result is clean (see `clean`), one line, at most 200 characters.
"""

import re
from functools import lru_cache

from recgpt.rendering.clean import clean
from recgpt.words import CATEGORY_SEPARATOR

UNNAMED = "an item without a name"

_READ = 400  # characters of a title that are looked at; a name comes first
_NAME_HEAD = 5  # words within which a repeat is part of the name ("Bumble and Bumble")
_WORD = 32  # characters of one word
_NUMBER = r"(?<![\w.])(?:\d+(?:[.,/]\d+)*|\.\d+)"
_UNIT = (
    r"(?:fl(?:uid)?\.?[\s-]*(?:oz|ounces?)|oz|ounces?|ml|cl|lit(?:er|re)s?|l|gr|gms?|gr?ams?|kg|mg|lbs?|pounds?"
    r"|inch(?:es)?|cm|mm|ft|feet|ct|counts?|pcs?|pieces?|pk|packs?|gal(?:lon)?s?|quarts?|qt|pints?|sheets?"
    r"|loads?|in(?=\.?\s*(?:$|[,;)(x]))|(?-i:g))(?![\w])\.?"
)
_SIZE = re.compile(
    rf"(?:approx\.?|about|net\s+wt\.?)?\s*{_NUMBER}\s*-?\s*{_UNIT}(?:\s*(?:/|x|,|\+)\s*{_NUMBER}\s*-?\s*{_UNIT})*"
    r"|\b(?:pack|lot|case|box|set|count|bundle)\s+of\s+\d+\b"
    r"|\bqty\.?\s*:?\s*\d+\b",
    re.IGNORECASE,
)
_OFFER = re.compile(
    r"\b(?:with\s+|plus\s+)?free\s+(?:shipping|delivery|gift|returns)\b|\bfast\s+(?:shipping|delivery)\b"
    r"|\bbrand[\s-]new\b|\bnew\s+in\s+box\b|\bas\s+seen\s+on\s+tv\b|\b(?:us|uk)\s+seller\b|\bbest\s*-?sellers?\b"
    r"|\b(?:\d+%\s+)?(?:satisfaction|money\s+back)\s+guarantee(?:d)?\b|\blifetime\s+(?:guarantee|warranty)\b"
    r"|\bsave\s+\d+\s*%(?:\s+today)?|\b\d+\s*%\s+off\b|\bon\s+sale\b|(?<!\w)#1\b"
    r"|[\[(*]+\s*(?:new|sale|hot)\s*[\])*!]+|\bnew\s*!+|^new\s*[:\-]\s*|\bnew\s*$",
    re.IGNORECASE,
)
_OFFER_WORDS = (
    "free",
    "fast",
    "new",
    "seen on",
    "seller",
    "guarantee",
    "warranty",
    "save",
    "% off",
    "sale",
    "#1",
    "hot",
)
_DIGIT = re.compile(r"\d")
_EMPTY_BRACKETS = re.compile(r"[\[({]\s*[,;/x&+-]*\s*[\])}]")
_LOOSE = re.compile(r"\s+([,;:.!?])|([,;:])(?=\s*[,;:.])")
_TAIL = re.compile(r"\s+[-|~]+\s+|\s*[–—]\s*")
_EDGE = " ,;:-/&+|*~.!"
_LINKS = {"and", "with", "for", "of", "by", "the", "a", "an", "in", "to", "from", "or", "w/", "plus", "includes", "up"}
_NO_BRAND = {
    *("", "generic", "unknown", "unbranded", "n/a", "na", "none", "no brand", "not specified", "other", "various"),
    *("private label", "store brand", "national brand"),
}
_ALNUM = re.compile(r"[^\W_]+")


def short_title(title: str | None, brand: str | None, category: str | None, words: int) -> str:
    """`OPI Red Shatter Crackle Nail Polish`, `Bath thermometer, Acme`; never empty, at most 200 characters.

    `category` is a path "A > B > C"; `words` bounds the name alone. A size that is the whole title is kept.
    """
    whole = clean(title or "", _READ)
    name = _name(whole, words) or _first_words(whole, words)
    maker = _brand(brand)
    if not name:
        leaf = _leaf(category, words)
        name = f"{leaf} by {maker}" if leaf and maker else leaf or (f"an item by {maker}" if maker else UNNAMED)
    elif maker and not _says(name, maker):
        name = f"{name}, {maker}"
    return clean(name, 200)  # what was dropped may have brought a marker's halves together


def label(title: str | None, brand: str | None, category: str | None, words: int) -> str:
    """The short title, and the category's leaf when the title does not say it: `Bath thermometer, Acme - Baby care`.

    A name of one word that is the leaf again (`Economy`) is told by the category above it: `Economy - Frozen pizza`.
    """
    name, leaf = short_title(title, brand, category, words), _leaf(category, words)
    said = _stems(name)
    if len(said) == 1 and said == _stems(leaf):
        leaf = _leaf((category or "").rpartition(CATEGORY_SEPARATOR.strip())[0], words)
    kind = _stems(leaf)[-1:]  # the last word is the kind of thing: "Body Washes" is said by "Body Wash"
    return name if set(said).issuperset(kind) else clean(f"{name} - {leaf}", 200)


def _name(text: str, words: int) -> str:
    text = _without_size(text)
    lowered = text.casefold()
    if any(word in lowered for word in _OFFER_WORDS):
        text = _OFFER.sub(" ", text)
    text = _EMPTY_BRACKETS.sub(" ", text)
    head, *tails = _TAIL.split(text)
    for tail in tails:  # "Name - Colour" is a name and its attribute, "Name - a long praise of it" is not
        if len(head.split()) >= 3 and len(tail.split()) > 6:
            break
        head = f"{head.strip(_EDGE)} - {tail}" if head.strip(_EDGE) else tail
    head = _LOOSE.sub(r"\1", " ".join(head.split()))
    seen: set[str] = set()
    kept: list[str] = []
    gap = False  # something was dropped just before
    for word in head.split():
        key = _stem(word.strip(_EDGE).casefold())
        if len(kept) >= _NAME_HEAD and len(key) > 2 and key in seen:
            gap = True
            continue
        if gap and word.casefold() in _LINKS and kept[-1].casefold() in _LINKS:
            kept.pop()
        gap = False
        seen.add(key)
        kept.append(word)
    return _calm(_first_words(" ".join(kept), words))


def _without_size(text: str) -> str:
    return _SIZE.sub(" ", text) if _DIGIT.search(text) else text


def _first_words(text: str, words: int) -> str:
    kept = [word[:_WORD] for word in text.split()[:words]]
    while kept and (kept[-1].casefold() in _LINKS or not kept[-1].strip(_EDGE)) and len(kept) > 1:
        kept.pop()
    name = " ".join(kept).strip(_EDGE)
    opened = name.rfind("(")
    return name[:opened].rstrip(_EDGE) if opened > name.rfind(")") else name


def _calm(text: str) -> str:
    """A SHOUTED name in ordinary letters, which are fewer tokens; a short code stays as it is."""
    return text.capitalize() if text.isupper() and (" " in text or len(text) > 4) else text


@lru_cache(maxsize=65_536)  # a shop has few makers beside its items
def _brand(brand: str | None) -> str:
    name = _first_words(clean(brand or "", 80).partition("(")[0], 4)
    return "" if name.casefold() in _NO_BRAND else name


@lru_cache(maxsize=65_536)
def _leaf(category: str | None, words: int) -> str:
    leaf = clean((category or "").rpartition(CATEGORY_SEPARATOR.strip())[2], 80)
    return _calm(_first_words(_without_size(leaf), words))


def _says(name: str, maker: str) -> bool:
    first = _stems(maker)[:1]
    if first and len(first[0]) >= 4 and first[0] in _stems(name):
        return True
    squeezed = "".join(_ALNUM.findall(maker.casefold()))
    return squeezed in "".join(_ALNUM.findall(name.casefold()))


def _stems(text: str) -> list[str]:
    return [_stem(word) for word in _ALNUM.findall(text.casefold())]


def _stem(word: str) -> str:
    """`washes` and `wash`, `shoes` and `shoe` alike: good enough to tell a repeat."""
    return word.rstrip("es") or word
