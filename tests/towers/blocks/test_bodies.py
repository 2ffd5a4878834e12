import numpy as np
import pytest
import torch

from towers.blocks.bodies import BODIES, body


def gelu(x):
    return x * 0.5 * (1 + torch.erf(torch.from_numpy(x) / np.sqrt(2)).numpy())


def lively(kind, **settings):
    """A body (3 -> 5 hidden -> 2) whose norms do something, as does what begins at zero, and its weights by name."""
    torch.manual_seed(2)
    net = body(kind, 3, 5, 2, **settings).double()
    for name, values in net.named_parameters():
        if "norm" in name:
            values.data.uniform_(0.5, 1.5)
        if name == "down.weight":
            values.data.uniform_(-1, 1)
    return net, {name: values.detach().numpy() for name, values in net.named_parameters()}


def linear(at, name, x):
    return x @ at[f"{name}.weight"].T + at.get(f"{name}.bias", 0.0)


def norm(at, name, x):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * at[f"{name}.weight"] + at[f"{name}.bias"]


@pytest.fixture
def x():
    return torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


def test_mlp_by_hand(x):
    net, at = lively("mlp", depth=2)
    assert at["down.weight"].shape == (2, 5)
    h = gelu(linear(at, "layers.0.linear", x.numpy()))
    h = gelu(linear(at, "layers.1.linear", norm(at, "layers.1.norm", h)))
    expected = linear(at, "straight", x.numpy()) + linear(at, "down", h)
    assert np.allclose(net(x).detach().numpy(), expected)


def test_resnet_by_hand(x):
    net, at = lively("resnet", depth=2)
    assert at["down.weight"].shape == (2, 5)
    h = linear(at, "first", x.numpy())
    for n in range(2):
        inner = gelu(linear(at, f"blocks.{n}.0.linear", norm(at, f"blocks.{n}.0.norm", h)))
        h = h + linear(at, f"blocks.{n}.1", inner)
    expected = linear(at, "straight", x.numpy()) + linear(at, "down", norm(at, "norm", h))
    assert np.allclose(net(x).detach().numpy(), expected)


def test_densenet_by_hand(x):
    net, at = lively("densenet", depth=2)
    assert at["down.weight"].shape == (2, 3 + 5 + 5)
    h = np.concatenate([x.numpy(), gelu(linear(at, "layers.0.linear", x.numpy()))], axis=1)
    h = np.concatenate([h, gelu(linear(at, "layers.1.linear", norm(at, "layers.1.norm", h)))], axis=1)
    assert np.allclose(net(x).detach().numpy(), linear(at, "down", h))


@pytest.mark.parametrize("kind", BODIES)
def test_shapes_gradients_and_sizes(kind, x):
    net, _ = lively(kind)
    assert net(x[:0]).shape == (0, 2)
    assert net(x.view(2, 2, 3)).shape == (2, 2, 2)
    assert torch.autograd.gradcheck(net, (x.clone().requires_grad_(),))
    net(x).square().sum().backward()
    assert all(values.grad.abs().sum() > 0 for values in net.parameters())
    sizes = [sum(p.numel() for p in body(kind, 3, 5, 2, depth=depth).parameters()) for depth in (1, 2, 3)]
    assert sum(p.numel() for p in body(kind, 3, 5, 2).parameters()) == sizes[0] < sizes[1] < sizes[2]


def test_the_straight_path_has_no_bias_of_its_own():
    for kind in ("mlp", "resnet"):
        assert "straight.bias" not in dict(body(kind, 3, 5, 2).named_parameters())


@pytest.mark.parametrize("kind", ["mlp", "resnet"])
def test_what_reads_a_norm_begins_at_nothing(kind, x):
    net = body(kind, 3, 5, 2, depth=2).double()
    assert torch.equal(net(x), net.straight(x) + net.down.bias)
    assert body("mlp", 3, 5, 2, depth=1).down.weight.all()


def test_a_densenet_begins_as_that_of_one_layer():
    weight = body("densenet", 3, 5, 2, depth=3).down.weight
    assert weight[:, : 3 + 5].all()
    assert not weight[:, 3 + 5 :].any()


@pytest.mark.parametrize("kind", BODIES)
def test_dropout_leaves_the_straight_path_alone(kind, x):
    """With nearly all hidden values dropped in each layer, what is left is a linear map of the input."""
    net, _ = lively(kind, depth=1, dropout=0.999999)
    a, b = x[:1], x[1:2]
    nonlinear = net.eval()(a) + net(b) - net(a + b) - net(0 * a)
    assert nonlinear.abs().max() > 1e-3
    if kind != "resnet":  # its hidden state is normed once more on the way out
        net.train()
        assert torch.allclose(net(a) + net(b), net(a + b) + net(0 * a))


@pytest.mark.parametrize("kind", BODIES)
def test_dropout_is_on_in_training_only(kind, x):
    net = body(kind, 3, 64, 2, dropout=0.5).double()
    net.down.weight.data.uniform_(-1, 1)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
    still = body(kind, 3, 5, 2)
    assert torch.equal(still(x.float()), still(x.float()))


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no body is called 'cnn': choose one of mlp, resnet, densenet"):
        body("cnn", 3, 5, 2)
