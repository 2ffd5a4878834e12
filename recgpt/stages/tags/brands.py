"""Which brand a tag names, of all that the catalogue has. A tag is in lower case, so spelling can't tell.

A shop has brands called Natural, Bath or Mirror, and a ban on those words would refuse "natural deodorant". So a
brand's words count as ordinary, and name no brand, where the catalogue itself uses them of other makers' products: in
a category's name, or in the titles of at least `OTHERS` other brands and of more items than the brand has. Titles that
only say what an item goes with ("for Lumo cameras") don't count, nor do those of a brand whose own name holds the
words ("Moss" in "Moss & Scree"); where a brand is missing nothing is known of the maker, so those items don't count
either.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from recgpt.sources.logs import Catalogue

OTHERS: Final = 3  # one or two other makers may sell parts for the brand, or share its owner
READ: Final = 400  # characters of a title that are looked at; a name comes first

_GOES_WITH: Final = frozenset(("for", "fit", "fits", "with", "to", "by", "like", "than", "vs"))
_WORD: Final = re.compile(r"[^\W_]+")

Words = tuple[str, ...]


class TagBrands:
    """The brands of a catalogue, looked up by their first word: a tag costs its length, however many brands."""

    def __init__(self, catalogue: Catalogue) -> None:
        tokens = {brand: split(brand) for brand in set(catalogue.brands)}
        own = Counter(tokens[brand] for brand in catalogue.brands)
        # A single letter or a bare number names nothing by itself.
        names = {name for name in own if any(len(word) > 1 and not word.isdigit() for word in name)}
        self._by_first = _by_first(names)
        self.ordinary: Final = self._in_categories(catalogue) | self._in_titles(catalogue, tokens, own)
        self._by_first = _by_first(names - self.ordinary)

    def named_in(self, text: str) -> str:
        """The first brand that a text names, in plain words; "" if it names none."""
        return " ".join(next((name for _, name in self._found(split(text))), ()))

    def _found(self, said: Words) -> Iterator[tuple[int, Words]]:
        """The names that stand in the words, each with its place."""
        for place, word in enumerate(said):
            for name in self._by_first.get(word, ()):
                if said[place : place + len(name)] == name:
                    yield place, name

    def _in_categories(self, catalogue: Catalogue) -> set[Words]:
        return {name for path in set(catalogue.categories) for _, name in self._found(split(path))}

    def _in_titles(self, catalogue: Catalogue, tokens: dict[str, Words], own: Counter[Words]) -> set[Words]:
        items: Counter[Words] = Counter()
        makers: dict[Words, set[Words]] = defaultdict(set)
        for title, brand in zip(catalogue.titles, catalogue.brands, strict=True):
            mine, said = tokens[brand], split(title[:READ])
            if not mine:
                continue
            for name in {name for place, name in self._found(said) if not (place and said[place - 1] in _GOES_WITH)}:
                if not (set(name) <= set(mine) or set(mine) <= set(name)):
                    items[name] += 1
                    makers[name].add(mine)
        return {name for name, count in items.items() if len(makers[name]) >= OTHERS and count > own[name]}


def split(text: str) -> Words:
    """Words as brands are compared: "L'Oréal" is "Loreal", and a hyphen is a space."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(char))
    return tuple(_WORD.findall(plain.replace("'", "").replace("’", "")))


def _by_first(names: Iterable[Words]) -> dict[str, list[Words]]:
    found: dict[str, list[Words]] = defaultdict(list)
    for name in sorted(names):
        found[name[0]].append(name)
    return dict(found)
