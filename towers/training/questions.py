"""From which moment an event is asked for, and which events are one question.

With training.horizon = h days, time is cut into stretches of h days, and all that a user does within one is asked for
from its beginning, when nothing of it is known. So the towers learn what they are served for: the days after a night.
The cuts lie elsewhere in each epoch. Without a horizon each event is a question of its own, asked right before it; what
is bought in one basket is then explained by the rest of the basket, which nobody knows when it is to be filled.
What a user takes several times within a stretch is asked for once.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from towers.data import Prepared
from towers.encoders.history import DAY


@dataclass(frozen=True)
class Questions:
    """What Q users are asked at a moment, each pair once with a horizon, and the question of each of B events."""

    users: Tensor  # (Q,)
    moments: Tensor  # (Q,) seconds
    ends: Tensor  # (Q,) position of the user's first event that is not known yet
    rows: Tensor  # (B,)


class Asking:
    """Questions about the events of `ready`, with a horizon in days."""

    def __init__(self, ready: Prepared, horizon: float) -> None:
        self.stretch, self.ready = round(horizon * DAY), ready
        self.users, self.times = ready.users, ready.events.times
        low, high = (int(self.times.amin()), int(self.times.amax())) if len(self.times) else (0, 0)
        self.first, self.span = low - self.stretch, high - low + 2 * self.stretch + 1
        self.keys = self._key(self.users, self.times)  # (E,) ascending

    def _key(self, users: Tensor, times: Tensor) -> Tensor:
        return users * self.span + times - self.first

    def moments(self, places: Tensor, phase: int) -> Tensor:
        """(B,) seconds from which the events at places (B,) are asked for, `phase` being where some stretch begins."""
        times = self.times[places]
        return times - (times - phase) % self.stretch if self.stretch else times

    def shuffled(self, places: Tensor, chances: torch.Generator) -> tuple[Tensor, Tensor]:
        """Of places (B,) those to be asked for (B',), and their moments, in random order, each question's together."""
        if not self.stretch:
            order = torch.randperm(len(places), generator=chances).to(places.device)
            return places[order], self.times[places[order]]
        moments = self.moments(places, int(torch.randint(self.stretch, (1,), generator=chances)))
        asked, question = torch.unique(self._key(self.users[places], moments), return_inverse=True)  # (Q,), (B,)
        events, n = self.ready.events, len(self.ready.features)
        wanted = (events.behaviours[places] * n + events.items[places]) * len(asked) + question
        once, again = torch.unique(wanted, return_inverse=True)
        first = first_of(again, len(once))  # (B',)
        rank = torch.randperm(len(asked), generator=chances).to(places.device)
        order = first[rank[question[first]].argsort(stable=True)]
        return places[order], moments[order]

    def questions(self, places: Tensor, moments: Tensor) -> Questions:
        """Of events at places (B,), asked for from moments (B,)."""
        if not self.stretch:
            return Questions(self.users[places], moments, places, torch.arange(len(places), device=places.device))
        asked, rows = torch.unique(self._key(self.users[places], moments), return_inverse=True)  # (Q,), (B,)
        ends = torch.searchsorted(self.keys, asked)
        return Questions(asked // self.span, asked % self.span + self.first, ends, rows)


def first_of(groups: Tensor, count: int) -> Tensor:
    """(G,) the first place of each of G = count groups in `groups` (B,), in which each is found."""
    places = torch.arange(len(groups), device=groups.device)
    return groups.new_full((count,), len(groups)).scatter_reduce(0, groups, places, "amin")


def among(rows: Tensor, items: Tensor, n_rows: int, columns: Tensor) -> Tensor:
    """(R, C) bool for R = n_rows: whether a row and the item in a column (C,) are one of the pairs rows, items (M,)."""
    distinct, place = torch.unique(columns, return_inverse=True)  # (C',) ascending, (C,)
    table = torch.zeros(n_rows, len(distinct), dtype=torch.bool, device=columns.device)
    if len(distinct):
        at = torch.searchsorted(distinct, items).clamp(max=len(distinct) - 1)  # (M,)
        here = distinct[at] == items
        table[rows[here], at[here]] = True
    return table[:, place]
