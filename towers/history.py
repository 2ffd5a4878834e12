"""A user's past as a window of the latest events, for training (before each event) and for scoring (before now).

Events of all users lie in one array, user by user, oldest first; windows are looked up in it for a batch at a time.
The one promise: the window of an event holds only events that stand before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from towers.config import TowersError

Ints = npt.NDArray[Any]


@dataclass(frozen=True)
class Window:
    """The latest H events of B users, newest first; an empty place has item -1."""

    items: Tensor  # (B, H) int64 rows of the catalogue, -1: nothing, or an item that is not in it
    behaviours: Tensor  # (B, H) int64


@dataclass(frozen=True)
class Events:
    """E events of U users, sorted by user, then from the oldest to the newest."""

    offsets: Tensor  # (U + 1,) int64: the events of user u are offsets[u]:offsets[u + 1]
    items: Tensor  # (E,) int64
    behaviours: Tensor  # (E,) int64

    @property
    def n_users(self) -> int:
        return len(self.offsets) - 1

    def before(self, ends: Tensor, users: Tensor, length: int) -> Window:
        """Windows of at most `length` events of each user (B,) that stand before position `ends` (B,)."""
        if not len(self.items):
            empty = torch.full((len(users), length), -1)  # (B, H)
            return Window(empty, torch.zeros_like(empty))
        index = ends[:, None] - 1 - torch.arange(length)  # (B, H)
        inside = index >= self.offsets[users][:, None]
        index = index.clamp(min=0)
        return Window(torch.where(inside, self.items[index], -1), self.behaviours[index])

    def latest(self, users: Tensor, length: int) -> Window:
        """Windows over the newest events of each user (B,)."""
        return self.before(self.offsets[users + 1], users, length)


def events(histories: Sequence[tuple[Ints, Ints]]) -> Events:
    """Events of U users from each one's (item rows, behaviour codes), both oldest first."""
    offsets = np.zeros(len(histories) + 1, dtype=np.int64)
    for n, (items, behaviours) in enumerate(histories):
        if len(items) != len(behaviours):
            raise TowersError(f"history {n} has {len(items)} items and {len(behaviours)} behaviours")
        offsets[n + 1] = offsets[n] + len(items)
    nothing = np.zeros(0, dtype=np.int64)
    items = np.concatenate([nothing, *(np.asarray(items, dtype=np.int64) for items, _ in histories)])
    kinds = np.concatenate([nothing, *(np.asarray(behaviours, dtype=np.int64) for _, behaviours in histories)])
    return Events(torch.from_numpy(offsets), torch.from_numpy(items), torch.from_numpy(kinds))
