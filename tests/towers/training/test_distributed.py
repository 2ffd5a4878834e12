import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from towers.training.distributed import World, world

SCRIPT = Path(__file__).with_name("distributed_steps.py")


def test_two_processes_take_the_steps_of_one(tmp_path):
    out = tmp_path / "out.pt"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", SCRIPT, out]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    found = torch.load(out)
    script = runpy.run_path(str(SCRIPT))
    net, losses = script["steps"](World())
    assert found["size"] == 2
    assert found["losses"] == pytest.approx(losses, rel=1e-9)
    for name, value in net.state_dict().items():
        assert torch.allclose(found["weights"][name], value, rtol=1e-9, atol=1e-12), name
    weights, epochs = script["training"]()
    assert np.allclose(found["trained"][1], epochs, rtol=1e-4)
    for name, value in weights.items():
        assert torch.allclose(found["trained"][0][name], value, rtol=1e-3, atol=1e-4), name


def test_the_loss_falls_in_those_steps():
    _, losses = runpy.run_path(str(SCRIPT))["steps"](World())
    assert losses[-1] < losses[0]


def test_parts_are_a_batch_in_turns():
    batch = torch.arange(7)
    assert [World(rank, 3).part(batch).tolist() for rank in range(3)] == [[0, 3, 6], [1, 4], [2, 5]]


def test_alone_nothing_is_done():
    here = world()
    assert here == World()
    assert here.writes
    assert not World(1, 2).writes
    x = torch.ones(2, requires_grad=True)
    assert here.gather(x) is x
    assert here.agreed(1.5, 2) == (1.5, 2)
    net = nn.Linear(1, 1)
    here.share(net)
    here.average(net)
    assert net.weight.grad is None
