import numpy as np
import pytest
import torch

from towers.blocks.heads import HEADS, head


def gelu(x):
    return x * 0.5 * (1 + torch.erf(torch.from_numpy(x) / np.sqrt(2)).numpy())


def weights(net):
    return {name: values.detach().numpy() for name, values in net.named_parameters()}


@pytest.fixture
def x():
    return torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


def test_shared_bottom_by_hand(x):
    net = head("shared", 3, 5, 2, tasks=3).double()
    at = weights(net)
    assert at["bottom.weight"].shape == (5, 3)
    h = gelu(x.numpy() @ at["bottom.weight"].T + at["bottom.bias"])
    y = net(x).detach().numpy()
    assert y.shape == (4, 3, 2)
    for t in range(3):
        mine = slice(2 * t, 2 * t + 2)
        straight = x.numpy() @ at["straight.weight"][mine].T
        assert np.allclose(y[:, t], straight + h @ at["out.weight"][mine].T + at["out.bias"][mine])


@pytest.mark.parametrize("kind", ["moe", "mmoe"])
def test_experts_by_hand(kind, x):
    net = head(kind, 3, 5, 2, tasks=3, experts=4).double()
    at = weights(net)
    y = net(x).detach().numpy()
    assert y.shape == (4, 3, 2)
    known = [
        gelu(x.numpy() @ at["expert.weight"][5 * e : 5 * e + 5].T + at["expert.bias"][5 * e : 5 * e + 5])
        for e in range(4)
    ]
    assert at["gate.weight"].shape == (4 if kind == "moe" else 12, 3)
    for t in range(3):
        gate = at["gate.weight"] if kind == "moe" else at["gate.weight"][4 * t : 4 * t + 4]
        shares = np.exp(x.numpy() @ gate.T)
        shares /= shares.sum(1, keepdims=True)
        mixed = sum(shares[:, e : e + 1] * known[e] for e in range(4))
        straight = x.numpy() @ at["straight.weight"][2 * t : 2 * t + 2].T
        assert np.allclose(y[:, t], straight + mixed @ at["out.weight"][t] + at["out.bias"][t])


@pytest.mark.parametrize("kind", HEADS)
def test_shapes_gradients_and_dropout(kind, x):
    net = head(kind, 3, 5, 2, tasks=2).double()
    assert net(x[:0]).shape == (0, 2, 2)
    assert head(kind, 3, 5, 2, tasks=1)(x.float()).shape == (4, 1, 2)
    assert torch.autograd.gradcheck(net, (x.clone().requires_grad_(),))
    net(x).square().sum().backward()
    assert all(values.grad.abs().sum() > 0 for values in net.parameters())
    assert torch.equal(net(x), net(x))
    dropped = head(kind, 3, 64, 2, tasks=2, dropout=0.5).double()
    assert not torch.equal(dropped(x), dropped(x))
    dropped.eval()
    assert torch.equal(dropped(x), dropped(x))


def test_tasks_share_a_mixture_in_moe_only(x):
    for kind, same in (("moe", True), ("mmoe", False)):
        net = head(kind, 3, 5, 2, tasks=2, experts=3).double()
        for values in (net.out.weight, net.out.bias, net.straight.weight.data.view(2, 2, 3)):
            values.data[1] = values.data[0]  # the two tasks now read the mixture, and the straight path, alike
        y = net(x)
        assert torch.allclose(y[:, 0], y[:, 1]) == same


def test_four_experts_unless_said():
    assert head("mmoe", 3, 5, 2, tasks=2).experts == 4


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no head is called 'ple': choose one of shared, moe, mmoe"):
        head("ple", 3, 5, 2, tasks=2)
