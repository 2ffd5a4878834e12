"""The rules an explanation must pass before anybody sees it, each with its own name, which is what is stored.

They are code and judge words, so they say the same twice and don't depend on the model that they guard against; what
only meaning can tell (is it relevant? is it clear?) is left to the judges. What a rule forbids is allowed where the
item's own record or the interest's name says it: an "essential oil" may be called one. Two rules allow no exception:
prices, which change more often than a line is made, and the topics in [interests] sensitive.

A line is kept and shared, so it may not speak of tonight's season or of its reader either.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from recgpt.rendering.clean import clean
from recgpt.stages.answers import Refused
from recgpt.stages.explanations import claims, wording
from recgpt.stages.explanations.brands import Brands
from recgpt.stages.explanations.vocabulary import Vocabulary
from recgpt.stages.gates import NO_END, SMALL, STEM, contains, stutters, words

COPIED: Final = 0.6  # ROUGE-L with the title from which a line is a copy of it
SAME_WORDS: Final = 0.75  # or this share of its words that stand in the title
NEW_WORDS: Final = 2  # that the record and the interest do not have; with fewer a line says nothing
SHORTEST_STYLE: Final = 20  # characters of a style guide
LONGEST_STYLE: Final = 400
# No sentence ends in these. A small model, which is held to so many words, is cut after any small word.
_CUT: Final = frozenset((
    "a", "an", "and", "because", "but", "every", "from", "his", "into", "its", "of", "or", "our", "than", "the",
    "their", "very", "whose", "your",
))  # fmt: skip


@dataclass(frozen=True)
class About:
    """What a line is about, and all that it may draw on."""

    interest: str
    title: str
    record: str  # all that the catalogue says of the item: title, category, brand
    opening: str = ""  # what a small model was made to begin with

    @property
    def known(self) -> str:
        return f"{self.record} {self.interest}"


@dataclass(frozen=True)
class Rules:
    """What all lines of a night are held against."""

    shortest: int = 15  # characters
    longest: int = 160
    sensitive: Sequence[str] = ()
    occasions: Sequence[str] = ()  # names of the region's events
    brands: Brands = field(default_factory=lambda: Brands(()))
    vocabulary: Vocabulary | None = None  # where given, a word outside of it is none


def passed(text: str, about: About, rules: Rules) -> str:
    """The line, trimmed, if it passes every gate.

    Raises:
        Refused: with the name of the first gate that it breaks, and the words that do.
    """
    text = " ".join(text.split()).strip(' "“”')
    for name, gate in GATES.items():
        broken = gate(text, about, rules)
        if broken:
            raise Refused(name, text, broken)
    return text


def style(text: str, rules: Rules) -> str:
    """A style guide for a group, safe to be part of the next prompt: short, on no sensitive topic, without a brand.

    Raises:
        Refused: likewise.
    """
    text = clean(text, 2 * LONGEST_STYLE).strip(' "“”')
    if not SHORTEST_STYLE <= len(text) <= LONGEST_STYLE:
        raise Refused("length", text, f"{len(text)} characters; {SHORTEST_STYLE} to {LONGEST_STYLE} are asked for")
    topic = next((topic for topic in rules.sensitive if contains(text, topic)), None)
    if topic:
        raise Refused("sensitive", text, topic)
    brand = rules.brands.named(text)
    if brand:
        raise Refused("brand", text, brand)
    return text


def rouge_l(one: str, other: str) -> float:
    """ROUGE-L, F1: 2 * lcs / (m + n) over the stems of two texts of m and n words (Lin 2004)."""
    mine, theirs = ([word[:STEM] for word in words(text)] for text in (one, other))
    row = [0] * (len(theirs) + 1)
    for word in mine:
        left = 0  # the diagonal: the row above, one place back
        for place, their in enumerate(theirs, 1):
            left, row[place] = row[place], left + 1 if word == their else max(row[place], row[place - 1])
    return 2 * row[-1] / max(len(mine) + len(theirs), 1)


def _length(text: str, _: About, rules: Rules) -> str | None:
    fits = rules.shortest <= len(text) <= rules.longest
    return None if fits else f"{len(text)} characters; {rules.shortest} to {rules.longest} are asked for"


def _form(text: str, _: About, __: Rules) -> str | None:
    return next(
        (f"has {said[0]!r}" for said in wording.MARKUP.finditer(text)), None if text.isprintable() else "unprintable"
    )


def _unfinished(text: str, about: About, _: Rules) -> str | None:
    rest = words(_rest(text, about))
    cut = not rest or rest[-1] in (NO_END if about.opening else _CUT) or wording.BROKEN.search(text)
    return "ends in the middle" if cut else None


def _stutter(text: str, about: About, _: Rules) -> str | None:
    """Only of what a small model wrote itself: in its opening the interest and the product may share a word."""
    twice = about.opening and stutters(_rest(text, about))
    return "a word stands in it twice" if twice else None


def _non_word(text: str, about: About, rules: Rules) -> str | None:
    return rules.vocabulary.unknown(text, about.known) if rules.vocabulary else None


def _title_again(text: str, about: About, _: Rules) -> str | None:
    said, title = _stems(_rest(text, about)), _stems(about.title)
    same = len(said & title) / max(len(said), 1)
    return about.title if same >= SAME_WORDS or rouge_l(_rest(text, about), about.title) >= COPIED else None


def _says_nothing(text: str, about: About, _: Rules) -> str | None:
    new = _stems(_rest(text, about)) - _stems(about.known)
    return None if len(new) >= NEW_WORDS else f"fewer than {NEW_WORDS} words that the record does not have"


def _rest(text: str, about: About) -> str:
    """What the model wrote itself."""
    return text.removeprefix(about.opening)


def _stems(text: str) -> set[str]:
    return {word[:STEM] for word in words(text) if word not in SMALL}


def _sensitive(text: str, _: About, rules: Rules) -> str | None:
    return next((topic for topic in rules.sensitive if contains(text, topic)), None)


def _dated(text: str, about: About, rules: Rules) -> str | None:
    named = (name for name in rules.occasions if contains(text, name) and not contains(about.known, name))
    return next(named, None) or _said(wording.DATED)(text, about, rules)


def _invented(text: str, about: About, _: Rules) -> str | None:
    return claims.property_(text, about.known) or claims.material(text, about.known)


def _slogan(text: str, about: About, rules: Rules) -> str | None:
    shout = wording.SHOUT.search(text)
    return shout[0] if shout else _said(wording.SLOGAN)(text, about, rules)


def _said(pattern: re.Pattern[str]) -> "Gate":
    """The gate that refuses what matches, unless the record or the interest says it in these words."""

    def gate(text: str, about: About, _: Rules) -> str | None:
        return next((said[0] for said in pattern.finditer(text) if not contains(about.known, said[0])), None)

    return gate


Gate = Callable[[str, About, Rules], str | None]  # what breaks the rule, if anything
GATES: Final[dict[str, Gate]] = {
    "length": _length,
    "form": _form,
    "unfinished": _unfinished,
    "stutter": _stutter,
    "non_word": _non_word,
    "sensitive": _sensitive,
    "health_claim": _said(wording.HEALTH),
    "personal": _said(wording.PERSONAL),
    "price": lambda text, _, __: claims.price(text),
    "number": lambda text, about, _: claims.number(text, about.known),
    "brand": lambda text, about, rules: rules.brands.named(text, about.known),
    "invented": _invented,
    "slogan": _slogan,
    "exaggeration": _said(wording.EXAGGERATION),
    "generic": _said(wording.GENERIC),
    "dated": _dated,
    "title_again": _title_again,
    "says_nothing": _says_nothing,
}
