"""The rules an answer must pass before it is kept. Each raises `Refused` with its own name, which is what is stored.

Gates are code: they cost nothing, give the same verdict twice, and don't depend on the model they guard against.
"""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

from recgpt.rendering.clean import clean
from recgpt.stages.answers import Refused

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
# Words that say nothing by themselves.
SMALL = frozenset((
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "for", "from", "has", "have", "in", "into", "is",
    "it", "its", "of", "on", "or", "out", "so", "than", "that", "the", "their", "them", "then", "they", "this", "to",
    "up", "use", "used", "was", "what", "when", "where", "which", "while", "who", "will", "with", "without", "you",
    "your",
))  # fmt: skip
# ... and with these no thought ends.
NO_END = SMALL | {"any", "his", "her", "also", "more", "other", "some", "such", "very"}
STEM = 5  # letters by which two words are taken to be one: "yoga yogas", "paint painting"


def words(text: str) -> list[str]:
    """Lower-case words; digits count as words, punctuation does not."""
    return _WORD.findall(text.lower())


def same_text(one: str, other: str) -> bool:
    """Whether two short texts say the same in the same words."""
    return _spaced(one) == _spaced(other)


def contains(text: str, phrase: str) -> bool:
    """Whether the words of `phrase` stand in `text` in a row."""
    return _spaced(phrase) in _spaced(text)


@lru_cache(maxsize=16_384)
def _spaced(text: str) -> str:
    """Its words with a space around each. Topics, titles and names are compared again and again."""
    return f" {' '.join(words(text))} "


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
    if clean(name, 60) != name:  # it goes into later prompts
        raise Refused("name", name, "a name is plain words")
    if stutters(name):
        raise Refused("stutter", name, "a word stands in it twice")
    if words(name)[-1] in NO_END:
        raise Refused("unfinished", name, f"ends in {words(name)[-1]!r}")
    if any(same_text(name, title) for title in titles):
        raise Refused("item_title", name, "the name is an item's title")
    if any(same_text(name, example) for example in examples):
        raise Refused("prompt_example", name, "the name is one of the prompt's examples")
    for topic in sensitive:
        if contains(name, topic):
            raise Refused("sensitive", name, topic)
    return name


def stutters(text: str) -> bool:
    """Whether a word that says something stands in a text twice."""
    stems = [word[:STEM] for word in words(text) if word not in SMALL]
    return len(set(stems)) < len(stems)
