from learners import divided

from recgpt.tuning.settings import Tuning
from recgpt.tuning.split import held_out, key_of

USERS = [f"u{number}" for number in range(4000)]


def test_the_held_out_share_is_the_one_asked_for() -> None:
    _, test = divided(USERS, Tuning(held_out=0.25))
    assert abs(len(test) / len(USERS) - 0.25) < 0.03


def test_a_user_stays_where_they_are_when_others_come_and_when_more_are_held_out() -> None:
    few, many = divided(USERS[:100], Tuning())[1], divided(USERS, Tuning())[1]
    assert set(few) <= set(many)
    assert set(many) <= set(divided(USERS, Tuning(held_out=0.5))[1])


def test_another_seed_holds_out_others() -> None:
    one, other = (set(divided(USERS, Tuning(seed=seed))[1]) for seed in (0, 1))
    assert len(one & other) < 0.4 * len(one)


def test_what_has_no_user_goes_by_its_interest() -> None:
    assert key_of("u1", "camping") == "u1"
    assert key_of(None, "Camping") == key_of(None, "camping") != key_of(None, "sailing")
    names = [key_of(None, f"interest {number}") for number in range(2000)]
    assert 0.15 < sum(held_out(name, Tuning()) for name in names) / len(names) < 0.25
