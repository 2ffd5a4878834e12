import math

import pytest
import torch
from torch import nn

from towers.config import TowersError
from towers.training.watch import ActivationWatch


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False)
        self.second = nn.Linear(2, 2, bias=False)
        self.ids = nn.Embedding(4, 2, sparse=True)
        nn.init.eye_(self.first.weight)
        nn.init.eye_(self.second.weight)

    def forward(self, x):
        return self.second(self.first(x)) + self.ids(torch.zeros(len(x), dtype=torch.int64))


def test_the_deviation_of_each_layer_by_hand():
    net = Net()
    with torch.no_grad():
        net.second.weight.mul_(10)
        net.ids.weight[0] = torch.tensor([1.0, 4.0])
    watch = ActivationWatch(net)
    assert watch.report() == {}
    with watch:
        net(torch.tensor([[0.0, 0.0], [0.0, 4.0]]))
    # entries 0 0 0 4: mean 1, squares 1 1 1 9, mean 3; and 1 4 1 4: mean 2.5, deviation 1.5
    assert watch.report() == pytest.approx({"first": math.sqrt(3), "second": 10 * math.sqrt(3), "ids": 1.5})
    assert list(watch.report()) == ["first", "second", "ids"]


def test_the_largest_of_several_calls_counts_and_a_new_step_starts_anew():
    net = Net()
    watch = ActivationWatch(net)
    with watch:
        for scale in (1.0, 3.0, 2.0):
            net(torch.tensor([[0.0, 2.0]]) * scale)
    assert watch.report()["first"] == pytest.approx(3)
    with watch:
        net(torch.tensor([[0.0, 1.0]]))
    assert watch.report()["first"] == pytest.approx(0.5)


def test_the_first_layer_that_blew_up_is_named_with_the_remedy():
    for bad in (math.nan, math.inf):
        net = Net()
        with torch.no_grad():
            net.second.weight.fill_(bad)
        with pytest.raises(TowersError, match=r"layer second .*learning_rate"), ActivationWatch(net):
            net(torch.ones(2, 2))
    net = Net()
    with torch.no_grad():
        net.first.weight.mul_(1e9)
    with pytest.raises(TowersError, match=r"layer first .*1e\+09"), ActivationWatch(net):
        net(torch.tensor([[1.0, -1.0]]))


def test_what_was_not_finite_once_stays_so():
    net = Net()
    watch = ActivationWatch(net)
    with pytest.raises(TowersError, match="first"), watch:
        [net(torch.tensor([[x, 1.0]])) for x in (math.nan, 0.0)]


def test_the_bound_itself_is_allowed():
    net = Net()
    with ActivationWatch(net, bound=2.0):
        net(torch.tensor([[-2.0, 2.0]]))
    with pytest.raises(TowersError), ActivationWatch(net, bound=1.99):
        net(torch.tensor([[-2.0, 2.0]]))
    with pytest.raises(TowersError), ActivationWatch(net):
        net(torch.tensor([[-1001.0, 1001.0]]))
    with ActivationWatch(net):
        net(torch.tensor([[-1000.0, 1000.0]]))


def test_hooks_are_gone_afterwards_also_after_an_error():
    net = Net()
    watch = ActivationWatch(net)
    with watch:
        net(torch.tensor([[0.0, 2.0]]))
    net(torch.tensor([[0.0, 200.0]]))
    assert watch.report()["first"] == 1
    with pytest.raises(KeyError), watch:  # an error inside is not hidden by the watch's own
        {}[net(torch.tensor([[math.nan, 0.0]]))]
    assert not any(module._forward_hooks for module in net.modules())


def test_outputs_that_are_no_numbers_or_empty_are_passed_over():
    class Rows(nn.Module):
        def forward(self, x):
            return x.long()

    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    net = nn.Sequential(nn.Identity(), Rows())
    watch = ActivationWatch(net)
    with watch:
        net(torch.zeros(0, 2))
        net(torch.tensor([[0.0, 2.0]]))
    assert watch.report() == {"0": 1.0}
    with ActivationWatch(nn.Sequential(Pair())) as watch:
        nn.Sequential(Pair())(torch.ones(2))
    assert watch.report() == {}


def test_gradients_are_untouched():
    net = Net()
    x = torch.tensor([[0.3, -2.0]])
    net(x).square().sum().backward()
    plain = net.first.weight.grad.clone()
    net.zero_grad()
    with ActivationWatch(net):
        net(x).square().sum().backward()
    assert torch.equal(plain, net.first.weight.grad)
