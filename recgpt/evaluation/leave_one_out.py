"""Leave-one-out on a log: the towers' user-item channel beside popularity and item neighbours, measured in one run.

Protocol, strict: each user's last event (in the order given) is the test, the one before it the validation. Weights are
fitted on the rest alone; the validation stops the towers and chooses the neighbours' shrinkage and half-life; at test
the validation event is in the history, as it would be live. Every item of the catalogue is ranked, what the user had
before left out. Times are not read: events of one day stand in the order of the log.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from recgpt.evaluation import metrics
from recgpt.evaluation.baselines import ItemNeighbours, Popularity, fading_history
from recgpt.evaluation.splits import leave_one_out as split_by_user
from towers.config import TowersConfig
from towers.data import TrainingData
from towers.features import item_features, user_rows
from towers.history import Events
from towers.scoring import encode_items, encode_users
from towers.topk import stable_top, top_k
from towers.training import Epoch, Trained, train

Array = npt.NDArray[Any]
CUT = 10
SHRINKAGES = (1.0, 10.0, 30.0)  # in users; what the neighbours may choose from
HALF_LIVES = (0.75, 1.0, 1.5, 2.5)  # in events
BLOCK = 2048  # users scored at once by a baseline


@dataclass(frozen=True)
class Figures:
    """One model's results over the same users."""

    name: str
    recall: float  # @10
    ndcg: float  # @10
    coverage: float  # share of the catalogue anyone is shown @10
    fit_seconds: float
    score_seconds: float  # all users, top 10


@dataclass(frozen=True)
class Result:
    towers: Figures
    popularity: Figures
    neighbours: Figures
    shrinkage: float  # of the neighbours, chosen on validation
    half_life: float  # of their history, too
    users: int  # with a test event
    items: int
    trained: Trained


@dataclass(frozen=True)
class _Log:
    users: Array
    items: Array
    n_users: int
    n_items: int

    def part(self, mask: Array) -> "_Log":
        return _Log(self.users[mask], self.items[mask], self.n_users, self.n_items)

    def had(self) -> sp.csr_array:
        ones = np.ones(len(self.users), np.float32)
        return sp.csr_array((ones, (self.users, self.items)), shape=(self.n_users, self.n_items))

    def history(self, half_life: float) -> sp.csr_array:
        return fading_history(self.users, self.items, self.n_users, self.n_items, half_life)


def leave_one_out(
    users: Array,
    items: Array,
    times: Array,
    *,
    user_ids: Sequence[str],
    item_ids: Sequence[str],
    titles: Sequence[str],
    categories: Sequence[str],
    config: TowersConfig,
    tags: tuple[Sequence[str], Array, Array] | None = None,
    item_vectors: npt.NDArray[np.float32] | None = None,
    tag_vectors: npt.NDArray[np.float32] | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Result:
    """Fit and rank all three.

    users, items, times: (E,) rows and moments, each user's own events from the oldest to the newest; `config` names one
    behaviour, which all events are. tags: texts (T,), item rows (P,), tag rows (P,).
    """
    split = split_by_user(users)
    log = _Log(np.asarray(users), np.asarray(items), len(user_ids), len(item_ids))
    learnt, live = log.part(split.train), log.part(~split.test)
    asked, wanted = log.users[split.test], log.items[split.test]
    popularity = _popularity(learnt, live, asked, wanted)
    neighbours, (shrinkage, half_life) = _neighbours(learnt, live, log.part(split.validation), asked, wanted)

    texts, pair_items, pair_tags = tags if tags is not None else ((), np.zeros(0, np.int64), np.zeros(0, np.int64))
    data = TrainingData(
        item_ids, titles, categories, user_ids, log.users, log.items, np.zeros(len(log.users), np.int64), times,
        held_out=split.validation, unused=split.test, tag_texts=texts, tag_items=pair_items, tag_rows=pair_tags,
        item_vectors=item_vectors, tag_vectors=tag_vectors,
    )  # fmt: skip
    trained = train(data, config, progress=progress)
    began = time.perf_counter()
    order = np.argsort(live.users, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(live.users, minlength=log.n_users))])
    sorted_items = live.items[order].astype(np.int64)
    events = Events(
        torch.from_numpy(offsets), torch.from_numpy(sorted_items), torch.zeros(len(sorted_items), dtype=torch.int64)
    )
    vectors = encode_items(trained.model, item_features(item_ids, titles, categories, config, item_vectors))
    people = encode_users(trained.model, user_rows(user_ids, config), events, vectors)[torch.from_numpy(asked)]
    seen = [sorted_items[offsets[user] : offsets[user + 1]] for user in asked]
    _, found = top_k(people, vectors, CUT, exclude=seen)
    towers = _figures("towers", found.numpy(), wanted, log.n_items, trained.seconds, time.perf_counter() - began)
    return Result(towers, popularity, neighbours, shrinkage, half_life, len(asked), log.n_items, trained)


def _popularity(learnt: _Log, live: _Log, asked: Array, wanted: Array) -> Figures:
    began = time.perf_counter()
    model = Popularity(learnt.items, learnt.n_items)
    fitted = time.perf_counter()
    ranking = _rank(model, live.had(), live.had(), asked)
    now = time.perf_counter()
    return _figures("popularity", ranking, wanted, learnt.n_items, fitted - began, now - fitted)


def _neighbours(
    learnt: _Log, live: _Log, validation: _Log, asked: Array, wanted: Array
) -> tuple[Figures, tuple[float, float]]:
    began = time.perf_counter()
    models = {
        shrinkage: ItemNeighbours(learnt.users, learnt.items, learnt.n_users, learnt.n_items, shrinkage=shrinkage)
        for shrinkage in SHRINKAGES
    }

    def on_validation(choice: tuple[float, float]) -> float:
        ranking = _rank(models[choice[0]], learnt.history(choice[1]), learnt.had(), validation.users)
        return metrics.mean(metrics.ndcg(ranking, validation.items, CUT)).value

    best = max(itertools.product(SHRINKAGES, HALF_LIVES), key=on_validation)
    fitted = time.perf_counter()
    ranking = _rank(models[best[0]], live.history(best[1]), live.had(), asked)
    now = time.perf_counter()
    return _figures("item-kNN", ranking, wanted, learnt.n_items, fitted - began, now - fitted), best


def _rank(model: Popularity | ItemNeighbours, history: sp.csr_array, had: sp.csr_array, asked: Array) -> Array:
    """(B, 10) rows of the best items of the users `asked` (B,), what they had left out; ties by lower row."""
    parts = []
    for start in range(0, len(asked), BLOCK):
        who = asked[start : start + BLOCK]
        scores = model.scores(history[who])
        seen = had[who].tocoo()
        scores[seen.row, seen.col] = -np.inf
        best, rows = stable_top(torch.from_numpy(scores), min(CUT, scores.shape[1]))
        parts.append(np.where(best.numpy() > -np.inf, rows.numpy(), -1))
    return np.concatenate(parts) if parts else np.zeros((0, CUT), np.int64)


def _figures(name: str, ranking: Array, wanted: Array, n_items: int, fit: float, score: float) -> Figures:
    return Figures(
        name,
        metrics.mean(metrics.recall(ranking, wanted, CUT)).value,
        metrics.mean(metrics.ndcg(ranking, wanted, CUT)).value,
        metrics.coverage(ranking, n_items, CUT),
        fit,
        score,
    )
