"""What a user takes again, among all they had, and beside that they take something new."""

import torch
from torch import Tensor

from towers.losses.rows import in_fp32, weighted_mean


@in_fp32
def own_or_new(
    r: Tensor,
    rows: Tensor,
    new: Tensor,
    questions: Tensor,
    had: Tensor,
    temperature: float | Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy over what a user had and one more choice, something new; the mean over events.

        L = -sum_e w_e ( l_e - log( exp z_q + sum_{m of q} exp(r_m / t) ) ) / sum_e w_e,    q the question of e
        l_e = r_m / t of the item that was taken again, or z_q, of whatever was new

    With z_q the log of the sum of exp(s / t) over all items that the user never had, this is the softmax over the whole
    catalogue, split in two: which of the new ones it was is another loss's to say. It teaches r alone; z is given.

    Inputs: r (M,) of what the questions' users had, rows (M,) their questions, new (Q,) z, questions (B,) of the
    events, had (B,) places of the events' items in r, -1 for something new, weights (B,) not negative.
    """
    own = r / temperature  # (M,)
    most = new.detach().clamp(min=-1e30).scatter_reduce(0, rows, own.detach(), "amax")  # (Q,)
    sums = (new - most).exp().index_add(0, rows, (own - most[rows]).exp())  # (Q,)
    taken = torch.where(had >= 0, torch.cat([own, own.new_zeros(1)])[had], new[questions])  # (B,)
    return weighted_mean((most + sums.log())[questions] - taken, weights)
