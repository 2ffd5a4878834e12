"""Which items may be recommended at all, which not to one user, and which of the candidates make the list.

At all: items in stock (`data.columns.items.stock`; unknown counts as in stock), of the categories asked for. Not to a
user: what they have `score.leave_out` behaviours with. The list: best first, each item once, at most `score.per_tag` of
a tag, `per_category` of a category, `per_brand` of a brand, and drawn apart by `diversity` (towers/rerank.py).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from recgpt.settings import Score
from recgpt.sources.logs import Catalogue, History
from recgpt.words import CATEGORY_SEPARATOR
from towers.rerank import choose

Array = npt.NDArray[Any]


class Selection:
    def __init__(self, rules: Score, catalogue: Catalogue, behaviours: Sequence[str], until: datetime) -> None:
        """`behaviours` are the logs', whose codes the histories hold; `until` is the night's moment."""
        self.rules = rules
        self.rows = np.flatnonzero(_allowed(rules, catalogue))  # (A,) ascending, of the catalogue
        self._place = np.full(len(catalogue), -1)  # of each item among the A, -1: not allowed
        self._place[self.rows] = np.arange(len(self.rows))
        self._quotas = [
            (_kinds(names), most)
            for names, most in ((catalogue.categories, rules.per_category), (catalogue.brands, rules.per_brand))
            if most
        ]
        self._left_out = [code for code, name in enumerate(behaviours) if name in rules.leave_out]
        since = until - timedelta(days=rules.leave_out_days)
        self._since = np.datetime64(since.replace(tzinfo=None), "s")

    @property
    def pool(self) -> int:
        """How many of the best of each tag the list is chosen from."""
        return max(self.rules.pool, self.rules.top_k)

    def places(self, rows: Array) -> Array:
        """Where rows of the catalogue stand among the allowed ones; -1: they don't."""
        found: Array = self._place[rows]
        return found

    def left_out(self, history: History) -> Array:
        """Rows of the catalogue that this user is not to get."""
        recent = (history.times >= self._since) & (history.items >= 0)
        return np.unique(history.items[recent & np.isin(history.behaviours, self._left_out)])

    def choose(self, scores: Array, rows: Array, tags: Array, vectors: Array) -> Array:
        """Places of the list among one user's n candidates, in its order.

        scores, rows (of the catalogue) and tags (any integers): (n,); vectors (N, D) of the whole catalogue.
        """
        order = np.lexsort((tags, rows))  # that is how equal scores stand
        rows, tags = rows[order], tags[order]
        quotas = [(rows, 1), (tags, self.rules.per_tag), *((kinds[rows], most) for kinds, most in self._quotas)]
        diversity = self.rules.diversity
        found: Array = order[
            choose(
                scores[order],
                self.rules.top_k,
                quotas=quotas,
                vectors=vectors[rows] if diversity else None,
                diversity=diversity,
            )
        ]
        return found


def _allowed(rules: Score, catalogue: Catalogue) -> Array:
    """(N,) whether an item may be recommended to anybody."""
    allowed = np.ones(len(catalogue), dtype=bool)
    if catalogue.stocks is not None:
        allowed &= ~(catalogue.stocks <= 0)  # NaN, which is not known, stays
    categories = np.array(catalogue.categories, dtype=object)
    if rules.categories:
        allowed &= _within(categories, rules.categories)
    if rules.without_categories:
        allowed &= ~_within(categories, rules.without_categories)
    return allowed


def _within(categories: Array, paths: Sequence[str]) -> Array:
    """(N,) whether a category is one of the paths or lies below one."""
    beginnings = tuple(path + CATEGORY_SEPARATOR for path in paths)
    known = {one: one in paths or one.startswith(beginnings) for one in set(categories)}
    return np.array([known[one] for one in categories], dtype=bool)


def _kinds(names: Sequence[str]) -> Array:
    """(N,) a number for each distinct name, -1 for "", which is no kind."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(name for name in names if name))}
    return np.array([numbers.get(name, -1) for name in names], dtype=np.int64)
