import numpy as np
import pytest
import torch
from torch.nn import functional as F

from towers.losses import full_softmax as module
from towers.losses.full_softmax import full_softmax

F64 = torch.float64


def example(rows=5, catalogue=7, dim=3):
    generator = torch.Generator().manual_seed(4)
    queries = torch.randn(rows, dim, dtype=F64, generator=generator)
    items = torch.randn(catalogue, dim, dtype=F64, generator=generator)
    return queries, items, torch.tensor([6, 0, 3, 3, 1])[:rows]


@pytest.fixture(params=[1, 2, 5, 99])
def rows_a_block(request, monkeypatch):
    monkeypatch.setitem(module.BLOCK, "cpu", 7 * request.param)
    monkeypatch.setattr(module, "LEAST_ROWS", 1)


def expected(queries, items, targets, t, weights):
    scores = queries.numpy() @ items.numpy().T / t
    losses = [np.log(np.exp(row).sum()) - row[y] for row, y in zip(scores, targets.tolist(), strict=True)]
    return np.average(losses, weights=weights)


@pytest.mark.usefixtures("rows_a_block")
def test_formula_in_blocks_of_any_size():
    queries, items, targets = example()
    weights = [1.0, 0.0, 2.0, 3.0, 0.5]
    got = full_softmax(queries, items, targets, 0.4, torch.tensor(weights))
    assert got.item() == pytest.approx(expected(queries, items, targets, 0.4, weights), rel=1e-9)
    assert full_softmax(queries, items, targets, 0.4).item() == pytest.approx(
        expected(queries, items, targets, 0.4, None), rel=1e-9
    )


@pytest.mark.usefixtures("rows_a_block")
def test_gradients_in_blocks_of_any_size():
    queries, items, targets = example()
    inputs = (queries.requires_grad_(), items.requires_grad_(), targets, torch.tensor(0.4, dtype=F64).requires_grad_())
    assert torch.autograd.gradcheck(full_softmax, (*inputs, torch.tensor([1.0, 0.0, 2.0, 3.0, 0.5], dtype=F64)))
    assert torch.autograd.gradcheck(lambda *given: 3 * full_softmax(*given), inputs)


def test_equals_cross_entropy_where_the_logits_are_large():
    """exp(100 / 0.1) is not a number that fp32 has."""
    queries, items, targets = (x.float() if x.is_floating_point() else x for x in example())
    queries, items = (10 * queries).requires_grad_(), (10 * items).requires_grad_()
    ours = full_softmax(queries, items, targets, 0.1)
    plain = F.cross_entropy(queries @ items.T / 0.1, targets)
    assert ours.item() == pytest.approx(plain.item(), rel=1e-5)
    for mine, theirs in zip(
        torch.autograd.grad(ours, (queries, items)), torch.autograd.grad(plain, (queries, items)), strict=True
    ):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4)


def test_one_side_alone_learns():
    queries, items, targets = example()
    full_softmax(queries.requires_grad_(), items, targets, 1.0).backward()
    assert items.grad is None
    alone = queries.grad.clone()
    queries.grad = None
    full_softmax(queries, items.requires_grad_(), targets, 1.0).backward()
    assert torch.equal(queries.grad, alone)
    other, items.grad = items.grad.clone(), None
    full_softmax(queries.detach(), items, targets, 1.0).backward()
    assert torch.equal(items.grad, other)
    assert items.grad.abs().sum() > 0
    with torch.no_grad():
        assert full_softmax(queries, items, targets, 1.0).isfinite()


def test_narrow_inputs_and_no_rows():
    queries, items, targets = example()
    narrow = full_softmax(queries.bfloat16(), items.bfloat16(), targets, 0.4)
    assert narrow.dtype == torch.float32
    wide = full_softmax(queries.bfloat16().float(), items.bfloat16().float(), targets, 0.4)
    assert narrow.item() == pytest.approx(wide.item())
    nothing = full_softmax(queries[:0].requires_grad_(), items, targets[:0], 0.4)
    nothing.backward()
    assert nothing.item() == 0.0
    assert full_softmax(queries, items, targets, 0.4, torch.zeros(5)).item() == 0.0


def test_a_block_stays_in_the_cache_but_is_never_a_sliver(monkeypatch):
    asked = []
    real = torch.mm

    def watched(a, b, out):
        asked.append(len(a))
        return real(a, b, out=out)

    monkeypatch.setattr(torch, "mm", watched)
    full_softmax(torch.zeros(100, 2), torch.zeros(1 << 14, 2), torch.zeros(100, dtype=torch.int64), 1.0)
    assert asked == [64, 36]
    asked.clear()
    full_softmax(torch.zeros(40, 2), torch.zeros(1 << 16, 2), torch.zeros(40, dtype=torch.int64), 1.0)
    assert asked == [32, 8]
