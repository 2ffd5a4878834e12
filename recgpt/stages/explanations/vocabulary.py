"""Which words are words: a cheap look-up against non-words, which small models make up ("the right type ofakis").

The word list is the whole words in tokenizers' vocabularies: those of the packaged encoder and the packaged model hold
some 37,000 of the commonest. To these come the endings that English adds, two words joined, and whatever the
catalogue's titles and categories say. A rare true word that is in none of them costs a second try, nothing more.
"""

import json
import re
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

from recgpt.sources.logs import Catalogue

_WORD: Final = re.compile(r"[^\W\d_]+")
_ENDINGS: Final = (
    "s", "es", "d", "ed", "r", "er", "ers", "ing", "ings", "ly", "y", "less", "able", "ness", "ful", "ish",
)  # fmt: skip
_BEGINNINGS: Final = ("un", "re", "non", "pre", "anti", "over", "de", "out", "under")
SHORTEST: Final = 3  # letters of a word that is looked at, and of a half of a joined one


class Vocabulary:
    """Common words, and a catalogue's own."""

    def __init__(self, common: Collection[str], catalogue: Catalogue | None = None) -> None:
        self._common, self._catalogue = common, catalogue

    def unknown(self, text: str, known: str) -> str | None:
        """The first word of `text` that is none: not common, not in `known`, not in the catalogue."""
        given = _split(known)
        for word in _WORD.findall(text.lower()):
            if len(word) < SHORTEST or word in given or self._is_word(word) or word in self._titles:
                continue
            return str(word)
        return None

    def _is_word(self, word: str) -> bool:
        if self._has_form(word):
            return True
        places = range(SHORTEST, len(word) - SHORTEST + 1)
        return any(word[:place] in self._common and self._has_form(word[place:]) for place in places)

    def _has_form(self, word: str) -> bool:
        return any(form in self._common for form in _forms(word))

    @cached_property
    def _titles(self) -> set[str]:
        if self._catalogue is None:
            return set()
        texts = (self._catalogue.titles, set(self._catalogue.categories))
        return {word for listed in texts for text in listed for word in _WORD.findall(text.lower())}


def common_words(*tokenizers: Path) -> frozenset[str]:
    """The lower-case whole words in the vocabularies of tokenizer.json files."""
    return frozenset(word for file in tokenizers for word in _whole(file))


def _whole(tokenizer: Path) -> Iterator[str]:
    """WordPiece marks what goes on a word with ##; byte-level BPE marks what begins one with Ġ."""
    model = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]
    for token in model["vocab"]:
        word = token[1:] if token.startswith("Ġ") else token if model["type"] == "WordPiece" else ""
        if word.isalpha():
            yield word.lower()


def _forms(word: str) -> Iterator[str]:
    """The word, and what it may be a form of: "stopped" of "stop", "hobbies" of "hobby", "unlit" of "lit"."""
    yield word
    for ending in _ENDINGS:
        stem = word.removesuffix(ending)
        if len(stem) == len(word) or len(stem) < SHORTEST:
            continue
        yield stem
        yield stem + "e"
        if stem.endswith("i"):
            yield stem[:-1] + "y"
        if stem[-1] == stem[-2]:
            yield stem[:-1]
    for beginning in _BEGINNINGS:
        stem = word.removeprefix(beginning)
        if len(word) > len(stem) > SHORTEST:
            yield stem


def _split(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))
