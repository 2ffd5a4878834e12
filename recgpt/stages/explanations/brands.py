"""Brand names of the catalogue, found in a text.

Many brands are ordinary words ("Summit", "Camp", "Guess"). One that is counts as named only where it is spelt as a
name: with a capital, and not because a sentence begins there. Any other brand counts however it is spelt. A brand of
several words must stand in a row.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Final

from recgpt.stages.gates import contains, words

_WORD: Final = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")  # as gates.words, with the case kept
_ENDS: Final = ".!?:"  # after these a capital is the sentence's


class Brands:
    """All brands, to be asked about many texts: a look-up a word, however many brands there are.

    Args:
        ordinary: lower-case words of the language. Without any, every brand must be spelt with a capital.
    """

    def __init__(self, names: Iterable[str], ordinary: Collection[str] = ()) -> None:
        self._ordinary = ordinary
        self._names = {tuple(words(name)) for name in set(names) if any(letter.isalpha() for letter in name)}
        self._lengths: dict[str, set[int]] = defaultdict(set)  # of the brands that begin with a word
        for name in self._names:
            self._lengths[name[0]].add(len(name))

    def named(self, text: str, known: str = "") -> str | None:
        """A brand that `text` names and `known` (the item's own record, the interest) doesn't."""
        found = list(_WORD.finditer(text))
        lower = tuple(match[0].lower() for match in found)
        for start, word in enumerate(lower):
            for length in self._lengths.get(word, ()):
                brand = lower[start : start + length]
                if brand not in self._names or contains(known, " ".join(brand)):
                    continue
                if not self._is_ordinary(brand) or self._spelt_as_name(text, found[start : start + length]):
                    return " ".join(brand)
        return None

    def _is_ordinary(self, brand: tuple[str, ...]) -> bool:
        return not self._ordinary or all(word in self._ordinary for word in brand)

    def _spelt_as_name(self, text: str, found: list[re.Match[str]]) -> bool:
        before = text[: found[0].start()].rstrip(" \"'“‘(")
        if (not before or before[-1] in _ENDS) and len(found) == 1:
            return False
        return all(not match[0][0].islower() for match in found)
