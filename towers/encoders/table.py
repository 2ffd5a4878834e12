"""One table of vectors for all categorical features: ids of users, items, categories, brands, cities and so on.

An id is a string, turned once into a 64-bit key. A feature looks a key up at a few rows of the one table, chosen by
hashes with seeds of the feature's own, and the parts found there stand side by side. So the table's size is chosen and
never grows, however many ids there are; an id that training never saw has rows too, never an error; two ids that share
one row seldom share the other; and a whole batch, all features, is one look-up.

Source: Coleman et al., Unified Embedding, arXiv 2305.12102 (one table, multi-size, a seed per feature); several hashes
per id: Svenstrup et al., Hash Embeddings, arXiv 1709.03933.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from towers.config import TowersError

ALL = slice(None)
INIT_STD = 0.02  # rows that training never touches stay this small, so an unknown id hardly moves a vector


def keys(texts: Sequence[str]) -> Tensor:
    """(N,) int64: the first 64 bits of BLAKE2b of each text; the same in every process and on every machine."""
    # A lone surrogate can stand in an id read from JSON; it must not stop a run.
    data = b"".join(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts)
    return torch.from_numpy(np.frombuffer(data, dtype="<i8").astype(np.int64))


def mix(keys: Tensor) -> Tensor:
    """Scrambles 64-bit keys, one to one: every bit of the result depends on every bit of the key.

        z <- (z ^ z >>> 30) * 0xbf58476d1ce4e5b9;  z <- (z ^ z >>> 27) * 0x94d049bb133111eb;  z ^ z >>> 31

    in arithmetic modulo 2^64, >>> filling with zeros. Source: the finaliser of SplitMix64, Steele et al., OOPSLA 2014.
    """
    z = (keys ^ _shifted(keys, 30)) * (0xBF58476D1CE4E5B9 - (1 << 64))  # int64 products wrap around
    z = (z ^ _shifted(z, 27)) * (0x94D049BB133111EB - (1 << 64))
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, bits: int) -> Tensor:
    return (z >> bits) & ((1 << (64 - bits)) - 1)  # torch's >> keeps the sign


class UnifiedTable(nn.Module):
    """Vectors of F features from one weight E (rows, dim / hashes).

        row_j(f, x) = mix(x xor seed(f, j)) mod rows                  j = 1 .. hashes
        e(f, x)     = concat_j E[row_j(f, x)]

    Rare ids. With `rare` = c > 0 an id that was counted n times leans on its feature's default vector d(f), learnt too:

        e'(f, x) = n / (n + c) e(f, x) + c / (n + c) d(f)

    so an id never seen is the feature's default, one seen c times stands half way, and a popular one is itself. This is
    the mean of a Bayesian with c earlier observations of d. Counts come with the call, or from `observe`: one integer a
    row is kept, and n is the least of an id's rows (never too low; too high only if each of its rows is shared), so the
    counts too are bounded and travel in the checkpoint. Count-min sketch: Cormode and Muthukrishnan, 2005.

    Args:
        rows: of the weight; some four a frequent id keep most of them apart.
        dim: width of a vector; divisible by `hashes`.
        features: names, F of them, in the order of the columns of `keys`; a name decides the rows, its place does not.
        sparse: gradients touch looked-up rows only, which needs an optimiser that reads them (training/optimisers.py).
    """

    seeds: Tensor
    seen: Tensor

    def __init__(
        self, rows: int, dim: int, features: Sequence[str], hashes: int = 2, sparse: bool = True, rare: float = 0.0
    ) -> None:
        super().__init__()
        if rows < 1 or hashes < 1 or dim < 1 or dim % hashes:
            raise TowersError(f"a table needs rows and a dim divisible by hashes, not {rows} rows, {dim} / {hashes}")
        if len(set(features)) != len(features) or not features:
            raise TowersError("features must be named, each once")
        if rare < 0:
            raise TowersError(f"rare must not be negative, but is {rare}")
        self.rows, self.dim, self.sparse, self.rare = rows, dim, sparse, rare
        self.weight = nn.Parameter(torch.empty(rows, dim // hashes))
        nn.init.normal_(self.weight, std=INIT_STD)
        seeds = keys([f"{feature}\n{j}" for feature in features for j in range(hashes)]).view(-1, hashes)  # (F, J)
        self.register_buffer("seeds", seeds, persistent=False)  # the names say it already
        if rare:
            self.default = nn.Parameter(torch.zeros(len(features), dim))
            self.register_buffer("seen", torch.zeros(rows, dtype=torch.int64))

    def rows_of(self, keys: Tensor, part: slice = ALL) -> Tensor:
        """(N, F, hashes) rows of the weight for keys (N, F)."""
        return mix(keys[:, :, None] ^ self.seeds[part]) % self.rows

    def observe(self, keys: Tensor, part: slice = ALL) -> None:
        """Count keys (N, F) as seen once more each, for `rare`; once for each event of training, before it starts."""
        if self.rare:
            self.seen += torch.bincount(self.rows_of(keys, part).flatten(), minlength=self.rows)

    def counts(self, keys: Tensor, part: slice = ALL) -> Tensor:
        """(N, F) how often each key (N, F) was observed, or more where all its rows are shared."""
        return self.seen[self.rows_of(keys, part)].amin(-1)

    def forward(self, keys: Tensor, counts: Tensor | None = None, part: slice = ALL) -> Tensor:
        """(N, F, dim) vectors of keys (N, F).

        counts (N, F): read only if `rare`, in place of those observed. part: which of the features the columns are, so
        that users and items are looked up apart; all of them by default.
        """
        rows = self.rows_of(keys, part)  # (N, F, J)
        vectors = F.embedding(rows, self.weight, sparse=self.sparse).flatten(2)  # (N, F, dim)
        if not self.rare:
            return vectors
        n = self.seen[rows].amin(-1) if counts is None else counts  # (N, F)
        lean = (self.rare / (n + self.rare)).to(vectors.dtype)  # (N, F)
        return vectors + lean[:, :, None] * (self.default[part] - vectors)
