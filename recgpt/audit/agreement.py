"""How far several people agree: Krippendorff's alpha (nominal) for all of them, Cohen's kappa for each two.

A unit is one criterion of one target. People who did not answer it are missing there, which alpha allows for; a pair is
measured on what both answered. Sources: Krippendorff 2004 (the krippendorff package), Cohen 1960.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from recgpt.audit.figures import ROUNDS, SEED, Rated, measure
from recgpt.audit.report import ALL, Figure, Labellers, Pair
from recgpt.errors import DataError

Answers = Mapping[tuple[int, str], Mapping[str, bool]]  # (target, criterion) -> {labeller: verdict}


def labellers(answers: Answers, *, rounds: int = ROUNDS, seed: int = SEED) -> Labellers | None:
    """None where fewer than two people answered anything."""
    names = tuple(sorted({name for given in answers.values() for name in given}))
    if len(names) < 2:
        return None
    criteria = sorted({criterion for _, criterion in answers})
    alphas = {ALL: alpha(list(answers.values()))}
    for criterion in criteria:
        alphas[criterion] = alpha([given for (_, one), given in answers.items() if one == criterion])
    pairs = []
    for one, other in combinations(names, 2):
        both = [
            Rated(target, criterion, truth=given[one], verdict=given[other])
            for (target, criterion), given in answers.items()
            if one in given and other in given
        ]
        pairs.append(_pair(one, other, measure(both, rounds=rounds, seed=seed).figures))
    return Labellers(names=names, alpha=alphas, pairs=tuple(pairs))


def _pair(one: str, other: str, figures: Mapping[str, Figure]) -> Pair:
    kappa, agreed = figures["kappa"], figures["accuracy"]
    if not agreed.n:
        kappa = agreed = Figure(value=None, n=0, why="they answered nothing in common")
    else:
        # Whoever never varies agrees by chance alone, whichever of the two it is.
        for name, share in ((one, figures["base_rate"]), (other, figures["yes_rate"])):
            if share.value in (0.0, 1.0):
                kappa = Figure(value=None, n=kappa.n, why=f"{name} always gave the same answer")
    return Pair(one=one, other=other, kappa=kappa, agreement=agreed)


def alpha(units: list[Mapping[str, bool]]) -> Figure:
    """Krippendorff's alpha for yes and no: 1 is full agreement, 0 what chance gives.

    Raises:
        DataError: the library is not installed.
    """
    shared = [given for given in units if len(given) > 1]
    if not shared:
        return Figure(value=None, n=0, why="nothing was answered by two people")
    if len({verdict for given in shared for verdict in given.values()}) < 2:
        return Figure(value=None, n=len(shared), why="all answers are the same")
    # How many said no, and yes, of each unit: (U, 2).
    tally = np.array([[sum(not one for one in given.values()), sum(given.values())] for given in shared])
    return Figure(value=float(_library().alpha(value_counts=tally, level_of_measurement="nominal")), n=len(shared))


def _library() -> Any:
    try:
        import krippendorff  # noqa: PLC0415  an extra
    except ImportError as error:
        raise DataError("the labellers' agreement needs krippendorff: pip install 'recgpt[audit]'") from error
    return krippendorff
