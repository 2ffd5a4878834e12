"""That the bare loop does what the towers do, so that their speeds can be compared; speed itself is never asserted."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from towers.config import TowersConfig
from towers.data import TrainingData, prepare
from towers.training.distributed import World
from towers.training.fit import Fit

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
STILL = {"dropout": 0.0, "id_dropout": 0.0, "dim": 8, "hidden": 16}


@pytest.fixture(autouse=True)
def _benchmarks() -> Iterator[None]:
    """Benchmarks import each other by name, as scripts do; not longer than a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield


@pytest.fixture
def data() -> TrainingData:
    from made_data import beauty_like

    return beauty_like(users=60, items=40, events=700)


@pytest.mark.parametrize("tables", ["adamw", "row_wise_adam"])
@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("loss", ["in_batch", "full"])
def test_a_step_of_either_loop_gives_the_same_weights(data: TrainingData, loss: str, pair: bool, tables: str) -> None:
    from bare_towers import BareLoop

    config = TowersConfig().but(
        network={**STILL, "pair": pair}, loss={"user_item": loss}, training={"tables": tables, "warmup_steps": 0}
    )
    fit = Fit(prepare(data, config), config, World(), None, None)
    bare = BareLoop(fit.ready, config, fit.model, full=loss == "full")
    batch = next(fit.batches(torch.Generator().manual_seed(1)))
    assert bare.loss(batch.places).item() == pytest.approx(fit.step(batch).item(), rel=1e-5)
    before = weights(bare)
    bare.step(batch.places)
    after = weights(bare)
    bare.model.like(fit.model)
    for name, theirs in weights(bare).items():
        # Adam's first step is as long as the rate wherever there is a gradient at all, whatever its size.
        assert (after[name] != before[name]).any()
        close = torch.isclose(after[name], theirs, rtol=1e-3, atol=1e-4)
        assert close.float().mean() > 0.999, name


def weights(bare: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in bare.model.state_dict().items()}


def test_made_data_are_of_the_size_that_is_asked_for_and_always_the_same(data: TrainingData) -> None:
    from made_data import beauty_like

    assert (len(data.user_ids), len(data.item_ids), len(data.users)) == (60, 40, 700)
    assert np.bincount(data.users).min() >= 5
    assert np.bincount(data.items).min() >= 5
    assert (np.diff(data.times)[np.diff(data.users) == 0] >= 0).all()
    again, other = (beauty_like(users=60, items=40, events=700, seed=seed) for seed in (1, 2))
    assert data.titles == again.titles != other.titles
    np.testing.assert_array_equal(data.items, again.items)


def test_the_memory_of_some_ids_is_said() -> None:
    command = [sys.executable, str(BENCHMARKS / "id_space.py"), "500", "20500"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    (few, before), (many, after) = (map(int, line.split()) for line in lines)
    assert (few, many) == (500, 20_500)
    assert 0 < before <= after
