"""What fields say together: products and attention over the field vectors of a row, stacked before the body.

Every kind takes (B, F, D), the F field vectors of B rows, and returns (B, width): first the fields themselves,
flattened and untouched, then what it made of them. So a network without interactions is a special case of a network
with them, and a difference between two kinds is the interaction's own. `width` says how wide the result is.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from towers.blocks.linear import ParallelLinear

INTERACTIONS = ("none", "fm", "dots", "cross", "cross_low_rank", "autoint", "hiformer")


class Interaction(nn.Module):
    """x -> [ x flattened | made(x) ]: (B, F, D) -> (B, F D + made)."""

    def __init__(self, fields: int, dim: int, made: int) -> None:
        super().__init__()
        self.width = fields * dim + made

    def make(self, x: Tensor) -> Tensor:
        """(B, made) from (B, F, D)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.flatten(1), self.make(x)], dim=1)  # (B, width)


class NoInteraction(Interaction):
    """The fields as they are: (B, F, D) -> (B, F D)."""

    def __init__(self, fields: int, dim: int) -> None:
        super().__init__(fields, dim, 0)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)  # (B, F D)


class FactorisationMachine(Interaction):
    """All pairs multiplied and summed, each coordinate apart: (B, F, D) -> (B, F D + D).

        sum_{i<j} x_i * x_j = 1/2 [ (sum_i x_i)^2 - sum_i x_i^2 ]

    The vector is passed on, not its sum over coordinates, so the body may weigh coordinates.
    Source: Rendle, ICDM 2010; the vector form is the bi-interaction of He and Chua, arXiv 1708.05027.
    """

    def __init__(self, fields: int, dim: int) -> None:
        super().__init__(fields, dim, dim)

    def make(self, x: Tensor) -> Tensor:
        return 0.5 * (x.sum(1).square() - x.square().sum(1))  # (B, D)


class Dots(Interaction):
    """<x_i, x_j> of each pair i < j: (B, F, D) -> (B, F D + F (F - 1) / 2).

    Source: DLRM, Naumov et al., arXiv 1906.00091.
    """

    pairs: Tensor

    def __init__(self, fields: int, dim: int) -> None:
        super().__init__(fields, dim, fields * (fields - 1) // 2)
        self.register_buffer("pairs", torch.triu_indices(fields, fields, offset=1), persistent=False)  # (2, pairs)

    def make(self, x: Tensor) -> Tensor:
        dots = x @ x.transpose(1, 2)  # (B, F, F)
        return dots[:, self.pairs[0], self.pairs[1]]  # (B, pairs)


class Cross(Interaction):
    """Layers that multiply the flattened fields x_0 with a linear map of what they became: (B, F, D) -> (B, 2 F D).

        x_{l+1} = x_0 * (W_l x_l + b_l) + x_l          after l layers: products of up to l + 1 coordinates
        low rank: W_l = U_l V_l^T, both (F D, rank)

    Source: DCN-v2, Wang et al., arXiv 2008.13535.
    """

    def __init__(self, fields: int, dim: int, layers: int, rank: int | None = None) -> None:
        n = fields * dim
        super().__init__(fields, dim, n)
        self.layers = nn.ModuleList(
            nn.Linear(n, n) if rank is None else nn.Sequential(nn.Linear(n, rank, bias=False), nn.Linear(rank, n))
            for _ in range(layers)
        )

    def make(self, x: Tensor) -> Tensor:
        first = x.flatten(1)  # (B, F D)
        crossed = first
        for layer in self.layers:
            crossed = first * layer(crossed) + crossed  # (B, F D)
        return crossed


class AutoInt(Interaction):
    """Self-attention over the fields, the same maps for every field: (B, F, D) -> (B, 2 F D).

        a_ij = softmax_j( <W_Q x_i, W_K x_j> / sqrt(D / heads) )      each head on its own D / heads coordinates
        x_i <- relu( [sum_j a_ij W_V x_j of each head] + W_R x_i )

    Source: AutoInt, Song et al., arXiv 1810.11921, which does not scale the dot product.
    """

    def __init__(self, fields: int, dim: int, layers: int, heads: int) -> None:
        super().__init__(fields, dim, fields * dim)
        self.heads = heads
        # Queries, keys, values and the residual in one product.
        self.maps = nn.ModuleList(nn.Linear(dim, 4 * dim, bias=False) for _ in range(layers))

    def make(self, x: Tensor) -> Tensor:
        for maps in self.maps:
            q, k, v, residual = maps(x).chunk(4, dim=-1)  # (B, F, D) each
            x = F.relu(attention(q, k, v, self.heads) + residual)  # (B, F, D)
        return x.flatten(1)  # (B, F D)


class Hiformer(Interaction):
    """Self-attention in which every field has queries, keys, values and a feed-forward net of its own.

        a_ij = softmax_j( <Q_i n(x_i), K_j n(x_j)> / sqrt(D / heads) )      each head on its own D / heads coordinates
        x_i <- x_i + O_i [sum_j a_ij V_j n(x_j) of each head]
        x_i <- x_i + W'_i gelu(W_i n(x_i) + b_i) + b'_i                     n: layer norm, before each sublayer

    So how much field i reads of field j depends on which fields they are: (B, F, D) -> (B, 2 F D).
    Source: the heterogeneous attention layer of Gui et al., arXiv 2311.05884. Not here: the projection of all fields
    at once of their last model, whose size grows with the square of the number of fields.
    """

    def __init__(self, fields: int, dim: int, layers: int, heads: int) -> None:
        super().__init__(fields, dim, fields * dim)
        self.layers = nn.ModuleList(HiformerLayer(fields, dim, heads) for _ in range(layers))

    def make(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x.flatten(1)  # (B, F D)


class HiformerLayer(nn.Module):
    """One layer of `Hiformer`: (B, F, D) -> (B, F, D)."""

    def __init__(self, fields: int, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.read_norm, self.feed_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv = ParallelLinear(fields, dim, 3 * dim, bias=False)
        self.out = ParallelLinear(fields, dim, dim, bias=False)
        self.up, self.down = ParallelLinear(fields, dim, dim), ParallelLinear(fields, dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.read_norm(x)).chunk(3, dim=-1)  # (B, F, D) each
        x = x + self.out(attention(q, k, v, self.heads))
        fed: Tensor = x + self.down(F.gelu(self.up(self.feed_norm(x))))
        return fed


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """softmax_j(<q_i, k_j> / sqrt(D / heads)) v_j summed over j, in each head: (B, F, D) thrice -> (B, F, D)."""
    b, f, d = q.shape
    q, k, v = (x.reshape(b, f, heads, d // heads).transpose(1, 2) for x in (q, k, v))  # (B, heads, F, D / heads)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (B, F, D)


def interaction(kind: str, fields: int, dim: int, *, layers: int = 2, heads: int = 2, rank: int = 32) -> Interaction:
    """One of INTERACTIONS over `fields` vectors of width `dim`; heads must divide dim (autoint, hiformer)."""
    kinds: dict[str, Callable[[], Interaction]] = {
        "none": lambda: NoInteraction(fields, dim),
        "fm": lambda: FactorisationMachine(fields, dim),
        "dots": lambda: Dots(fields, dim),
        "cross": lambda: Cross(fields, dim, layers),
        "cross_low_rank": lambda: Cross(fields, dim, layers, rank),
        "autoint": lambda: AutoInt(fields, dim, layers, heads),
        "hiformer": lambda: Hiformer(fields, dim, layers, heads),
    }
    if kind not in kinds:
        raise ValueError(f"no interaction is called {kind!r}: choose one of {', '.join(kinds)}")
    return kinds[kind]()
