"""What the users of a batch had before, and the loss of the score for that (towers/repeats.py).

Towers that score what was had apart learn nothing from it: a repeat is no row of their loss, and what its user had is
no negative. Which of their own a user takes again, and whether it is that or something new, is for `own_loss` to say.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from towers.losses.own import own_or_new
from towers.repeats import Own, Past, RepeatTerm
from towers.training.questions import Questions, among, first_of


@dataclass(frozen=True)
class Had:
    """What the Q questions' users had before, beside the B events and the C items at hand."""

    asked: Questions
    own: Own
    places: Tensor  # (B,) of each event's item in `own`, -1: it is new
    among: Tensor  # (Q, C) bool, which of the items at hand

    @property
    def new(self) -> Tensor:
        """(B,) 1 for events of something new, else 0."""
        return (self.places < 0).float()

    @property
    def hits(self) -> Tensor:
        """(B, C) bool: places that are no negatives. None for a repeat, which weighs nothing and must keep its own."""
        return self.among[self.asked.rows] & (self.places < 0)[:, None]


def had_before(past: Past, asked: Questions, targets: Tensor, sampled: Tensor) -> Had:
    """targets (B,): the events' items, sampled (C,): those at hand, as rows of the catalogue."""
    own = past.own(asked.ends, asked.users, asked.moments)
    return Had(asked, own, own.places(asked.rows, targets), among(own.rows, own.items, len(asked.users), sampled))


def own_loss(
    term: RepeatTerm,
    habits: Tensor,
    had: Had,
    users: Tensor,
    items: Tensor,
    log_shares: Tensor,
    temperature: Tensor,
    weights: Tensor,
) -> Tensor:
    """`own_or_new`, with what is new estimated from the C items at hand, whose first B are the events' own.

        z_q = log( 1/C sum_j exp(<u_q, v_j> / t - log Q_j) ),   j neither had by q nor wanted by it

    users (B, D), one for each event, items (C, D) and log_shares (C,) log Q: the vectors say z, and learn nothing here.
    """
    rows, n_asked = had.asked.rows, len(had.asked.users)
    logits = (
        users[first_of(rows, n_asked)].detach().float() @ items.detach().float().T / temperature.detach() - log_shares
    )  # (Q, C)
    wanted_by = torch.cat([rows, rows.new_full((len(items) - len(rows),), -1)])  # (C,)
    out = had.among | (wanted_by == torch.arange(n_asked, device=rows.device)[:, None])
    new = logits.masked_fill(out, -torch.inf).logsumexp(1) - math.log(len(items))  # (Q,)
    return own_or_new(term(had.own, habits), had.own.rows, new, rows, had.places, temperature, weights)
