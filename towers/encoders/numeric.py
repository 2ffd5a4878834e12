"""Numbers as vectors: six ways of writing a number so that a network can tell its sizes apart.

`numeric_encoder(kind, columns, dim)` gives a module that reads M columns at once, each with parameters of its own.
`fit` measures the columns of the training rows; what it measures are buffers of fixed shape, so a checkpoint carries
them and loads into a fresh module. Until then values are taken to lie in [0, 1].

Everywhere: a value beyond the range that was measured counts as its nearer end, infinities too; a missing one (NaN)
gives a vector of its own, learnt for each column; a column that was constant or all missing does no harm.
Numbers are float32, seven digits: give ages in days, not moments in seconds.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from towers.config import TowersError

BINS = 32  # equal shares of the training rows, for the kinds that read them
SLOPES = (1.0, 3.0)  # of the sigmoids, at each of
CENTRES = (-1.5, -0.5, 0.5, 1.5)  # deviations from the mean
FREQUENCIES = 16
FREQUENCY_STD = 0.1  # small, so that training starts with slow waves, and finds quick ones only where they help


class PerColumn(nn.Module):
    """x W_m + b_m, for each column m its own: (B, M, K) -> (B, M, D)."""

    def __init__(self, columns: int, n_in: int, dim: int) -> None:
        super().__init__()
        bound = n_in**-0.5
        self.weight = nn.Parameter(torch.empty(columns, n_in, dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(columns, dim).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bmk,mkd->bmd", x, self.weight) + self.bias


class NumericEncoder(nn.Module):
    """What all kinds share: range, clipping and the missing. A kind says how it measures and how it encodes."""

    edges: Tensor

    def __init__(self, columns: int, dim: int) -> None:
        super().__init__()
        self.columns = columns
        self.missing = nn.Parameter(torch.zeros(columns, dim))
        # Quantiles 0, 1 / BINS, ... 1 of each column: the range, and the bins.
        self.register_buffer("edges", torch.linspace(0, 1, BINS + 1).repeat(columns, 1))  # (M, BINS + 1)

    def fit(self, values: Tensor) -> None:
        """Measure values (N, M) of the training rows; NaN and infinities are passed over."""
        if values.dim() != 2 or values.shape[1] != self.columns:
            raise TowersError(f"expected values of shape (rows, {self.columns}), got {tuple(values.shape)}")
        for m, column in enumerate(values.detach().cpu().double().numpy().T):
            known = column[np.isfinite(column)]
            if len(known):
                self.edges[m] = torch.from_numpy(np.quantile(known, np.linspace(0, 1, BINS + 1)))
                self._measure(m, known)

    def _measure(self, column: int, known: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        """Keep what this kind wants to know of a column besides its quantiles."""

    def _encode(self, x: Tensor) -> Tensor:
        """(B, M) values in range -> (B, M, D)."""
        raise NotImplementedError

    def forward(self, values: Tensor) -> Tensor:
        """(B, M) -> (B, M, D)."""
        absent = values.isnan()  # (B, M)
        low, high = self.edges[:, 0], self.edges[:, -1]
        # Filled before anything is computed: a NaN that is masked out later would still be one in the gradient.
        x = torch.where(absent, low, values).clamp(low, high)
        return torch.where(absent[..., None], self.missing, self._encode(x))


class _Standardised(NumericEncoder):
    """Kinds that read z = (s(x) - mean) / deviation, of a scale s of their own; a constant column has deviation 1."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, columns: int, dim: int) -> None:
        super().__init__(columns, dim)
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("deviation", torch.ones(columns))

    def scale(self, x: Tensor) -> Tensor:
        return x

    def _measure(self, column: int, known: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        scaled = self.scale(torch.from_numpy(known))
        deviation = scaled.std(correction=0)
        self.mean[column] = scaled.mean()
        self.deviation[column] = deviation if deviation > 1e-6 * scaled.abs().max() else 1.0

    def z(self, x: Tensor) -> Tensor:
        return (self.scale(x) - self.mean) / self.deviation


class Log(_Standardised):
    """Signed logarithm: s(x) = sign(x) log(1 + |x|), standardised, e = w z + b. For counts, prices and amounts."""

    def __init__(self, columns: int, dim: int) -> None:
        super().__init__(columns, dim)
        self.line = PerColumn(columns, 1, dim)

    def scale(self, x: Tensor) -> Tensor:
        return x.sign() * x.abs().log1p()

    def _encode(self, x: Tensor) -> Tensor:
        out: Tensor = self.line(self.z(x)[..., None])  # (B, M, 1) -> (B, M, D)
        return out


class Sigmoids(_Standardised):
    """Several soft steps: s_k = sigma(a_k z + b_k), z = (x - mean) / deviation, e = W s + b.

    a and b are learnt for each column. They start as every slope of SLOPES at every centre of CENTRES: b = -a * centre.
    """

    def __init__(self, columns: int, dim: int) -> None:
        super().__init__(columns, dim)
        slopes, centres = torch.tensor(SLOPES), torch.tensor(CENTRES)
        a = slopes.repeat_interleave(len(CENTRES))  # (K,)
        self.slope = nn.Parameter(a.repeat(columns, 1))  # (M, K)
        self.offset = nn.Parameter((-a * centres.repeat(len(SLOPES))).repeat(columns, 1))  # (M, K)
        self.line = PerColumn(columns, len(a), dim)

    def _encode(self, x: Tensor) -> Tensor:
        out: Tensor = self.line(
            torch.sigmoid(self.slope * self.z(x)[..., None] + self.offset)
        )  # (B, M, K) -> (B, M, D)
        return out


class Piecewise(NumericEncoder):
    """Piecewise-linear encoding, then a line: e = W p + b, with bins of equal shares of the rows, b_0 <= ... <= b_T:

        p_t = clip((x - b_{t-1}) / (b_t - b_{t-1}), 0, 1)

    so e bends at each edge. A bin without width (many rows have one value) is a step: 1 from that value on.
    Source: Gorishniy et al., arXiv 2203.05556, as PiecewiseLinearEncoding of rtdl_num_embeddings, which drops such bins
    and so has no fixed shape to load a checkpoint into.
    """

    def __init__(self, columns: int, dim: int) -> None:
        super().__init__(columns, dim)
        self.line = PerColumn(columns, BINS, dim)

    def _encode(self, x: Tensor) -> Tensor:
        out: Tensor = self.line(filled_bins(x, self.edges))  # (B, M, T) -> (B, M, D)
        return out


class Distribution(NumericEncoder):
    """The share u of training rows that are at or below x, and two bends of it: e = W (u, u^2, sqrt(u)) + b.

        u = P(X <= x) = 1 / T sum_t p_t

    with p as in `Piecewise`: linear between quantiles. Whatever the column's shape, u is uniform and has no outliers.
    Source: Covington et al., RecSys 2016 (YouTube), section 4.2: the integral of the density by interpolation of
    quantiles, and its square and root.
    """

    def __init__(self, columns: int, dim: int) -> None:
        super().__init__(columns, dim)
        self.line = PerColumn(columns, 3, dim)

    def _encode(self, x: Tensor) -> Tensor:
        u = filled_bins(x, self.edges).mean(-1)  # (B, M)
        out: Tensor = self.line(torch.stack([u, u.square(), u.sqrt()], dim=-1))  # (B, M, 3) -> (B, M, D)
        return out


class Quantiles(NumericEncoder):
    """A vector for each bin: e = E_m[number of inner edges at or below x]. Bins hold equal shares of the rows."""

    first: Tensor

    def __init__(self, columns: int, dim: int) -> None:
        super().__init__(columns, dim)
        self.vectors = nn.Parameter(torch.randn(columns * BINS, dim) * 0.1)  # column by column
        self.register_buffer("first", torch.arange(columns) * BINS, persistent=False)  # (M,)

    def _encode(self, x: Tensor) -> Tensor:
        place = (x[..., None] >= self.edges[:, 1:-1]).sum(-1)  # (B, M)
        return F.embedding(self.first + place, self.vectors)  # (B, M, D)


class Periodic(NumericEncoder):
    """Waves of learnt frequencies: e = ReLU(W (cos(2 pi c_k v), sin(2 pi c_k v)) + b), c_k from N(0, FREQUENCY_STD^2).

    v is u of `Distribution` on a scale of unit variance, v = sqrt(12) (u - 1/2), because waves over a raw long tail
    would lie in its outliers. Source: Gorishniy et al., arXiv 2203.05556 (PLR); PeriodicEmbeddings of
    rtdl_num_embeddings.
    """

    def __init__(self, columns: int, dim: int) -> None:
        super().__init__(columns, dim)
        try:
            from rtdl_num_embeddings import PeriodicEmbeddings  # noqa: PLC0415 (only for this kind)
        except ImportError as error:
            raise TowersError("periodic numbers need rtdl_num_embeddings: pip install recgpt[towers]") from error
        self.waves = PeriodicEmbeddings(
            columns, dim, n_frequencies=FREQUENCIES, frequency_init_scale=FREQUENCY_STD, lite=False
        )

    def _encode(self, x: Tensor) -> Tensor:
        u = filled_bins(x, self.edges).mean(-1)  # (B, M)
        out: Tensor = self.waves((u - 0.5) * 12**0.5)  # (B, M, D)
        return out


def filled_bins(x: Tensor, edges: Tensor) -> Tensor:
    """(B, M, T) how full each bin is, from values (B, M) and edges (M, T + 1) that ascend; the p of `Piecewise`."""
    low, high = edges[:, :-1], edges[:, 1:]  # (M, T)
    width = high - low
    x = x[..., None]  # (B, M, 1)
    # Without width: 1 from the edge on, and no division, whose gradient would not be a number.
    return torch.where(width > 0, ((x - low) / width.where(width > 0, 1)).clamp(0, 1), (x >= high).to(x.dtype))


NUMERIC: dict[str, type[NumericEncoder]] = {
    "log": Log,
    "sigmoids": Sigmoids,
    "distribution": Distribution,
    "periodic": Periodic,
    "quantiles": Quantiles,
    "piecewise": Piecewise,
}


def numeric_encoder(kind: str, columns: int, dim: int) -> NumericEncoder:
    """A module from values (B, columns), NaN where missing, to vectors (B, columns, dim); call its `fit` once."""
    if kind not in NUMERIC:
        raise TowersError(f"no numeric encoder {kind!r}; there are {', '.join(NUMERIC)}")
    if columns < 1 or dim < 1:
        raise TowersError(f"a numeric encoder needs columns and a width, not {columns} and {dim}")
    return NUMERIC[kind](columns, dim)
