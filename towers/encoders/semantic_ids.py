"""Semantic ids: a few codes for each item, coarse to fine, such that items that are alike share the first ones.

Residual k-means: the first code is the nearest of K centres, the second the nearest of K others to what the first left
over, and so on. Vectors that say what an item is and who takes it (`joined`) give codes that say both. A prefix of the
codes is one more categorical id (`prefix_keys`), so near items, new ones too, share rows of the table.

    r_1 = x;   c_l = argmin_k |r_l - centre_lk|^2 + price_lk;   r_{l+1} = r_l - centre_l,c_l

Plain k-means leaves some codes with many times their even share of the items, and those say little. So the centres
start as means of equal parts of the vectors, and a code that draws more than MOST times its even share has a price, by
which the excess prefers another. A code stays a rule of the vector alone, the same for any item at any time. Prices
rise until no code holds more than that at fitting, or for ROUNDS: where K is more than the tight clusters that there
are, a code of the first level was seen to keep 3.5 times its share, and equal vectors can't be told apart at all.

Source: residual k-means with balanced clusters, OneRec, arXiv 2502.18965; instead of its greedy assignment, which holds
for the items at hand only, the prices of entropic transport with a decreasing temperature (Cuturi, arXiv 1306.0895).
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from towers.config import TowersError
from towers.encoders.table import keys

MOST = 2.0  # times its even share that a code may hold
GOAL = 0.9  # of that is what prices aim at
STEPS = 15  # of Lloyd's algorithm, prices following
ROUNDS = 100  # of prices alone, centres fixed, at most
WARMTH = 0.1  # of the mean squared distance: over such differences of cost a vector is shared between codes
COOLING = 0.02  # what is left of WARMTH after all rounds
BLOCK = 1 << 22  # distances held at once in `assign`


class Codebooks(nn.Module):
    """The centres and prices of each level: buffers, so that a checkpoint carries them."""

    centres: Tensor
    prices: Tensor

    def __init__(self, levels: int, codes: int, dim: int) -> None:
        super().__init__()
        if min(levels, codes, dim) < 1:
            raise TowersError(f"semantic ids need levels, codes and vectors, not {levels}, {codes} and width {dim}")
        self.register_buffer("centres", torch.zeros(levels, codes, dim))
        self.register_buffer("prices", torch.zeros(levels, codes))

    @torch.no_grad()
    def assign(self, vectors: Tensor) -> Tensor:
        """(N, levels) int64 codes of vectors (N, V)."""
        blocks = torch.split(vectors.to(self.centres.dtype), max(1, BLOCK // self.centres.shape[1]))
        return torch.cat([torch.stack(list(self._walk(block)), dim=1) for block in blocks])

    def _walk(self, rest: Tensor) -> Iterator[Tensor]:
        for centres, prices in zip(self.centres, self.prices, strict=True):
            code = _costs(rest, centres, prices).argmin(1)  # (b,)
            rest = rest - centres[code]
            yield code


@torch.no_grad()
def fit(vectors: Tensor, levels: int, codes: int, seed: int = 0) -> Codebooks:
    """Codebooks for vectors (N, V). The same vectors and seed give the same codes.

    It holds N x codes numbers. Beyond some 256 vectors a code more of them say little more: give a sample.
    """
    if vectors.dim() != 2 or not len(vectors) or not vectors.isfinite().all():
        raise TowersError("semantic ids need vectors (N, V), at least one, and finite")
    books = Codebooks(levels, codes, vectors.shape[1])
    rest = vectors.float().cpu()
    generator = torch.Generator().manual_seed(seed)
    for level in range(levels):
        centres, prices, code = _balanced_means(rest, codes, generator)
        books.centres[level], books.prices[level] = centres, prices
        rest = rest - centres[code]
    return books


def prefix_keys(codes: Tensor) -> Tensor:
    """(N, L) keys of codes (N, L) for the table: that of level l is the key of "c_1-c_2-...-c_l"."""
    rows = codes.tolist()
    return torch.stack([keys(["-".join(map(str, row[: n + 1])) for row in rows]) for n in range(codes.shape[1])], dim=1)


def joined(*parts: Tensor) -> Tensor:
    """(N, sum of V) of parts (N, V): each made of length one, so that each weighs the same; a row of zeros stays so."""
    return torch.cat([nn.functional.normalize(part.float(), dim=1) for part in parts], dim=1)


def _balanced_means(x: Tensor, codes: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Centres (K, V), prices (K,) and codes (N,) of vectors (N, V)."""
    limit = math.ceil(MOST * len(x) / codes)
    centres, prices = _halves(x, codes, generator), x.new_zeros(codes)
    for step in range(STEPS):
        costs = _costs(x, centres, prices)  # (N, K)
        code = costs.argmin(1)
        held = torch.bincount(code, minlength=codes)[:, None]  # (K, 1)
        sums = torch.zeros_like(centres).index_add_(0, code, x)  # (K, V)
        centres = torch.where(held > 0, sums / held.clamp(min=1), centres)  # an empty code stays where it was
        warmth = WARMTH * (x - centres[code]).square().sum(1).mean()
        if step < STEPS - 1:
            prices = _followed(prices, costs, warmth, limit)
    best = len(x) + 1, prices, code
    for step in range(ROUNDS + 1):
        costs = _costs(x, centres, prices)
        code = costs.argmin(1)
        most = int(torch.bincount(code).max())
        if most < best[0]:
            best = most, prices, code
        if most <= limit:
            break
        prices = _followed(prices, costs, warmth * COOLING ** (step / ROUNDS), limit)
    return centres, best[1], best[2]


def _followed(prices: Tensor, costs: Tensor, warmth: Tensor, limit: int) -> Tensor:
    """Prices (K,) by which the codes would hold GOAL of the limit or less, were it not for each other.

        price_k <- max(0, price_k + warmth log(mass_k / (GOAL limit))),   mass_k = sum_i softmax_k(-cost_ik / warmth)

    If all vectors cost the same here and there (warmth 0), there is nothing that a price could divide.
    """
    if warmth == 0:
        return prices
    mass = ((costs.amin(1, keepdim=True) - costs) / warmth).softmax(1).sum(0)  # (K,)
    return (prices + warmth * (mass / (GOAL * limit)).log()).clamp(min=0)


def _halves(x: Tensor, codes: int, generator: torch.Generator) -> Tensor:
    """Means (K, V) of nearly equal parts of x: K - 1 times the largest part is halved along the line of two of it."""
    parts = [torch.arange(len(x))]
    while len(parts) < codes:
        parts.sort(key=len)
        part = parts.pop()
        one, other = x[part[torch.randint(len(part), (2,), generator=generator)]]
        ranked = part[(x[part] @ (one - other)).argsort(stable=True)]
        half = (len(part) + 1) // 2
        parts += [ranked[:half], ranked[-half:]]  # one vector alone is both halves
    return torch.stack([x[part].mean(0) for part in parts])


def _costs(x: Tensor, centres: Tensor, prices: Tensor) -> Tensor:
    """(N, K) of |x - centre|^2 + price - |x|^2; what is left off is the same for every code."""
    return torch.addmm(centres.square().sum(1) + prices, x, centres.T, alpha=-2)
