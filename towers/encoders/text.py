"""Text as hashed pieces of words, pooled into one vector, so that a word never seen in training still has one.

A word gives itself and its character 4-grams (with word boundaries), each hashed into one of B rows; a text is a mean
of its rows, plain or weighed by attention. The hash is BLAKE2, the same on every machine and in every process. No
vocabulary is built or kept. The vector of a frozen sentence encoder can stand beside it as a second field.

Source: Bojanowski et al., Enriching Word Vectors with Subword Information, arXiv 1607.04606 (there n is 3 to 6).
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from towers.config import TowersError

GRAM = 4
MAX_WORDS = 64  # of one text; what follows says little about what a thing is
INIT_STD = 0.08  # of a piece's row; the mean over a text's thirty or so is near the ids' 0.02
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

    @cached_property
    def by_row(self) -> tuple[Tensor, Tensor, Tensor]:
        """The same as seen from the rows: those that occur (U,), ascending, each once; row u stands in the texts
        texts[offsets[u]:offsets[u + 1]], with offsets (U + 1,) and texts (P,). Sorted once for all steps that read it.
        """
        rows, order = self.rows.sort(stable=True)
        texts = torch.repeat_interleave(torch.arange(len(self), device=rows.device), self.offsets.diff())  # (P,)
        found, counts = torch.unique_consecutive(rows, return_counts=True)
        return found, torch.cat([counts.new_zeros(1), counts.cumsum(0)]), texts[order]

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


class TextEncoder(nn.Module):
    """N texts to one field of their pieces, and a second of their sentence vectors where `vector_dim` is not 0.

    With e_1 .. e_P the rows of a text's pieces in the table E (rows, dim), the first field is

        mean:       1/P sum_p e_p
        attention:  sum_p a_p e_p,   a = softmax_p(q . e_p)

    with a query q that is learnt and starts at 0, so attention starts as the mean and then learns which pieces tell
    (Yang et al., NAACL 2016, with the query alone). A text without a piece is zeros. The second field is

        W (s - m) / d + b

    of the vector s that a sentence encoder gave and that training does not change; m (V,) is the mean of such vectors
    and d their distance from it (root mean square), by `fit`. Unit vectors stand close together around what all texts
    of a shop share, and less of each is its own than the optimiser could scale up in a few epochs. Of distance 1, W
    makes them about as long as ids begin; longer, they hide the ids: after three epochs on 198,502 reviews (ties
    in the log's order) these vectors took the validation NDCG@10 from .054 to .044 where each of their 384 numbers had
    deviation 1, to .055 now.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, rows: int, dim: int, pooling: str = "mean", vector_dim: int = 0, sparse: bool = True) -> None:
        super().__init__()
        if pooling not in ("mean", "attention"):
            raise TowersError(f"no text pooling {pooling!r}; there are mean and attention")
        self.sparse = sparse
        self.fields = 2 if vector_dim else 1
        self.weight = nn.Parameter(torch.empty(rows, dim))
        nn.init.normal_(self.weight, std=INIT_STD)
        self.query = nn.Parameter(torch.zeros(dim)) if pooling == "attention" else None
        self.project = nn.Linear(vector_dim, dim) if vector_dim else None
        self.register_buffer("centre", torch.zeros(vector_dim))
        self.register_buffer("spread", torch.ones(()))

    @torch.no_grad()
    def fit(self, vectors: Tensor) -> None:
        """m and d of sentence vectors (N, V), N not 0. Vectors that are all the same keep d = 1."""
        self.centre.copy_(vectors.mean(0))
        spread = (vectors - self.centre).square().sum(1).mean().sqrt()
        self.spread.copy_(torch.where(spread > 0, spread, 1.0))

    def forward(self, bags: TokenBags, vectors: Tensor | None = None) -> Tensor:
        """(N, fields, dim) of N bags and, where there is a second field, their sentence vectors (N, vector_dim)."""
        if (vectors is None) != (self.project is None):
            raise TowersError("sentence vectors are given exactly where vector_dim says how wide they are")
        words = self._mean(bags) if self.query is None else self._attend(bags, self.query)  # (N, D)
        if self.project is None or vectors is None:
            return words[:, None]
        return torch.stack([words, self.project((vectors - self.centre) / self.spread)], dim=1)

    def _mean(self, bags: TokenBags) -> Tensor:
        out: Tensor = _Mean.apply(self.weight, bags, self.sparse)  # type: ignore[no-untyped-call]
        return out

    def _attend(self, bags: TokenBags, query: Tensor) -> Tensor:
        n = len(bags)
        found = F.embedding(bags.rows, self.weight, sparse=self.sparse)  # (P, D)
        text = torch.repeat_interleave(torch.arange(n, device=found.device), bags.offsets.diff())  # (P,) whose piece
        logits = found @ query  # (P,)
        # The greatest of each text is taken off first: exp must not overflow, nor the sum become 0.
        greatest = logits.new_full((n,), -torch.inf).scatter_reduce(0, text, logits.detach(), "amax")
        shares = (logits - greatest[text]).exp()  # (P,)
        total = shares.new_zeros(n).index_add(0, text, shares)  # (N,)
        weighed = found * (shares / total[text]).to(found.dtype)[:, None]  # (P, D)
        return weighed.new_zeros(n, weighed.shape[1]).index_add(0, text, weighed)


class _Mean(torch.autograd.Function):
    """m_n = 1/P_n sum_p E[r_p] over the pieces p of text n, and back: d E[r] = sum_p d m_n(p) / P_n(p) over the pieces
    that are r, which is a bag for each row.

    As F.embedding_bag, whose own gradient sorts at each step, and if sparse makes a copy for each of all pieces: one of
    12,101 titles is slower there by a factor of ten.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bags: TokenBags, sparse: bool) -> Tensor:
        ctx.bags, ctx.sparse, ctx.shape = bags, sparse, weight.shape
        return F.embedding_bag(bags.rows, weight, bags.offsets, mode="mean", include_last_offset=True)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        rows, offsets, texts = ctx.bags.by_row
        shares = grad / ctx.bags.offsets.diff()[:, None]  # (N, D); those of an empty text are never read
        sums = F.embedding_bag(texts, shares, offsets, mode="sum", include_last_offset=True)  # (U, D)
        found = torch.sparse_coo_tensor(rows[None], sums, ctx.shape, check_invariants=False)
        return found if ctx.sparse else sums.new_zeros(ctx.shape).index_copy_(0, rows, sums), None, None
