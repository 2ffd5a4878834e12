"""From ranked candidates to a list: at most so many of a kind, and not all alike.

One greedy choice serves quotas, uniqueness (a quota of one on the item) and diversity, so that they hold together.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def choose(
    scores: Array,
    k: int,
    *,
    quotas: Sequence[tuple[Array, int]] = (),
    vectors: Array | None = None,
    diversity: float = 0.0,
) -> Array:
    """Places (<= k,) of the chosen among n candidates, in the order of choosing.

    Each step takes the candidate of the highest

        (1 - diversity) * score - diversity * max over the chosen c of vector . vector_c

    that no quota holds back; equal ones by lower place. The second term is 0 while nothing is chosen.

    Args:
        scores: (n,), on the scale of the vectors' products: cosines beside unit vectors.
        quotas: pairs of the kind of each candidate (n,), an integer, -1 for none, and the most that a kind may have.
        vectors: (n, D), needed where diversity is above 0.
        diversity: 0 is the plain order of scores, 1 looks at scores only for the first choice.

    Source: maximal marginal relevance, Carbonell and Goldstein, SIGIR 1998, with lambda = 1 - diversity.
    """
    alike = np.zeros(len(scores))  # (n,) the likeness to what is chosen already
    free = np.ones(len(scores), dtype=bool)
    chosen: list[int] = []
    taken = [dict[int, int]() for _ in quotas]
    for _ in range(min(k, len(scores))):
        values = np.where(free, (1 - diversity) * scores - diversity * alike, -np.inf) if chosen else scores
        best = int(np.argmax(values))
        if not free[best]:
            break
        chosen.append(best)
        free[best] = False
        for (kinds, most), counts in zip(quotas, taken, strict=True):
            kind = int(kinds[best])
            counts[kind] = counts.get(kind, 0) + 1
            if kind >= 0 and counts[kind] == most:
                free &= kinds != kind
        if diversity and vectors is not None:
            likeness = vectors @ vectors[best]  # (n,)
            alike = likeness if len(chosen) == 1 else np.maximum(alike, likeness)
    return np.array(chosen, dtype=np.int64)
