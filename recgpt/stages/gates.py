"""The rules an answer must pass before it is kept. Each raises `Refused` with its own name, which is what is stored.

Gates are code: they cost nothing, give the same verdict twice, and don't depend on the model they guard against.
"""

import re
from collections.abc import Collection, Iterable

from recgpt.stages.work import Refused

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SLOGAN = re.compile(
    r"!|\b(?:best|perfect\w*|ultimate|amazing|incredible|must|premium|high[- ]quality|unbeatable|world|dream|essential|"
    r"guarantee\w*|discover|elevate|hurry|order now|buy now|don't miss|limited time|once in a lifetime)\b",
    re.IGNORECASE,
)
_HEALTH = re.compile(
    r"\b(?:health\w*|relie(?:f|ve\w*)|stress|cure\w*|heal(?:s|ing)?|improves? your|complexion)\b", re.IGNORECASE
)
# Claims an explanation may make only if the item's own record makes them.
PROPERTIES = (
    "waterproof", "windproof", "breathable", "wireless", "cordless", "bluetooth", "rechargeable", "organic", "vegan",
    "handmade", "recycled", "leather", "cotton", "linen", "silk", "wool", "nylon", "foam", "cork", "wooden", "oak",
    "beech", "cedar", "bamboo", "steel", "stainless", "cast-iron", "brass", "bronze", "titanium", "gold", "silver",
    "ceramic", "glass", "foldable", "portable", "compact", "adjustable", "washable", "lightweight", "ultralight",
    "insulated", "padded", "durable", "ergonomic", "non-slip", "fireproof", "hypoallergenic", "noise-cancelling",
)  # fmt: skip
_SMALL = frozenset((
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "for", "from", "has", "have", "in", "into", "is",
    "it", "its", "of", "on", "or", "out", "so", "than", "that", "the", "their", "them", "then", "they", "this", "to",
    "up", "use", "used", "was", "what", "when", "where", "which", "while", "who", "will", "with", "without", "you",
    "your",
))  # fmt: skip
_NO_END = _SMALL | {"any", "his", "her", "also", "more", "other", "some", "such", "very"}
STEM = 5  # letters by which two words are taken to be one: "yoga yogas", "paint painting"


def words(text: str) -> list[str]:
    """Lower-case words; digits count as words, punctuation does not."""
    return _WORD.findall(text.lower())


def same_text(one: str, other: str) -> bool:
    """Whether two short texts say the same in the same words."""
    return words(one) == words(other)


def contains(text: str, phrase: str) -> bool:
    """Whether the words of `phrase` stand in `text` in a row."""
    return f" {' '.join(words(phrase))} " in f" {' '.join(words(text))} "


def interest_name(name: str, *, titles: Collection[str], examples: Collection[str], sensitive: Iterable[str]) -> str:
    """A name of 1 to 5 words that is no item's title, no example of the prompt, and on no sensitive topic.

    Args:
        titles: of the items in the evidence.
        examples: answers that the prompt itself gives; a model that repeats one has not read the data.
    """
    name = " ".join(name.split()).strip(" .\"'")
    length = len(words(name))
    if not 1 <= length <= 5 or len(name) > 60 or not re.search(r"[^\W\d_]{3}", name):
        raise Refused("name", name, "an interest's name has 1 to 5 words")
    if _stutters(name):
        raise Refused("stutter", name, "a word stands in it twice")
    if words(name)[-1] in _NO_END:
        raise Refused("unfinished", name, f"ends in {words(name)[-1]!r}")
    if any(same_text(name, title) for title in titles):
        raise Refused("item_title", name, "the name is an item's title")
    if any(same_text(name, example) for example in examples):
        raise Refused("prompt_example", name, "the name is one of the prompt's examples")
    for topic in sensitive:
        if contains(name, topic):
            raise Refused("sensitive", name, topic)
    return name


def tag_form(tag: str, *, brands: Iterable[str], banned: Collection[str]) -> str:
    """Modifier + core word: 2 to 6 words, none twice, no brand of the evidence, no vague word, no bare number."""
    tag = " ".join(tag.split()).strip(" .\"'").lower()
    parts = words(tag)
    if not 2 <= len(parts) <= 6 or any(part.isdigit() for part in parts):
        raise Refused("form", tag, "a tag is modifier + core word, 2 to 6 words")
    if _stutters(tag):
        raise Refused("stutter", tag, "a word stands in it twice")
    vague = next((part for part in parts if part in banned), None)
    if vague:
        raise Refused("vague", tag, vague)
    brand = next((brand for brand in brands if brand and contains(tag, brand)), None)
    if brand:
        raise Refused("brand", tag, brand)
    return tag


def explanation(text: str, *, title: str, record: str, shortest: int = 15, longest: int = 160) -> str:
    """One line that fits, is not the title again, no slogan, and claims nothing that the item's record doesn't.

    Args:
        record: all that is known of the item and the interest: title, category, brand, description, interest's name.
    """
    text = " ".join(text.split()).strip(' "')
    if not shortest <= len(text) <= longest:
        raise Refused("length", text, f"{len(text)} characters; {shortest} to {longest} are asked for")
    if set(words(text)) <= set(words(title)) or same_text(text, title):
        raise Refused("title_again", text, title)
    for gate, pattern in (("slogan", _SLOGAN), ("health_claim", _HEALTH)):
        said = pattern.search(text)
        if said and not contains(record, said[0]):
            raise Refused(gate, text, said[0])
    claimed = next((word for word in PROPERTIES if contains(text, word) and not contains(record, word)), None)
    if claimed:
        raise Refused("invented", text, claimed)
    return text


def continuation(text: str, opening: str, *, record: str) -> str:
    """What a small model wrote on from an opening: a whole thought that says something the record doesn't already."""
    rest = words(text.removeprefix(opening))
    if _stutters(" ".join(rest)):
        raise Refused("stutter", text, "a word stands in it twice")
    if not rest or rest[-1] in _NO_END:
        raise Refused("unfinished", text, "ends in the middle")
    known = {word[:STEM] for word in words(record)} | _SMALL
    if len({word for word in rest if word not in _SMALL and word[:STEM] not in known}) < 2:
        raise Refused("says_nothing", text, "no two words that the record does not have")
    return text


def _stutters(text: str) -> bool:
    stems = [word[:STEM] for word in words(text) if word not in _SMALL]
    return len(set(stems)) < len(stems)
