"""The rules an answer must pass before it is kept. Each raises `Refused` with its own name, which is what is stored.

Gates are code: they cost nothing, give the same verdict twice, and don't depend on the model they guard against.
"""

import re
from collections.abc import Collection, Iterable

from recgpt.stages.work import Refused

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
SLOGANS = (
    "must have", "must-have", "best ever", "don't miss", "do not miss", "buy now", "order now", "hurry", "limited time",
    "amazing", "incredible", "unbeatable", "world's best", "perfect for everyone", "once in a lifetime", "guaranteed",
)  # fmt: skip
# Claims an explanation may make only if the item's own record makes them.
PROPERTIES = (
    "waterproof", "wireless", "organic", "vegan", "handmade", "leather", "cotton", "silk", "wool", "wooden", "steel",
    "titanium", "gold", "silver", "ceramic", "glass", "bamboo", "rechargeable", "foldable", "lightweight", "insulated",
    "dishwasher", "fireproof", "hypoallergenic", "noise-cancelling", "bluetooth", "cordless", "stainless", "cast-iron",
)  # fmt: skip


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
    if len(set(words(name))) < length:
        raise Refused("stutter", name, "a word stands in it twice")
    if any(same_text(name, title) for title in titles):
        raise Refused("item_title", name, "the name is an item's title")
    if any(same_text(name, example) for example in examples):
        raise Refused("prompt_example", name, "the name is one of the prompt's examples")
    for topic in sensitive:
        if contains(name, topic):
            raise Refused("sensitive", name, topic)
    return name


def tag_form(tag: str, *, brands: Iterable[str], banned: Collection[str]) -> str:
    """Modifier + core word: 2 to 6 words, no brand of the evidence, no vague word, no digits-only word."""
    tag = " ".join(tag.split()).strip(" .\"'").lower()
    parts = words(tag)
    if not 2 <= len(parts) <= 6 or any(part.isdigit() for part in parts):
        raise Refused("form", tag, "a tag is modifier + core word, 2 to 6 words")
    if len(set(parts)) < len(parts):
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
    slogan = next((slogan for slogan in SLOGANS if contains(text, slogan)), None)
    if slogan:
        raise Refused("slogan", text, slogan)
    claimed = next((word for word in PROPERTIES if contains(text, word) and not contains(record, word)), None)
    if claimed:
        raise Refused("invented", text, claimed)
    return text
