import math

import pytest
import torch

from towers.losses.mixed import drawn_hits, log_mixture, mixed_softmax
from towers.losses.sampled_softmax import sampled_softmax

F64 = torch.float64


def test_share_in_the_mixture_by_hand():
    # Q' = (3 * .5 + 2 / 10) / 5 = .34 and (3 * .01 + .2) / 5 = .046
    got = log_mixture(torch.tensor([0.5, 0.01], dtype=F64).log(), batch=3, drawn=2, catalogue=10)
    assert got.exp().tolist() == pytest.approx([0.34, 0.046])
    alone = torch.tensor([0.5, 0.01]).log()
    assert torch.allclose(log_mixture(alone, batch=3, drawn=0, catalogue=10), alone)


def test_drawn_hits_are_the_rows_own_items():
    assert drawn_hits(torch.tensor([4, 5]), torch.tensor([5, 4, 6, 5])).tolist() == [
        [False, True, False, False],
        [True, False, False, True],
    ]


def test_formula_by_hand():
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=F64)
    items = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=F64)
    drawn = torch.tensor([[0.8, 0.6]], dtype=F64)
    log_q = torch.tensor([0.75, 0.25, 0.1], dtype=F64).log()
    # t = .5, B = 2, S = 1, N = 4: Q' = (2 Q + .25) / 3 = 1.75/3, .75/3, .45/3
    qa, qb, qc = 1.75 / 3, 0.75 / 3, 0.45 / 3
    first = -math.log((math.e**2 / qa) / (math.e**2 / qa + math.e**1.2 / qb + math.e**1.6 / qc))
    second = -math.log((math.e**1.6 / qb) / (1 / qa + math.e**1.6 / qb + math.e**1.2 / qc))
    hits = torch.zeros(2, 3, dtype=torch.bool)
    assert mixed_softmax(queries, items, drawn, log_q, hits, 4, 0.5).item() == pytest.approx((first + second) / 2)
    weighed = mixed_softmax(queries, items, drawn, log_q, hits, 4, 0.5, torch.tensor([3.0, 1.0], dtype=F64))
    assert weighed.item() == pytest.approx((3 * first + second) / 4)
    hits[1, 2] = True
    less = -math.log((math.e**1.6 / qb) / (1 / qa + math.e**1.6 / qb))
    assert mixed_softmax(queries, items, drawn, log_q, hits, 4, 0.5).item() == pytest.approx((first + less) / 2)


def test_without_drawn_items_it_is_the_softmax_over_the_batch():
    torch.manual_seed(0)
    queries, items, log_q = torch.randn(4, 3), torch.randn(4, 3), torch.rand(4).log()
    hits = torch.zeros(4, 4, dtype=torch.bool)
    mixed = mixed_softmax(queries, items, items[:0], log_q, hits, 100, 0.3)
    assert mixed.item() == pytest.approx(sampled_softmax(queries, items, log_q, hits, 0.3).item(), rel=1e-6)


def test_gradients_reach_all_three():
    torch.manual_seed(0)
    parts = [torch.randn(n, 3, dtype=F64, requires_grad=True) for n in (4, 4, 5)]
    log_q, hits = torch.rand(9, dtype=F64).log(), torch.rand(4, 9) < 0.2
    hits[:, :4].fill_diagonal_(False)
    assert torch.autograd.gradcheck(lambda *p: mixed_softmax(*p, log_q, hits, 50, 0.7), parts)


def test_bf16_is_widened():
    narrow = torch.randn(4, 3, dtype=torch.bfloat16)
    hits = torch.zeros(4, 8, dtype=torch.bool)
    got = mixed_softmax(narrow, narrow, narrow, torch.zeros(8), hits, 50, 0.1)
    wide = mixed_softmax(narrow.float(), narrow.float(), narrow.float(), torch.zeros(8), hits, 50, 0.1)
    assert got.dtype == torch.float32
    assert got.item() == wide.item()


@pytest.mark.parametrize("corrected", [True, False])
def test_log_q_of_the_mixture_undoes_its_bias(corrected):
    """Where the softmax of free scores is the shares of the items, the loss is at rest only with the correction."""
    generator = torch.Generator().manual_seed(3)
    shares = torch.tensor([0.6, 0.25, 0.1, 0.05], dtype=F64)
    scores = shares.log().requires_grad_()
    log_q = shares.log() if corrected else torch.full((4,), 0.25, dtype=F64).log()
    none = torch.zeros(256, 384, dtype=torch.bool)
    for _ in range(20):
        asked = torch.multinomial(shares, 256, replacement=True, generator=generator)
        even = torch.randint(4, (128,), generator=generator)
        vectors, both = scores[:, None], log_q[torch.cat([asked, even])]
        mixed_softmax(torch.ones(256, 1, dtype=F64), vectors[asked], vectors[even], both, none, 4, 1.0).backward()
    assert (scores.grad.abs().max().item() / 20 < 0.01) == corrected
