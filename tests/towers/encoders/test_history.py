import numpy as np
import pytest
import torch

from towers.config import TowersError
from towers.encoders.history import events

ROWS = events(
    [(np.array([10, 11, 12]), np.array([0, 1, 0])), (np.array([]), np.array([])), (np.array([20]), np.array([1]))]
)


def test_a_window_holds_only_what_stands_before():
    # user 0 before its second and third event, user 2 before its first
    window = ROWS.before(torch.tensor([1, 2, 3]), torch.tensor([0, 0, 2]), 2)
    assert window.items.tolist() == [[10, -1], [11, 10], [-1, -1]]


def test_latest_is_newest_first_and_cut():
    window = ROWS.latest(torch.tensor([0, 1, 2]), 2)
    assert window.items.tolist() == [[12, 11], [-1, -1], [20, -1]]
    assert window.behaviours[0].tolist() == [0, 1]
    assert ROWS.n_users == 3


def test_nobody_has_any_event():
    assert events([(np.array([]), np.array([]))] * 2).latest(torch.tensor([0, 1]), 3).items.tolist() == [[-1] * 3] * 2
    assert events([]).n_users == 0


def test_a_history_with_parts_of_different_length_is_refused():
    with pytest.raises(TowersError, match="history 1"):
        events([(np.array([1]), np.array([0])), (np.array([1, 2]), np.array([0]))])
