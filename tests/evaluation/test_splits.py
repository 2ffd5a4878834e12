import numpy as np
import pytest

from recgpt.evaluation.splits import by_moment, leave_one_out


def test_by_moment_is_a_partition_in_time():
    times = np.array([5, 1, 9, 7, 3, 7])
    split = by_moment(times, 5, 7)
    assert times[split.train].tolist() == [1, 3]
    assert times[split.validation].tolist() == [5]
    assert times[split.test].tolist() == [9, 7, 7]
    with pytest.raises(ValueError, match="no later"):
        by_moment(times, 8, 7)


def test_leave_one_out_goes_by_order_within_each_user():
    users = np.array([0, 1, 0, 2, 0, 1, 1, 2, 0])
    split = leave_one_out(users)
    assert np.flatnonzero(split.test).tolist() == [6, 8]
    assert np.flatnonzero(split.validation).tolist() == [4, 5]
    assert np.flatnonzero(split.train).tolist() == [0, 1, 2, 3, 7]  # user 2 has two events only


def test_nothing_learnt_from_stands_after_what_is_asked():
    users = np.random.default_rng(0).integers(0, 40, 500)
    split = leave_one_out(users)
    assert (split.train.astype(int) + split.validation + split.test == 1).all()
    for user in range(40):
        mine = users == user
        asked = np.flatnonzero(mine & split.test)
        assert np.flatnonzero(mine & split.train).max() < np.flatnonzero(mine & split.validation).item() < asked.item()
        assert asked.item() == np.flatnonzero(mine).max()


def test_no_event():
    assert not len(leave_one_out(np.zeros(0, dtype=int)).test)
