"""Distillation: a larger teacher's scores over the batch's items as soft targets for an auxiliary head.

    L_distil = T^2 * mean over rows of KL(p || s2),
    p_ij  = softmax_j(teacher_ij / T - log Q_j),    s2_ij = softmax_j(<head(u_i), v_j> / (t T) - log Q_j)

The loss is L + weight * L_distil, and what is served is s1 = <u, v>: the head is left behind after training. A head of
its own lets the teacher shape the layers below without its calibration, or its mistakes, entering the score that is
served. Items enter a batch as often as they are popular, hence -log Q on both sides; T^2 keeps the gradients' size the
same whatever T is.

Source: Hinton et al., arXiv 1503.02531; the auxiliary head for ranking networks as in arXiv 2408.14678.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from towers.data import Prepared
from towers.model import ThreeTowers
from towers.scoring import encode_items

# From positions of events (B,) and item rows (S,) to the teacher's logits (B, S), for what stood before each event.
Teacher = Callable[[Tensor, Tensor], Tensor]


class AuxiliaryHead(nn.Module):
    """normalise(A u), A starting as the identity: (B, D) -> (B, D) unit vectors."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.turn = nn.Linear(dim, dim, bias=False)
        nn.init.eye_(self.turn.weight)

    def forward(self, users: Tensor) -> Tensor:
        return F.normalize(self.turn(users), dim=-1)


def distillation(student: Tensor, teacher: Tensor, log_q: Tensor, hits: Tensor, temperature: float = 2.0) -> Tensor:
    """T^2 KL(softmax(teacher / T - log Q) || softmax(student / T - log Q)), the mean over rows, in fp32.

    Inputs: student and teacher logits (B, S), log_q (S,) log of each item's share among the sampled, hits (B, S) bool
    places left out of both distributions (never a whole row). The teacher gets no gradient.
    """
    s, p = (
        (logits.float() / temperature - log_q).masked_fill(hits, -torch.inf).log_softmax(-1)
        for logits in (student, teacher.detach())
    )  # (B, S) each
    # Where both are left out the difference would be -inf + inf; the term is 0 there.
    difference = torch.where(hits, 0.0, p - s)
    return temperature**2 * (p.exp() * difference).sum(-1).mean()


def towers_teacher(model: ThreeTowers, ready: Prepared, temperature: float) -> Teacher:
    """Larger towers, trained on the same data before, as a teacher: logits <u, v> / temperature.

    Its catalogue is encoded once. `ready` is the data prepared with the teacher's own config, events in the same order;
    a teacher of several tasks answers with the first, which is the one that is served.
    """
    vectors = encode_items(model, ready.features)  # (N, D)

    @torch.no_grad()
    def logits(places: Tensor, items: Tensor) -> Tensor:
        users = ready.users[places]
        window = ready.events.before(places, users, model.config.features.history)
        asked = model.users(ready.people.select(users), window, vectors)[:, 0]  # (B, D)
        return asked @ vectors[items].T / temperature  # (B, S)

    return logits
