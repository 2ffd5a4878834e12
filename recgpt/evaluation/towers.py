"""The towers on a project's own logs: trained on what is before a moment, asked for what users took after it.

Measured is the user-item channel, beside popularity and item-kNN whose shrinkage and half-life are chosen on as many
days before the moment. Nothing is learnt from later than the moment, and nothing is stored. A question is a user and
the distinct items of learnt behaviours that were new to them in the days after; what they had is left out of the
ranking.

Means come with 95 % bootstrap intervals over users, for everybody and apart for

- users without any event before the moment, and the others by quarters of their number of events;
- cold items: those that nobody had before, ranked among themselves, where popularity is that of the item's category.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc

from recgpt.errors import DataError
from recgpt.evaluation import contender, metrics, next_weeks
from recgpt.evaluation.baselines import CategoryPopularity
from recgpt.evaluation.peers import POPULARITY, choose, neighbours, values
from recgpt.evaluation.ranking import Array, Log, Questions, Show, rank
from recgpt.stages.night import Night, Progress
from recgpt.stages.towers import behaviour_codes, towers_config, training_data
from recgpt.words import Stage
from towers.config import TowersError
from towers.data import TrainingData
from towers.training.loop import Epoch, train

DAY_S: Final = 86_400.0
TOWERS, CATEGORY = "towers", "category popularity"
ALL, COLD_USERS, COLD_ITEMS = "all users", "cold users", "cold items"
HALF_LIVES: Final = (7.0, 30.0, 90.0, 365.0)  # days; what the neighbours may choose from


@dataclass(frozen=True)
class Mean:
    """Over users, with its 95 % interval; NaN where there is nobody, which JSON calls null."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One model over one group of users."""

    group: str
    model: str
    users: int
    metrics: Mapping[str, Mean]  # by name: recall@k, ndcg@k, mrr@k


@dataclass(frozen=True)
class Lists:
    """What one model shows to all users asked for, whether they want it or not."""

    model: str
    coverage: float  # share of the catalogue that anyone is shown
    novelty: float  # bits: mean of -log2(share of users who had what is shown)
    diversity: float  # 1 - mean cosine of the sentence vectors within a list


@dataclass(frozen=True)
class Report:
    night: date
    days: int
    k: int
    users: int  # with something new after the night
    wanted: int  # pairs of a user and an item
    train_events: int
    train_seconds: float
    rows: tuple[Row, ...]
    lists: tuple[Lists, ...]
    above: Mapping[str, metrics.Difference]  # by baseline: the towers' ndcg@k less its own, paired over all users

    def groups(self) -> list[str]:
        return list(dict.fromkeys(row.group for row in self.rows))

    def as_dict(self) -> dict[str, Any]:
        return {name: _plain(value) for name, value in asdict(self).items()} | {"night": str(self.night)}


def evaluate(
    night: Night,
    *,
    days: int = 14,
    k: int = 10,
    most_users: int | None = None,
) -> Report:
    """Train on the logs up to the night, and measure on the `days` after it. most_users: a sample of those asked for.

    Raises:
        DataError: nothing to learn from, or nobody took anything new in those days.
    """
    config = towers_config(night)
    data = training_data(night, config)
    users, items = _after(night, days)
    now = int(night.until.timestamp())
    known = _known(data, now)
    asked = _sample(next_weeks.asked(known, known, users, items, Show.NEW), most_users)
    if not len(asked.users):
        raise DataError(f"no user takes a new item in the {days} days after {night.day}: choose an earlier --date")

    def draw(epoch: Epoch) -> None:
        note = f"loss {epoch.loss:.3f}, held-out recall@10 {epoch.recall:.4f}"
        night.progress(Progress(Stage.TOWERS, epoch.number, config.training.max_epochs, note))

    try:
        trained = train(data, config, progress=draw)
    except TowersError as error:
        raise DataError(f"the towers can't be trained on these logs: {error}") from error
    ours = contender.of_users(trained.model, data, now)
    rankings = {TOWERS: ours.answer(asked, k)[0]}
    validation = _validation(data, now, days)
    for peer in (POPULARITY, neighbours(HALF_LIVES)):
        fitted = choose(peer, validation).again(known.counts())
        rankings[peer.name] = fitted.answer(asked, k)[0]

    found = {model: values(ranking, asked, k) for model, ranking in rankings.items()}
    rows = [
        _row(group, model, {name: each[members] for name, each in found[model].items()})
        for group, members in _groups(asked).items()
        for model in rankings
    ]
    ndcg = f"ndcg@{k}"
    return Report(
        night.day,
        days,
        k,
        len(asked.users),
        sum(len(one) for one in asked.wanted),
        trained.train_events,
        round(trained.seconds, 1),
        (*rows, *_cold_items(night, ours, known, users, items, k)),
        tuple(_lists(night, model, ranking, known, k) for model, ranking in rankings.items()),
        {model: metrics.difference(found[TOWERS][ndcg], found[model][ndcg]) for model in found if model != TOWERS},
    )


def _after(night: Night, days: int) -> tuple[Array, Array]:
    """Users and items of the events on learnt behaviours in the days after the night."""
    codes, parts = behaviour_codes(night), []
    for batch in night.logs.interactions(night.until + timedelta(days=days)):
        seconds = pc.cast(batch["time"], "int64").to_numpy()
        mine = (seconds >= night.until.timestamp()) & (codes[batch["behaviour"].to_numpy()] >= 0)
        parts.append([batch[name].to_numpy()[mine] for name in ("user", "item")])
    users, items = (np.concatenate([np.zeros(0, np.int64), *(part[n] for part in parts)]) for n in range(2))
    return users, items


def _known(data: TrainingData, moment: int) -> Log:
    """The events before a moment (seconds), with their ages in days."""
    seconds = np.asarray(data.times).astype("datetime64[s]").astype(np.int64)
    kept = (np.asarray(data.items) >= 0) & (seconds < moment)
    ages = (moment - seconds[kept]) / DAY_S
    return Log(data.users[kept], data.items[kept], ages, len(data.user_ids), len(data.item_ids))


def _validation(data: TrainingData, now: int, days: int) -> Questions:
    """The same questions as many days earlier, for whatever has a setting to choose."""
    moment = now - round(days * DAY_S)
    before, all_known = _known(data, moment), _known(data, now)
    later = all_known.ages <= days
    return next_weeks.asked(before, before, all_known.users[later], all_known.items[later], Show.NEW)


def _sample(asked: Questions, most: int | None) -> Questions:
    if most is None or len(asked.users) <= most:
        return asked
    kept = np.sort(np.random.default_rng(0).permutation(len(asked.users))[:most])
    wanted = [asked.wanted[n] for n in kept]
    return Questions(asked.learnt, asked.live, asked.users[kept], wanted, asked.show, asked.catalogue)


def _groups(asked: Questions) -> dict[str, Array]:
    """Places of the users asked for, by name of the group: all, cold, and quarters by events before the moment."""
    events = np.bincount(asked.live.users, minlength=asked.live.n_users)[asked.users]
    groups = {ALL: np.arange(len(events)), COLD_USERS: np.flatnonzero(events == 0)}
    some = events[events > 0]
    edges = np.unique(np.quantile(some, [0.25, 0.5, 0.75, 1.0], method="inverted_cdf")) if len(some) else some
    low = 1
    for high in edges.astype(np.int64).tolist():
        groups[f"{low:,} to {high:,} events" if low < high else f"{high:,} events"] = np.flatnonzero(
            (low <= events) & (events <= high)
        )
        low = high + 1
    return groups


def _cold_items(
    night: Night, ours: contender.Contender, known: Log, users: Array, items: Array, k: int
) -> tuple[Row, ...]:
    counts = known.counts()
    cold = np.asarray(counts.sum(axis=0)).ravel() == 0
    asked = next_weeks.asked(known, known, users, items, Show.NEW, cold)
    _, categories = np.unique(np.asarray(night.logs.catalogue.categories, dtype=str), return_inverse=True)
    popular = CategoryPopularity(counts, categories)
    rankings = {
        TOWERS: ours.answer(asked, k)[0],
        CATEGORY: rank(lambda who: popular.scores(counts[who]), asked, k),
    }
    return tuple(_row(COLD_ITEMS, model, values(ranking, asked, k)) for model, ranking in rankings.items())


def _row(group: str, model: str, found: Mapping[str, Array]) -> Row:
    means = {}
    for name, each in found.items():
        low, high = metrics.interval(each)
        means[name] = Mean(metrics.mean(each).value, low, high)
    return Row(group, model, len(next(iter(found.values()))), means)


def _lists(night: Night, model: str, ranking: Array, known: Log, k: int) -> Lists:
    users_of = np.asarray(known.counts().sign().sum(axis=0)).ravel()  # (N,)
    novelty = metrics.novelty(ranking, users_of, known.n_users, k)
    diversity = metrics.diversity(ranking, night.vectors, k)
    return Lists(
        model,
        metrics.coverage(ranking, known.n_items, k),
        metrics.mean(novelty).value,
        metrics.mean(diversity).value,
    )


def _plain(value: Any) -> Any:
    """The same for JSON, which knows no NaN: None."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value
