import numpy as np
import pytest
import torch

from towers.blocks.interactions import INTERACTIONS, interaction

F64 = torch.float64


def layer_norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def gelu(x):
    return x * 0.5 * (1 + torch.erf(torch.from_numpy(x) / np.sqrt(2)).numpy())


def attend(q, k, v, heads):
    """One row's (F, D) queries, keys and values, head by head and field by field."""
    width = q.shape[1] // heads
    out = np.zeros_like(q)
    for head in range(heads):
        mine = slice(head * width, (head + 1) * width)
        for i in range(len(q)):
            scores = np.exp([q[i, mine] @ k[j, mine] / np.sqrt(width) for j in range(len(k))])
            out[i, mine] = sum(share * v[j, mine] for j, share in enumerate(scores / scores.sum()))
    return out


def made(kind, x, **settings):
    """What the block made of (B, F, D) beside the fields themselves, and the block; its fields are checked here."""
    torch.manual_seed(1)
    block = interaction(kind, x.shape[1], x.shape[2], **settings).double()
    for name, values in block.named_parameters():
        if "norm" in name:  # a norm that begins at ones and zeros would hide a missing one
            values.data.uniform_(0.5, 1.5)
    out = block(x)
    assert out.shape == (len(x), block.width)
    n = x.shape[1] * x.shape[2]
    assert torch.equal(out[:, :n], x.flatten(1))
    return out[:, n:].detach().numpy(), block


@pytest.fixture
def x():
    return torch.randn(3, 3, 4, dtype=F64, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("kind", INTERACTIONS)
def test_every_kind_passes_the_fields_on_and_says_its_width(kind, x):
    made(kind, x)
    block = interaction(kind, 3, 4).double()
    assert block(x[:0]).shape == (0, block.width)
    assert torch.allclose(block(x[1:2]), block(x)[1:2])  # rows do not see each other
    one = interaction(kind, 1, 4).double()
    assert one(x[:, :1]).shape == (3, one.width)
    assert torch.autograd.gradcheck(block, (x[:1].clone().requires_grad_(),))


@pytest.mark.parametrize("kind", INTERACTIONS)
def test_every_parameter_learns(kind, x):
    block = interaction(kind, 3, 4).double()
    block(x.requires_grad_()).square().sum().backward()
    assert all(values.grad.abs().sum() > 0 for values in block.parameters())


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no interaction is called 'dot': choose one of none, fm, dots, cross"):
        interaction("dot", 3, 4)


def test_fm_is_the_sum_of_all_products_of_pairs():
    x = torch.tensor([[[1.0, 2.0], [3.0, -1.0], [5.0, 4.0]]], dtype=F64)
    # 1*3 + 1*5 + 3*5 = 23 and 2*-1 + 2*4 + -1*4 = 2
    assert made("fm", x)[0].tolist() == [[23.0, 2.0]]


def test_dots_of_all_pairs():
    x = torch.tensor([[[1.0, 2.0], [3.0, -1.0], [5.0, 4.0]]], dtype=F64)
    assert made("dots", x)[0].tolist() == [[1.0, 13.0, 11.0]]  # (0, 1), (0, 2), (1, 2)


def test_cross_by_hand():
    x = torch.tensor([[[2.0], [3.0]]], dtype=F64)
    block = interaction("cross", 2, 1, layers=2).double()
    for layer, (weight, bias) in zip(
        block.layers, [([[1.0, 0.0], [2.0, 1.0]], [1.0, -1.0]), ([[0.0, 1.0], [1.0, 0.0]], [0.5, 0.0])], strict=True
    ):
        layer.weight.data, layer.bias.data = torch.tensor(weight, dtype=F64), torch.tensor(bias, dtype=F64)
    # layer 1: W x + b = (2 + 1, 4 + 3 - 1) = (3, 6);      x1 = (2*3 + 2, 3*6 + 3) = (8, 21)
    # layer 2: W x1 + b = (21 + .5, 8);                    x2 = (2*21.5 + 8, 3*8 + 21) = (51, 45)
    assert block(x).tolist() == [[2.0, 3.0, 51.0, 45.0]]


def test_low_rank_cross_is_a_cross_with_a_product_of_two_thin_matrices(x):
    out, low = made("cross_low_rank", x, layers=2, rank=2)
    first = x.flatten(1).numpy()
    crossed = first
    for thin, wide in low.layers:
        assert thin.weight.shape == (2, 12)
        w = wide.weight.detach().numpy() @ thin.weight.detach().numpy()  # (12, 12)
        assert np.linalg.matrix_rank(w) == 2
        crossed = first * (crossed @ w.T + wide.bias.detach().numpy()) + crossed
    assert np.allclose(out, crossed)
    assert len(low.layers) == 2


def test_autoint_by_hand(x):
    out, block = made("autoint", x, layers=2, heads=2)
    assert len(block.maps) == 2
    for row, found in zip(x.numpy(), out, strict=True):
        now = row
        for maps in block.maps:
            wq, wk, wv, wr = np.split(maps.weight.detach().numpy(), 4)  # (D, D) each
            now = np.maximum(attend(now @ wq.T, now @ wk.T, now @ wv.T, 2) + now @ wr.T, 0)
        assert np.allclose(found, now.ravel())


def test_autoint_treats_all_fields_alike_and_hiformer_does_not(x):
    order = [2, 0, 1]
    for kind, alike in (("autoint", True), ("hiformer", False)):
        torch.manual_seed(0)
        block = interaction(kind, 3, 4).double()
        moved = block(x[:, order])[:, 12:].view(3, 3, 4)
        assert torch.allclose(moved, block(x)[:, 12:].view(3, 3, 4)[:, order]) == alike


def test_hiformer_by_hand(x):
    out, block = made("hiformer", x, layers=2, heads=2)
    assert len(block.layers) == 2
    for row, found in zip(x.numpy(), out, strict=True):
        now = row
        for layer in block.layers:
            at = {name: values.detach().numpy() for name, values in layer.named_parameters()}
            read = layer_norm(now) * at["read_norm.weight"] + at["read_norm.bias"]
            q, k, v = np.split(np.stack([read[f] @ at["qkv.weight"][f] for f in range(3)]), 3, axis=1)
            heard = attend(q, k, v, 2)
            now = now + np.stack([heard[f] @ at["out.weight"][f] for f in range(3)])
            read = layer_norm(now) * at["feed_norm.weight"] + at["feed_norm.bias"]
            up = gelu(np.stack([read[f] @ at["up.weight"][f] + at["up.bias"][f] for f in range(3)]))
            now = now + np.stack([up[f] @ at["down.weight"][f] + at["down.bias"][f] for f in range(3)])
        assert np.allclose(found, now.ravel())


def test_settings_reach_the_block():
    assert len(interaction("cross", 2, 4).layers) == 2
    assert len(interaction("cross", 2, 4, layers=3).layers) == 3
    assert interaction("cross_low_rank", 2, 4, layers=1).layers[0][0].weight.shape == (32, 8)
    assert interaction("autoint", 2, 4).heads == 2
    assert interaction("hiformer", 2, 4, heads=4).layers[0].heads == 4
