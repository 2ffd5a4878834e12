import numpy as np
import pytest

from recgpt.evaluation.splits import by_moment, cold_items, leave_one_out, shuffled_days


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


def test_cold_items_are_a_share_drawn_by_seed():
    chosen = cold_items(101, 0.1, 3)
    assert (len(chosen), chosen.sum()) == (101, 10)
    assert chosen.tolist() == cold_items(101, 0.1, 3).tolist()
    assert chosen.tolist() != cold_items(101, 0.1, 4).tolist()
    assert not cold_items(10, 0.0, 0).any()


def test_days_are_shuffled_within_themselves_only():
    users = np.array([1, 0, 0, 0, 0, 1, 0])
    days = np.array([5, 1, 1, 1, 2, 6, 1])
    order = shuffled_days(users, days, 0)
    assert users[order].tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert days[order].tolist() == [1, 1, 1, 1, 2, 5, 6]
    assert order[-3:].tolist() == [4, 0, 5]
    assert sorted(order[:4].tolist()) == [1, 2, 3, 6]
    orders = {tuple(shuffled_days(users, days, seed)[:4].tolist()) for seed in range(30)}
    assert len(orders) > 10
