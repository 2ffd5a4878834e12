"""What a judge's choices between two texts are worth: each pair was asked in both orders.

`first` is the answer with the left text shown first, `second` that with the right one shown first; both name the text
(left, right or tie), not the place. Intervals draw whole inputs, as in `figures`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from recgpt.audit.figures import ROUNDS, SEED, draw, figure
from recgpt.audit.report import Figure

Part = tuple[float, float]  # of a pair: what counts, out of how much
_NO_PAIRS: Final = "no pair was judged"


@dataclass(frozen=True)
class Swapped:
    """`better` is the text that is truly better, where that is known."""

    input: str
    criterion: str
    first: str
    second: str
    better: str | None = None


def measure_pairs(pairs: Sequence[Swapped], *, rounds: int = ROUNDS, seed: int = SEED) -> dict[str, Figure]:
    """Swap consistency, the share of the choices that fell on what was shown first (half, of a fair judge),
    and how many of the wins that stand in both orders are right."""
    return {
        "swap_consistency": _share(pairs, _stands, _NO_PAIRS, rounds, seed),
        "first_share": _share(
            pairs, _shown_first, "no pair was judged but as a tie" if pairs else _NO_PAIRS, rounds, seed
        ),
        "pair_accuracy": _share(
            pairs, _right, "no win that stands is of a pair whose better text is known", rounds, seed
        ),
    }


def _stands(pair: Swapped) -> Part:
    return float(pair.first == pair.second), 1.0


def _shown_first(pair: Swapped) -> Part:
    of = (pair.first != "tie") + (pair.second != "tie")
    return float((pair.first == "left") + (pair.second == "right")), float(of)


def _right(pair: Swapped) -> Part:
    counts = pair.better is not None and pair.first == pair.second != "tie"
    return float(counts and pair.first == pair.better), float(counts)


def _share(pairs: Sequence[Swapped], part: Callable[[Swapped], Part], none: str, rounds: int, seed: int) -> Figure:
    inputs = {name: n for n, name in enumerate(sorted({pair.input for pair in pairs}))}
    table = np.zeros((len(inputs), 2))
    for pair in pairs:
        table[inputs[pair.input]] += part(pair)
    have, of = table.sum(0)
    if not of:
        return Figure(value=None, n=0, why=none)
    sums = draw(table, rounds, seed)
    drawn = np.divide(sums[:, 0], sums[:, 1], out=np.full(rounds, np.nan), where=sums[:, 1] > 0)
    return figure(float(have / of), int(of), drawn)
