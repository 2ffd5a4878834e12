"""A user's own past as a score of its own, for services where people buy the same things again.

    score(u, i) = r(u, i)  for what the user had before,    <u, i>  for anything else
    r = 20 t (w . gelu(W x + V h + b) + c),  x = (log1p(a_kp) for every k and p, exp(-gap / s) for every s)
    a_kp(u, i) = sum of 0.5 ** (age / half-life_p) over the user's earlier events of behaviour k on item i
    h(i) = (log10(1 + events), log(events a user)) of the item's events by anybody (features.habits)

with age the days since an event, gap the days since the latest of them, and s a scale in days; h tells milk, which who
buys it buys again, from a kettle. A product of two learnt vectors can't say "these very items": on repeat purchases of
groceries the aged counts alone beat every model, and vectors beside them are learnt by heart. So what was had before is
ranked by r alone, and the towers learn nothing but what was new (losses/own.py). Both are divided by the loss's
temperature.

The counts are a running state kept with each event, so that a moment asks only for the latest event on each item:
a(t) = a(t_before) * 0.5 ** ((t - t_before) / half-life) + 1. An event is described from what stands before it only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from towers.encoders.history import DAY, Events
from towers.features import HABITS
from towers.topk import top_k

HALF_LIVES = (7.0, 30.0, 90.0, 1000.0)  # days
GAPS = (2.0, 7.0, 21.0, 60.0)  # days


@dataclass(frozen=True)
class Own:
    """The M items that B users had before, each once, sorted by row."""

    rows: Tensor  # (M,) int64 which of the B users
    items: Tensor  # (M,) int64 row of the catalogue
    features: Tensor  # (M, K P + G) float32

    def places(self, rows: Tensor, items: Tensor) -> Tensor:
        """(B,) where each pair of a user (B,) and an item (B,) stands here; -1: not had."""
        if not len(self.rows):
            return torch.full_like(rows, -1)
        width = 1 + int(torch.maximum(self.items.amax(), items.amax() if len(items) else self.items.amax()))
        had, order = (self.rows * width + self.items).sort()
        wanted = rows * width + items
        at = torch.searchsorted(had, wanted).clamp(max=len(had) - 1)
        return torch.where(had[at] == wanted, order[at], -1)


@dataclass(frozen=True)
class Past:
    """The events, each with the aged counts of its user and item just after it."""

    events: Events
    following: Tensor  # (E,) int64 position of the user's next event on the same item; E: there is none
    counts: Tensor  # (E, K, P) float32

    def own(self, ends: Tensor, users: Tensor, moments: Tensor | None = None) -> Own:
        """What each user (B,) had before position `ends` (B,), described as of `moments` (B,) in seconds.

        None: as of the event at `ends` itself, which is then the user's.
        """
        asked = self.events.times[ends] if moments is None else moments
        starts = self.events.offsets[users]
        lengths = ends - starts  # (B,)
        rows = torch.repeat_interleave(torch.arange(len(users), device=users.device), lengths)  # (all earlier events,)
        within = torch.arange(len(rows), device=rows.device) - (lengths.cumsum(0) - lengths)[rows]
        positions = starts[rows] + within
        latest = (self.following[positions] >= ends[rows]) & (self.events.items[positions] >= 0)
        rows, positions = rows[latest], positions[latest]  # (M,)
        gap = ((asked[rows] - self.events.times[positions]) / DAY).clamp(min=0)[:, None]  # (M, 1)
        aged = self.counts[positions] * (0.5 ** (gap / gap.new_tensor(HALF_LIVES)))[:, None, :]  # (M, K, P)
        return Own(
            rows,
            self.events.items[positions],
            torch.cat([aged.log1p().flatten(1), (-gap / gap.new_tensor(GAPS)).exp()], dim=1),
        )

    def latest(self, users: Tensor, now: int) -> Own:
        """All that each user (B,) ever had, as of `now` in seconds."""
        return self.own(self.events.offsets[users + 1], users, torch.full_like(users, now))


def past(events: Events, n_behaviours: int) -> Past:
    """The running aged counts, one pass per how often anyone had one item."""
    offsets, items, behaviours, times = (
        column.cpu().numpy() for column in (events.offsets, events.items, events.behaviours, events.times)
    )
    n = len(items)
    users = np.repeat(np.arange(events.n_users), np.diff(offsets))
    order = np.lexsort((np.arange(n), items, users))  # by user, then item, then time
    again = np.zeros(n, dtype=bool)  # in that order: the event before it is of the same user and item
    again[1:] = (np.diff(users[order]) == 0) & (np.diff(items[order]) == 0)
    following = np.full(n, n)
    following[order[:-1][again[1:]]] = order[1:][again[1:]]

    # (E, K, P): each event's own 1, to which the state before it is added, first the second events, then the third ...
    counts = np.zeros((n, n_behaviours, len(HALF_LIVES)), dtype=np.float32)
    counts[np.arange(n), behaviours] = 1
    starts = np.flatnonzero(~again)
    nth = np.arange(n) - np.repeat(starts, np.diff(np.append(starts, n)))  # (E,) in that order, 0: the first
    by_nth = np.argsort(nth)
    for begin, end in pairwise(np.cumsum(np.bincount(nth)).tolist()):
        places = by_nth[begin:end]
        event, before = order[places], order[places - 1]
        days = ((times[event] - times[before]) / DAY)[:, None, None]
        counts[event] += counts[before] * 0.5 ** (days / np.array(HALF_LIVES))
    device = events.items.device
    return Past(events, torch.from_numpy(following).to(device), torch.from_numpy(counts).to(device))


class RepeatTerm(nn.Module):
    """r = 20 t (w . gelu(W x + V h + b) + c), 0 to begin with, t the temperature by which scores are divided.

    So it learns as fast at any temperature.
    """

    def __init__(self, n_behaviours: int, temperature: float, hidden: int = 16) -> None:
        super().__init__()
        self.scale = 20 * temperature
        self.up = nn.Linear(n_behaviours * len(HALF_LIVES) + len(GAPS), hidden)
        self.item = nn.Linear(HABITS, hidden, bias=False)
        self.down = nn.Linear(hidden, 1)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, own: Own, habits: Tensor) -> Tensor:
        """(M,) r of each, from the h (N, HABITS) of the items that own.items are rows of."""
        out: Tensor = self.down(F.gelu(self.up(own.features) + self.item(habits[own.items])))  # (M, 1)
        return self.scale * out.squeeze(-1)


def top_k_with(
    queries: Tensor,
    items: Tensor,
    k: int,
    own: Own,
    scores_own: Tensor,
    *,
    exclude: Sequence[npt.NDArray[Any]] | None = None,
) -> tuple[Tensor, Tensor]:
    """As `top_k`, but each query's own items have the scores that are given, (M,); still exact.

    The best of all other items are found first, then each query's own are merged in.
    """
    numbers = own.items.cpu().numpy()
    bounds = np.searchsorted(own.rows.cpu().numpy(), np.arange(len(queries) + 1))
    mine = [numbers[start:end] for start, end in pairwise(bounds)]
    out = [np.zeros(0, dtype=np.int64)] * len(queries) if exclude is None else exclude
    others = [np.concatenate(pair) for pair in zip(mine, out, strict=True)]
    scores, rows = (found.to(queries.device) for found in top_k(queries, items, k, exclude=others))

    left_out = np.concatenate([np.isin(a, b) for a, b in zip(mine, out, strict=True)] or [np.zeros(0, dtype=bool)])
    extra = scores_own.masked_fill(torch.from_numpy(left_out).to(scores_own.device), -torch.inf)  # (M,)
    widest = int(np.diff(bounds).max(initial=0))
    column = torch.arange(len(own.items), device=own.rows.device) - torch.from_numpy(bounds).to(own.rows)[own.rows]
    merged = scores.new_full((len(queries), k + widest), -torch.inf)
    found = rows.new_full((len(queries), k + widest), -1)
    merged[:, :k], found[:, :k] = scores, rows
    merged[own.rows, k + column], found[own.rows, k + column] = extra, own.items
    # By row of the catalogue, then stably by score: ties stand in the order of their rows, and -1 before what is out.
    by_row = found.argsort(dim=1)
    merged, found = merged.gather(1, by_row), found.gather(1, by_row)
    best = merged.argsort(dim=1, descending=True, stable=True)[:, :k]  # (Q, k)
    return merged.gather(1, best), found.gather(1, best)
