import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from towers.config import TowersError
from towers.training.optimisers import RowWiseAdagrad, RowWiseAdam, touched_rows

ADAM = {"lr": 0.1, "betas": (0.8, 0.95), "eps": 0.3}
ADAGRAD = {"lr": 0.1, "eps": 0.3}


def table(sparse=False, rows=4, dtype=torch.float64):
    weight = torch.nn.Parameter(torch.arange(rows * 2, dtype=dtype).reshape(rows, 2) / 10)
    weight.sparse = sparse
    return weight


def look_up(weight, rows, factors):
    """Leaves the gradient sum of `factors` (P, 2) at `rows` (P,)."""
    weight.grad = None
    found = F.embedding(torch.tensor(rows), weight, sparse=weight.sparse)
    (found * torch.tensor(factors, dtype=weight.dtype)).sum().backward()


BATCHES = [
    ([2, 0, 2], [[1.0, 2.0], [0.5, -0.5], [3.0, -1.0]]),  # row 2 twice: the gradient is (4, 1)
    ([2], [[-1.0, 0.0]]),
    ([3, 2], [[0.2, 0.4], [1.0, 1.0]]),
]


def summed(batch):
    grads = {}
    for row, factor in zip(*batch, strict=True):
        grads[row] = grads.get(row, np.zeros(2)) + np.array(factor)
    return grads


@pytest.mark.parametrize("sparse", [False, True])
def test_adam_by_hand(sparse):
    weight = table(sparse)
    optimiser = RowWiseAdam([weight], **ADAM)
    expected = weight.detach().numpy().copy()
    first, second, touches = np.zeros((4, 2)), np.zeros(4), np.zeros(4)
    for batch in BATCHES:
        look_up(weight, *batch)
        optimiser.step()
        for row, grad in summed(batch).items():
            touches[row] += 1
            first[row] = 0.8 * first[row] + 0.2 * grad
            second[row] = 0.95 * second[row] + 0.05 * (grad[0] ** 2 + grad[1] ** 2) / 2
            unbiased = first[row] / (1 - 0.8 ** touches[row])
            deviation = np.sqrt(second[row] / (1 - 0.95 ** touches[row]))
            expected[row] -= 0.1 * unbiased / (deviation + 0.3)
        np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-12)


def test_adam_on_paper():
    """One row, g = (3, 1), then (0, 0) that does not count, then (3, 1) again; eps 0, so the step is g / sqrt(5)."""
    weight = torch.nn.Parameter(torch.zeros(1, 2, dtype=torch.float64))
    optimiser = RowWiseAdam([weight], lr=1.0, eps=0.0)
    for step, grad in ((1, [3.0, 1.0]), (1, [0.0, 0.0]), (2, [3.0, 1.0])):
        weight.grad = torch.tensor([grad], dtype=torch.float64)
        optimiser.step()
        np.testing.assert_allclose(weight.detach().numpy(), -step * np.array([[3, 1]]) / np.sqrt(5), rtol=1e-12)


@pytest.mark.parametrize("sparse", [False, True])
def test_adagrad_by_hand(sparse):
    weight = table(sparse)
    optimiser = RowWiseAdagrad([weight], **ADAGRAD)
    expected, total = weight.detach().numpy().copy(), np.zeros(4)
    for batch in BATCHES:
        look_up(weight, *batch)
        optimiser.step()
        for row, grad in summed(batch).items():
            total[row] += (grad[0] ** 2 + grad[1] ** 2) / 2
            expected[row] -= 0.1 * grad / (np.sqrt(total[row]) + 0.3)
        np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("optimiser", [RowWiseAdam, RowWiseAdagrad])
@pytest.mark.parametrize("sparse", [False, True])
def test_untouched_rows_never_move(optimiser, sparse):
    weight = table(sparse)
    steps = optimiser([weight], lr=0.5)
    look_up(weight, [1, 2], [[1.0, 1.0], [1.0, 2.0]])
    steps.step()
    before = weight.detach().clone()
    # Row 1 has a momentum now, and row 2 is looked up with no gradient; neither moves.
    look_up(weight, [0, 2], [[1.0, 1.0], [0.0, 0.0]])
    steps.step()
    assert torch.equal(weight.detach()[1:], before[1:])
    assert not torch.equal(weight.detach()[0], before[0])


def test_a_rare_row_moves_as_far_at_its_first_touch_as_any_row_did():
    weight = table(True)
    optimiser = RowWiseAdam([weight], lr=0.1, eps=0.0)
    for _ in range(100):
        look_up(weight, [0], [[2.0, 2.0]])
        optimiser.step()
    before = weight.detach().clone()
    look_up(weight, [3], [[-0.02, 0.02]])
    optimiser.step()
    assert (weight.detach() - before)[3].tolist() == pytest.approx([0.1, -0.1])


@pytest.mark.parametrize("optimiser", [RowWiseAdam, RowWiseAdagrad])
def test_the_state_goes_round_trip(optimiser, tmp_path):
    weight = table(True, dtype=torch.float32)
    steps = optimiser([weight], lr=0.1)
    for batch in BATCHES[:2]:
        look_up(weight, *batch)
        steps.step()
    torch.save(steps.state_dict(), tmp_path / "state")
    other = copy.deepcopy(weight)
    other.sparse = True
    resumed = optimiser([other], lr=0.7)
    resumed.load_state_dict(torch.load(tmp_path / "state"))
    for mine, mover in ((weight, steps), (other, resumed)):
        look_up(mine, *BATCHES[2])
        mover.step()
    assert torch.equal(weight, other)


def test_memory_is_one_number_a_row_for_the_second_moment():
    weight = table()
    adam, adagrad = RowWiseAdam([weight], **ADAM), RowWiseAdagrad([weight], **ADAGRAD)
    look_up(weight, *BATCHES[0])
    adam.step()
    adagrad.step()
    assert {name: value.shape for name, value in adam.state[weight].items()} == {
        "first": (4, 2),
        "second": (4,),
        "touches": (4,),
    }
    assert {name: value.shape for name, value in adagrad.state[weight].items()} == {"sum": (4,)}


def test_touched_rows_of_each_layout():
    values = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0], [-1.0, 0.0]])
    grad = torch.sparse_coo_tensor(
        torch.tensor([[5, 1, 1, 5]]), values, (7, 2), check_invariants=True
    )  # row 5 sums to nothing
    for layout in (grad, grad.coalesce(), grad.to_dense()):
        rows, summed_up, square = touched_rows(layout)
        assert rows.tolist() == [1]
        assert summed_up.tolist() == [[3.0, 6.0]]
        assert square.tolist() == [pytest.approx(22.5)]


def test_an_empty_gradient_moves_nothing():
    for sparse in (False, True):
        weight = table(sparse)
        before = weight.detach().clone()
        look_up(weight, [0], [[0.0, 0.0]])
        RowWiseAdam([weight]).step()
        assert torch.equal(weight.detach(), before)


def test_a_gradient_that_is_not_finite_is_not_hidden():
    weight = table()
    look_up(weight, [1], [[float("nan"), 1.0]])
    RowWiseAdam([weight]).step()
    assert weight.detach()[1].isnan().all()
    assert weight.detach()[[0, 2, 3]].isfinite().all()


def test_a_closure_is_called_once_and_tables_without_a_gradient_are_left():
    weight, other = table(), table()
    calls = []

    def closure():
        calls.append(1)
        look_up(weight, [0], [[1.0, 1.0]])
        return 7.0

    assert RowWiseAdagrad([{"params": [weight]}, {"params": [other], "lr": 1.0}]).step(closure) == 7.0
    assert len(calls) == 1
    assert torch.equal(other, table())


def test_it_learns_a_table():
    """Rows drawn with very unequal frequency all reach their targets."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(50, 4, generator=generator)
    shares = 1 / torch.arange(1.0, 51)
    for optimiser, lr in ((RowWiseAdam, 0.05), (RowWiseAdagrad, 0.5)):
        weight = torch.nn.Parameter(torch.zeros(50, 4))
        steps = optimiser([weight], lr=lr)
        for _ in range(600):
            rows = torch.multinomial(shares, 64, replacement=True, generator=generator)
            steps.zero_grad()
            (F.embedding(rows, weight, sparse=True) - target[rows]).square().sum().backward()
            steps.step()
        assert (weight - target).abs().max() < 0.05


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"eps": -1.0}, {"betas": (1.0, 0.9)}, {"betas": (0.9, -0.1)}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(TowersError):
        RowWiseAdam([table()], **wrong)


def test_what_is_no_table_is_refused():
    with pytest.raises(TowersError, match="rows, width"):
        RowWiseAdam([torch.nn.Parameter(torch.zeros(3))])


@pytest.mark.parametrize("optimiser", [RowWiseAdam, RowWiseAdagrad])
def test_blocks_of_rows_do_not_change_the_step(optimiser, monkeypatch):
    whole, parts = table(True), table(True)
    for weight in (whole, parts):
        steps = optimiser([weight], lr=0.1)
        for batch in BATCHES:
            look_up(weight, *batch)
            steps.step()
        monkeypatch.setattr("towers.training.optimisers.BLOCK", 1)
    assert torch.equal(whole, parts)


def test_the_defaults_are_those_of_adam_and_a_frozen_table_is_allowed():
    assert RowWiseAdam([table()], betas=(0.0, 0.0)).defaults["betas"] == (0.0, 0.0)
    assert RowWiseAdam([table()]).defaults == {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}
    assert RowWiseAdagrad([table()]).defaults == {"lr": 1e-2, "eps": 1e-8}
    weight = table()
    look_up(weight, [0], [[1.0, 1.0]])
    RowWiseAdam([weight], lr=0.0).step()
    assert torch.equal(weight, table())
