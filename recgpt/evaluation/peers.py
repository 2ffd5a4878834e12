"""Baselines as they are compared: their settings chosen on validation, then fitted and ranked like anybody else.

A peer has a strength (of shrinkage, penalty or regularisation), which needs a fit of its own, and a half-life of the
history, which doesn't. What was chosen and what it took is part of the answer.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from recgpt.evaluation import metrics
from recgpt.evaluation.baselines import Als, Baseline, Ease, ItemNeighbours, OwnCounts, Popularity
from recgpt.evaluation.ranking import Array, Log, Questions, rank

CUT = 10  # NDCG at which decides
NEVER = float("inf")  # as a half-life: whatever was had counts alike


@dataclass(frozen=True)
class Peer:
    """`fit` takes counts (U, N) and a strength; the first strength and half-life win a tie."""

    name: str
    fit: Callable[[sp.csr_array, float], Baseline]
    strengths: Sequence[float] = (0.0,)
    half_lives: Sequence[float] = (NEVER,)  # in the unit of the log's ages
    sums: bool = False  # a history sums over an item's repeats; otherwise only its newest event counts

    def history(self, live: Log, half_life: float) -> sp.csr_array:
        return live.faded_counts(half_life) if self.sums else live.newest(half_life)


@dataclass(frozen=True)
class Fitted:
    """A peer with its choice made."""

    peer: Peer
    model: Baseline
    strength: float
    half_life: float
    ndcg: float  # of the choice, on validation
    seconds: float  # of the last fit alone

    def again(self, counts: sp.csr_array) -> "Fitted":
        """The same choice, fitted on other counts."""
        began = time.perf_counter()
        model = self.peer.fit(counts, self.strength)
        seconds = time.perf_counter() - began
        return Fitted(self.peer, model, self.strength, self.half_life, self.ndcg, seconds)

    def answer(self, asked: Questions, k: int = CUT) -> tuple[Array, float]:
        """(Q, k) rows of items, and the seconds that it took to score and rank."""
        began = time.perf_counter()
        history = self.peer.history(asked.live, self.half_life)
        ranking = rank(lambda who: self.model.scores(history[who]), asked, k)
        return ranking, time.perf_counter() - began


def choose(peer: Peer, validation: Questions) -> Fitted:
    """Fit on what the validation may learn from, and keep the strength and half-life of the best NDCG@10."""
    best: Fitted | None = None
    counts = validation.learnt.counts()
    for strength in peer.strengths:
        began = time.perf_counter()
        model = peer.fit(counts, strength)
        seconds = time.perf_counter() - began
        for half_life in peer.half_lives:
            tried = Fitted(peer, model, strength, half_life, float("nan"), seconds)
            ranking, _ = tried.answer(validation)
            ndcg = metrics.mean(metrics.ndcg(ranking, validation.wanted, CUT)).value
            if best is None or ndcg > best.ndcg:
                best = Fitted(peer, model, strength, half_life, ndcg, seconds)
    assert best is not None, "a peer has at least one strength and one half-life"
    return best


POPULARITY = Peer("popularity", lambda counts, _: Popularity(counts))


def neighbours(half_lives: Sequence[float], strengths: Sequence[float] = (1.0, 10.0, 30.0)) -> Peer:
    return Peer("item-kNN decay", ItemNeighbours, strengths, half_lives)


def ease(penalties: Sequence[float], half_lives: Sequence[float] = (NEVER,), most: int | None = None) -> Peer:
    name = "EASE" if tuple(half_lives) == (NEVER,) else "EASE decay"
    return Peer(name, lambda counts, penalty: Ease(counts, penalty, most), penalties, half_lives)


def als(factors: int, strengths: Sequence[float], alpha: float) -> Peer:
    return Peer(
        f"ALS-{factors}", lambda counts, strength: Als(counts, strength, factors=factors, alpha=alpha), strengths
    )


def own_counts(half_lives: Sequence[float]) -> Peer:
    return Peer("own aged counts", lambda _counts, _strength: OwnCounts(), half_lives=half_lives, sums=True)


def values(ranking: Array, asked: Questions, k: int = CUT) -> dict[str, Array]:
    """Each metric's value a user (Q,)."""
    kinds = {"recall": metrics.recall, "ndcg": metrics.ndcg, "mrr": metrics.mrr}
    return {f"{name}@{k}": np.asarray(metric(ranking, asked.wanted, k)) for name, metric in kinds.items()}
