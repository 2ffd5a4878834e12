"""The weight of user.item beside tag.item, measured: how well each beta ranks what users took after a night.

    score = beta * user.item + (1 - beta) * max over the user's tags of tag.item

Only users who had tags on that night and took something afterwards that they could have been recommended say anything,
so it is measured where tags exist and nowhere else. `score.beta` is for a person to set; nothing is changed here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from recgpt.config import night_of
from recgpt.errors import DataError
from recgpt.evaluation.metrics import ndcg
from recgpt.sources.logs import History, utc64
from recgpt.stages.night import Night, Progress
from recgpt.stages.score import blocks
from recgpt.stages.scorer import Scorer
from recgpt.stages.towers import load_newest

GRID: Final = tuple(step / 20 for step in range(21))

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Fit:
    users: int  # measured
    beta: float  # the best of the grid; of equal ones that nearest to a half
    ndcg: tuple[tuple[float, float], ...]  # mean NDCG of each beta of the grid

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def fit_beta(users: Iterable[tuple[Array, Array, Array]], k: int, betas: Sequence[float] = GRID) -> Fit | None:
    """The beta whose rankings have the highest mean NDCG@k over held-out users; None without any.

    users: of each the scores user.item (N,), the scores of the tags (N,), and the wanted rows. An item that is not to
    be ranked has a score of -inf in both. Ties stand in row order.
    """
    values = []
    for user_scores, tag_scores, wanted in users:
        rankings = np.stack([_ranking(user_scores, tag_scores, beta, k) for beta in betas])  # (G, k)
        values.append(ndcg(rankings, [wanted] * len(betas), k))
    if not values:
        return None
    means = np.mean(values, axis=0)  # (G,)
    best = min(range(len(betas)), key=lambda place: (-means[place], abs(betas[place] - 0.5)))
    pairs = zip(betas, means.tolist(), strict=True)
    return Fit(len(values), betas[best], tuple((beta, round(mean, 6)) for beta, mean in pairs))


def _ranking(user_scores: Array, tag_scores: Array, beta: float, k: int) -> Array:
    allowed = np.isfinite(user_scores)
    fused = np.full(len(allowed), -np.inf)
    fused[allowed] = beta * user_scores[allowed] + (1 - beta) * tag_scores[allowed]
    rows = np.argsort(-fused, kind="stable")[:k]
    return np.where(allowed[rows], rows, -1)


def measure(night: Night, *, days: int) -> Fit:
    """Fit beta on what the night's users took in the days after it.

    Raises:
        CheckpointError: there are no towers for the night.
        DataError: no user had tags on the night and took something new afterwards.
    """
    _, model = load_newest(night)
    scorer = Scorer(night, model)
    fit = fit_beta(_held_out(night, scorer, days), night.config.score.top_k)
    if fit is None:
        raise DataError(
            f"no user who had tags on {night.day} took an item that was new to them in the {days} days after: run the "
            "night of an earlier date, or give more --days"
        )
    return fit


def _held_out(night: Night, scorer: Scorer, days: int) -> Iterable[tuple[Array, Array, Array]]:
    end = night_of(night.day + timedelta(days=days))
    done = 0
    users = None if night.only is None else sorted(night.only)
    for both in blocks(night.logs.histories(end, users=users, limit=night.users)):
        before = [history.until(night.until) for history in both]
        tags = scorer.tags(before)
        past_events = scorer.events(before)
        vectors = scorer.user_vectors(before, past_events)
        repeats = scorer.repeats(past_events, torch.arange(len(before)))
        for place, history in enumerate(before):
            wanted = _wanted(night, scorer, both[place], history)
            mine = tags.get(history.user_id, ())
            if not mine or not len(wanted):
                continue
            hidden = np.ones(len(scorer.items), dtype=bool)
            hidden[scorer.selection.rows] = False
            hidden[scorer.selection.left_out(history)] = True
            user_scores = (scorer.items @ vectors[place]).numpy()
            if repeats is not None:
                own, r = repeats
                mine_too = own.rows == place
                user_scores[own.items[mine_too].numpy()] = r[mine_too].numpy()
            user_scores = np.where(hidden, -np.inf, user_scores)
            tag_scores = (scorer.items @ scorer.tag_vectors([tag.tag for tag in mine]).T).amax(1).numpy()
            yield user_scores, np.where(hidden, -np.inf, tag_scores), wanted
        done += len(both)
        night.progress(Progress("beta", done, night.n_users))


def _wanted(night: Night, scorer: Scorer, both: History, before: History) -> Array:
    """Rows that could have been recommended, and that the user took (`score.leave_out`) after the night."""
    codes = [code for code, name in enumerate(night.logs.behaviours) if name in night.config.score.leave_out]
    later = both.times >= utc64(night.until)
    rows = np.unique(both.items[later & np.isin(both.behaviours, codes) & (both.items >= 0)])
    rows = rows[scorer.selection.places(rows) >= 0]
    return rows[~np.isin(rows, scorer.selection.left_out(before))]
