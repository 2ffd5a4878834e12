"""What is learnt and what is held out of a data set with two behaviours."""

from pathlib import Path

import numpy as np
import pytest

from towers.config import Inputs
from towers.data import TrainingData

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_the_first_behaviour_is_held_out_and_others_are_learnt_for_tasks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from public_data import DataSet

    behaviours, times = np.array([0, 0, 1, 0, 1, 0]), np.arange(6)  # two purchases had a coupon
    data = TrainingData(["i"], ["t"], ["c"], ["u"], np.zeros(6, int), np.zeros(6, int), behaviours, times)
    shop = DataSet(data, Inputs(("purchase", "coupon")), times / 86_400)
    held_out, unused = (times >= 3) & (times < 5), times >= 5
    for tasks, left_out in ((), [2, 4, 5]), (("purchase", "coupon"), [4, 5]):
        learnt = shop.to_learn(tasks, held_out, unused)
        assert np.flatnonzero(learnt.held_out).tolist() == [3]
        assert np.flatnonzero(learnt.unused).tolist() == left_out
