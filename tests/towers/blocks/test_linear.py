import numpy as np
import torch

from towers.blocks.linear import ParallelLinear


def test_each_group_has_its_own_map():
    torch.manual_seed(0)
    linear = ParallelLinear(3, 2, 4).double()
    x = torch.randn(5, 3, 2, dtype=torch.float64)
    weight, bias = linear.weight.detach().numpy(), linear.bias.detach().numpy()
    expected = np.stack([x[:, g].numpy() @ weight[g] + bias[g] for g in range(3)], axis=1)
    assert np.allclose(linear(x).detach().numpy(), expected)
    bare = ParallelLinear(3, 2, 4, bias=False)
    assert [name for name, _ in bare.named_parameters()] == ["weight"]
    assert bare(x.float()).shape == (5, 3, 4)


def test_begins_as_linear_does():
    linear = ParallelLinear(8, 16, 400)
    for values in (linear.weight, linear.bias):
        assert values.abs().max() <= 0.25
        assert values.abs().max() > 0.245
        assert values.min() < -0.245
