import math

import pytest
import torch

from towers.losses.temperature import Temperature


def test_fixed_is_no_parameter_and_moves_with_the_module():
    fixed = Temperature(0.07)
    assert fixed().item() == pytest.approx(0.07)
    assert list(fixed.parameters()) == []
    assert Temperature(0.5).load_state_dict(fixed.state_dict())
    assert fixed.double()().dtype == torch.float64


def test_learnt_is_the_exponential_of_its_parameter():
    learnt = Temperature(0.2, learnt=True)
    (log,) = learnt.parameters()
    assert log.item() == pytest.approx(math.log(0.2))
    learnt().backward()
    assert log.grad.item() == pytest.approx(0.2)  # d exp a / d a = exp a


@pytest.mark.parametrize(("beyond", "bound"), [(-9.0, 0.05), (9.0, 0.8)])
def test_stays_within_its_bounds_and_finds_back(beyond, bound):
    learnt = Temperature(0.2, learnt=True, low=0.05, high=0.8)
    learnt.log.data.fill_(beyond)
    assert learnt().item() == pytest.approx(bound)
    learnt().backward()
    assert learnt.log.grad.item() == pytest.approx(bound)  # at the bound it still learns
    learnt.log.data -= 0.1 * math.copysign(1.0, beyond)
    assert learnt().item() == pytest.approx(bound * math.exp(-0.1 * math.copysign(1.0, beyond)))


@pytest.mark.parametrize(("start", "bounds"), [(0.001, (0.01, 1.0)), (2.0, (0.01, 1.0)), (0.0, (0.0, 1.0))])
def test_a_start_out_of_bounds_is_refused(start, bounds):
    with pytest.raises(ValueError, match=f"a temperature of {start} is not within its bounds"):
        Temperature(start, low=bounds[0], high=bounds[1])


def test_bounds_unless_said_otherwise():
    assert Temperature(0.01)().item() == pytest.approx(0.01)
    assert Temperature(1.0)().item() == pytest.approx(1.0)
    for out in (0.0099, 1.01):
        with pytest.raises(ValueError, match="bounds"):
            Temperature(out)
