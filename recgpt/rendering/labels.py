"""Labels of a catalogue's rows, made once and kept.

Rows that come to the same words (sizes or makers of one thing) share a label, so that a profile names them in one line.
A row is named when it is first met: a catalogue of millions costs nothing until its items are seen.
"""

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from recgpt.rendering.titles import label
from recgpt.sources.logs import Catalogue


class Labels:
    """Label numbers of catalogue rows, and the labels' texts. Safe to share between threads."""

    def __init__(self, catalogue: Catalogue, words: int) -> None:
        self.texts: list[str] = []
        self._catalogue, self._words = catalogue, words
        self._numbers = np.full(len(catalogue), -1, np.int64)  # (rows,), -1 is not named yet
        self._by_text: dict[str, int] = {}
        self._lock = threading.Lock()

    def of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Label numbers (E,) of catalogue rows (E,), none of them negative."""
        numbers: npt.NDArray[np.int64] = self._numbers[rows]
        if numbers.min(initial=0) >= 0:
            return numbers
        with self._lock:
            for row in np.unique(rows[numbers < 0]).tolist():
                catalogue = self._catalogue
                text = label(catalogue.titles[row], catalogue.brands[row], catalogue.categories[row], self._words)
                number = self._by_text.setdefault(text, len(self.texts))
                if number == len(self.texts):
                    self.texts.append(text)
                self._numbers[row] = number
        named: npt.NDArray[np.int64] = self._numbers[rows]
        return named


class Costs(dict[str, int]):
    """Tokens of text parts that come again and again, each counted once."""

    def __init__(self, count_tokens: Callable[[str], int]) -> None:
        super().__init__()
        self.count_tokens = count_tokens

    def __missing__(self, text: str) -> int:
        if len(self) > 200_000:
            self.clear()
        self[text] = tokens = self.count_tokens(text)
        return tokens


_labels: tuple[Catalogue, int, Labels] | None = None  # the last catalogue's: a process renders one shop at a time
_costs: Costs | None = None


def labels_of(catalogue: Catalogue, words: int) -> Labels:
    global _labels  # noqa: PLW0603
    kept = _labels
    if kept is None or kept[0] is not catalogue or kept[1] != words:
        kept = _labels = (catalogue, words, Labels(catalogue, words))
    return kept[2]


def costs_of(count_tokens: Callable[[str], int]) -> Costs:
    global _costs  # noqa: PLW0603
    kept = _costs
    if kept is None or kept.count_tokens != count_tokens:
        kept = _costs = Costs(count_tokens)
    return kept
