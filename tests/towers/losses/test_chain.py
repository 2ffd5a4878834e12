import math

import pytest
import torch

from towers.losses.chain import chain, chain_loss

F64 = torch.float64


def sigma(s):
    return 1 / (1 + math.exp(-s))


LOGITS = torch.tensor([[1.0, -2.0, 0.5], [-0.3, 0.7, 2.0]], dtype=F64)


def test_probabilities_are_products():
    reached, missed = chain(LOGITS)
    for row, logits in enumerate(LOGITS.tolist()):
        p = 1.0
        for k, s in enumerate(logits):
            p *= sigma(s)
            assert reached[row, k].exp().item() == pytest.approx(p)
            assert missed[row, k].exp().item() == pytest.approx(1 - p)
    for flat, deep in zip((reached, missed), chain(LOGITS[:, None].expand(2, 4, 3)), strict=True):
        torch.testing.assert_close(deep, flat[:, None].expand(2, 4, 3))  # vectorised elsewhere, so rounded otherwise


def test_loss_by_hand():
    labels = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]], dtype=F64)
    logits = torch.tensor([[1.0, -2.0], [0.5, 0.4], [-1.0, 3.0]], dtype=F64)
    rows = [
        -math.log(sigma(1)) - math.log(sigma(1) * sigma(-2)),
        -math.log(sigma(0.5)) - math.log(1 - sigma(0.5) * sigma(0.4)),
        -math.log(1 - sigma(-1)) - math.log(1 - sigma(-1) * sigma(3)),
    ]
    assert chain_loss(logits, labels).item() == pytest.approx(sum(rows) / 3)
    weights = torch.tensor([1.0, 0.0, 4.0], dtype=F64)
    assert chain_loss(logits, labels, weights).item() == pytest.approx((rows[0] + 4 * rows[2]) / 5)


def test_one_step_is_plain_cross_entropy():
    assert chain_loss(torch.tensor([[0.3]]), torch.tensor([[0.0]])).item() == pytest.approx(-math.log(1 - sigma(0.3)))


def test_nothing_cancels_at_the_extremes():
    """P so near to 0 or 1 that 1 - P cannot be told from 1 or 0 in fp32."""
    logits = torch.tensor([[30.0, 30.0], [-30.0, -30.0], [200.0, 200.0], [-200.0, 200.0]], requires_grad=True)
    reached, missed = chain(logits)
    assert missed[0, 1].item() == pytest.approx(math.log(2) - 30, rel=1e-6)
    assert reached[1, 1].item() == pytest.approx(-60)
    for label in (0.0, 1.0):
        loss = chain_loss(logits, torch.full((4, 2), label))
        assert loss.isfinite()
        (grad,) = torch.autograd.grad(loss, logits, retain_graph=True)
        assert grad.isfinite().all()
    assert reached.max() <= 0
    assert missed.max() <= 0


def test_gradients_and_bf16():
    labels = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=F64)
    assert torch.autograd.gradcheck(lambda s: chain_loss(s, labels), (LOGITS.clone().requires_grad_(),))
    got = chain_loss(LOGITS.bfloat16(), labels.bfloat16())
    assert got.dtype == torch.float32
    assert got.item() == chain_loss(LOGITS.bfloat16().float(), labels.float()).item()


def test_a_purchase_without_clicks_of_its_own_is_learnt_through_the_chain():
    """Of 8 rows 4 are clicked and 1 of those is bought: P(click) .5, P(purchase | click) .25."""
    logits = torch.zeros(2, dtype=F64, requires_grad=True)
    labels = torch.tensor([[1, 1], [1, 0], [1, 0], [1, 0], [0, 0], [0, 0], [0, 0], [0, 0]], dtype=F64)
    optimiser = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure():
        optimiser.zero_grad()
        loss = chain_loss(logits.expand(8, 2), labels)
        loss.backward()
        return loss

    for _ in range(3):
        optimiser.step(closure)
    assert torch.sigmoid(logits).tolist() == pytest.approx([0.5, 0.25], abs=1e-4)
