import numpy as np
import pytest

from recgpt.evaluation.next_weeks import asked, questions
from recgpt.evaluation.ranking import Log, Show

# users, items, days: the validation begins on day 10, the test on day 20
ROWS = np.array(
    [(0, 0, 1.0), (0, 1, 4.0), (1, 2, 9.5), (0, 0, 10.0), (0, 2, 12.0), (1, 2, 19.9), (2, 3, 15.0),
     (0, 2, 20.0), (0, 3, 21.0), (0, 3, 22.0), (1, 0, 25.0), (3, 1, 30.0)]
)  # fmt: skip
USERS, ITEMS, DAYS = ROWS[:, 0].astype(int), ROWS[:, 1].astype(int), ROWS[:, 2]


def weeks(**changes):
    return questions(USERS, ITEMS, DAYS, 4, 4, **{"validation_from": 10.0, "test_from": 20.0, **changes})


def told(found):
    return {int(user): wanted.tolist() for user, wanted in zip(found.users, found.wanted, strict=True)}


def test_new_items_and_repeats_are_asked_apart():
    found = weeks()
    assert told(found.validation[Show.NEW]) == {0: [2], 2: [3]}
    assert told(found.validation[Show.REPEATS]) == {0: [0], 1: [2]}
    assert told(found.validation[Show.ALL]) == {0: [0, 2], 1: [2], 2: [3]}
    # By the test user 0 has item 2 from the validation weeks; item 3 is wanted once.
    assert told(found.test[Show.NEW]) == {0: [3], 1: [0], 3: [1]}
    assert told(found.test[Show.REPEATS]) == {0: [2]}
    assert {show: one.show for show, one in found.test.items()} == {show: show for show in Show}


def test_weights_stop_at_the_validation_and_histories_at_the_moment_asked():
    found = weeks()
    for show in Show:
        assert found.validation[show].learnt.items.tolist() == [0, 1, 2]
        assert found.validation[show].live.ages.tolist() == [9.0, 6.0, 0.5]
        assert found.test[show].learnt.items.tolist() == [0, 1, 2]
        assert found.test[show].live.ages.tolist() == pytest.approx([19, 16, 10.5, 10, 8, 0.1, 5])


def test_what_comes_after_the_end_is_not_asked_for():
    assert told(weeks(until=25.0).test[Show.NEW]) == {0: [3]}
    assert told(weeks(until=22.0).test[Show.ALL]) == {0: [2, 3]}


def test_a_split_that_runs_backwards_is_refused():
    with pytest.raises(ValueError, match="no later"):
        weeks(validation_from=21.0)


def test_only_items_of_a_catalogue_are_wanted():
    live = Log(np.array([0]), np.array([1]), np.zeros(1), 3, 4)
    some = np.array([True, False, False, True])
    found = asked(live, live, np.array([0, 0, 1, 2]), np.array([0, 3, 2, 3]), Show.NEW, some)
    assert told(found) == {0: [0, 3], 2: [3]}
    assert found.catalogue is some


def test_nobody_came_back():
    live = Log(np.array([0]), np.array([1]), np.zeros(1), 3, 4)
    found = asked(live, live, np.zeros(0, int), np.zeros(0, int), Show.NEW)
    assert (len(found.users), found.wanted) == (0, [])
