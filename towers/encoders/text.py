"""Text as hashed pieces of words, so that a word never seen in training still has a vector.

A word gives itself and its character 4-grams (with word boundaries), each hashed into one of B rows; a text is the mean
of its rows. The hash is BLAKE2, the same on every machine and in every process. No vocabulary is built or kept.

Source: Bojanowski et al., Enriching Word Vectors with Subword Information, arXiv 1607.04606 (there n is 3 to 6).
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

GRAM = 4
MAX_WORDS = 64  # of one text; what follows says little about what a thing is
_MAX_WORD = 40  # characters
_WORD = re.compile(r"\w+")


def stable_hash(text: str, seed: str) -> int:
    """64 bits of BLAKE2b; `seed` (at most 16 bytes) keeps the tables of different features apart."""
    # A lone surrogate can stand in a title read from JSON; it must not stop a run.
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8, person=seed.encode()).digest(), "little")


def words(text: str) -> list[str]:
    """Lower-case words of at most 40 characters, the first 64 of the text."""
    found = _WORD.findall(unicodedata.normalize("NFKC", text[: MAX_WORDS * _MAX_WORD]).lower())
    return [word[:_MAX_WORD] for word in found[:MAX_WORDS]]


def pieces(word: str) -> list[str]:
    """The word between its boundaries, and the 4-grams of that: "nail" -> "<nail>", "<nai", "nail", "ail>"."""
    marked = f"<{word}>"
    return [marked, *(marked[i : i + GRAM] for i in range(len(marked) - GRAM + 1) if len(marked) > GRAM)]


@lru_cache(maxsize=200_000)
def _rows(word: str, buckets: int) -> tuple[int, ...]:
    return tuple(stable_hash(piece, "text") % buckets for piece in pieces(word))


def token_rows(text: str, buckets: int) -> list[int]:
    """Rows of the text table for one text; empty for a text without a word."""
    return [row for word in words(text) for row in _rows(word, buckets)]


@dataclass(frozen=True)
class TokenBags:
    """Ragged rows of N texts: those of text n are rows[offsets[n]:offsets[n + 1]]."""

    rows: Tensor  # (P,) int64
    offsets: Tensor  # (N + 1,) int64

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def select(self, index: Tensor) -> "TokenBags":
        """The bags of the texts in `index` (M,), in that order."""
        starts = self.offsets[index]  # (M,)
        lengths = self.offsets[index + 1] - starts  # (M,)
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])  # (M + 1,)
        shift = torch.repeat_interleave(starts - offsets[:-1], lengths)  # (P',)
        return TokenBags(self.rows[torch.arange(len(shift), device=shift.device) + shift], offsets)


def token_bags(texts: Sequence[str], buckets: int) -> TokenBags:
    """Hash N texts."""
    found = [token_rows(text, buckets) for text in texts]
    offsets = np.zeros(len(found) + 1, dtype=np.int64)
    np.cumsum([len(rows) for rows in found], out=offsets[1:])
    flat = np.fromiter((row for rows in found for row in rows), dtype=np.int64, count=int(offsets[-1]))
    return TokenBags(torch.from_numpy(flat), torch.from_numpy(offsets))
