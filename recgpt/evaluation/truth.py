"""Found interests against the true ones of a demo shop, at category level.

A found interest is the category that most of its evidence items have. It is right if the user truly had that category
as an interest on the night: begun before it, and not ended more than `GRACE_DAYS` before it. A second found interest of
the same category is wrong, whatever it is called. Recall is against all of a user's true interests of that night, also
those of which the logs hold too little for anybody to see. Stages never import this module.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow.compute as pc
import pyarrow.parquet as pq

from recgpt import words
from recgpt.words import Horizon

GRACE_DAYS: Final = 60  # an interest is not over on the day after its last event; nobody can tell so soon

Truth = Mapping[str, Mapping[str, Horizon]]  # user_id -> category -> horizon, as of one night


@dataclass(frozen=True)
class Score:
    """Micro figures are over all interests, macro figures are means over users; None where there is nothing to count.

    A user with no found interest has no macro precision; one with no true interest has no macro recall.
    """

    users: int
    found: int
    right: int
    true: int
    precision: float | None
    recall: float | None
    macro_precision: float | None
    macro_recall: float | None
    recall_by_horizon: Mapping[str, float]


def read_truth(path: Path, night: datetime, users: Collection[str] | None = None) -> Truth:
    """The true interests of a night from a shop's `truth/interests.parquet`; users without any are left out."""
    table = pq.read_table(path)
    if users is not None:
        table = table.filter(
            pc.is_in(table[words.USER_ID], pc.cast(list(users), table.schema.field(words.USER_ID).type))
        )
    day, truth = night.date(), dict[str, dict[str, Horizon]]()
    for row in table.to_pylist():
        if _active(row["begin"], row["end"], day):
            truth.setdefault(row[words.USER_ID], {})[row[words.CATEGORY]] = Horizon(row["horizon"])
    return truth


def _active(begin: date, end: date | None, day: date) -> bool:
    return begin < day and (end is None or end >= day - timedelta(days=GRACE_DAYS))


def majority(categories: Iterable[str | None]) -> str | None:
    """The category that most of the evidence items have; of equals the first to appear. None without any."""
    counts = Counter(category for category in categories if category)
    return counts.most_common(1)[0][0] if counts else None


def score(found: Mapping[str, Sequence[str | None]], truth: Truth) -> Score:
    """Hold the found interests of each user against the truth.

    Args:
        found: for every user who is evaluated, also those of whom nothing was found: the category of each found
            interest (see `majority`). A user who is missing here is not evaluated.
        truth: see `read_truth`.
    """
    right = true = total = 0
    precisions: list[float] = []
    recalls: list[float] = []
    horizons: Counter[Horizon] = Counter()
    recalled: Counter[Horizon] = Counter()
    for user, categories in found.items():
        mine = truth.get(user, {})
        hits = set(categories) & set(mine)
        total, right, true = total + len(categories), right + len(hits), true + len(mine)
        if categories:
            precisions.append(len(hits) / len(categories))
        if mine:
            recalls.append(len(hits) / len(mine))
        horizons.update(mine.values())
        recalled.update(mine[category] for category in hits if category is not None)
    return Score(
        users=len(found),
        found=total,
        right=right,
        true=true,
        precision=_share(right, total),
        recall=_share(right, true),
        macro_precision=_mean(precisions),
        macro_recall=_mean(recalls),
        recall_by_horizon={str(horizon): recalled[horizon] / count for horizon, count in sorted(horizons.items())},
    )


def share_of_repeats(names: Sequence[str], texts: Iterable[str]) -> float | None:
    """The share of names that are one of the texts (item titles, a prompt's example answers), but for case and spaces.

    None without names.
    """
    known = {_plain(text) for text in texts}
    return _share(sum(_plain(name) in known for name in names), len(names))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
