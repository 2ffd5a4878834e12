import numpy as np
import pytest

from recgpt.tuning.gate import decide

USERS = 200


def column(share: float) -> np.ndarray:
    """(U,) of 0 and 1 with this mean."""
    out = np.zeros(USERS)
    out[: round(share * USERS)] = 1
    return out


def test_a_rise_that_is_sure_is_promoted() -> None:
    found = decide({"all": column(0.5), "clear": column(0.7)}, {"all": column(0.4), "clear": column(0.7)})
    assert found.promoted
    assert found.differences["all"].mean == pytest.approx(0.1)
    assert 0 < found.differences["all"].low < 0.1 < found.differences["all"].high
    assert "all rises: +10.0 points" in found.why
    assert "200 users" in found.why


def test_the_same_or_worse_is_not() -> None:
    for old in (0.5, 0.6):
        found = decide({"all": column(0.5)}, {"all": column(old)})
        assert not found.promoted
        assert "not shown to rise" in found.why


def test_a_rise_that_may_be_chance_is_not() -> None:
    rng = np.random.default_rng(0)
    new, old = (rng.permutation(column(share)) for share in (0.52, 0.5))
    found = decide({"all": new}, {"all": old})
    assert found.differences["all"].mean == pytest.approx(0.02)
    assert found.differences["all"].low < 0
    assert not found.promoted


def test_a_criterion_may_fall_by_its_margin_and_no_more() -> None:
    new, old = {"all": column(0.5), "safe": column(0.90)}, {"all": column(0.4), "safe": column(0.92)}
    assert decide(new, old).promoted
    strict = decide(new, old, margins={"safe": 0.01})
    assert not strict.promoted
    assert strict.why.startswith("safe falls by more than 0.01: -2.0 points")
    assert not decide(new, old, margin=0.0).promoted
    assert decide(new, old, margin=0.0, margins={"safe": 0.02 + 1e-9}).promoted


def test_the_aim_may_be_one_criterion() -> None:
    new, old = {"all": column(0.4), "clear": column(0.5)}, {"all": column(0.42), "clear": column(0.4)}
    assert decide(new, old, aim="clear").promoted
    assert not decide(new, old).promoted


def test_users_without_a_value_are_left_out() -> None:
    new, old = column(0.5), column(0.4)
    new[150:], old[:10] = np.nan, np.nan
    found = decide({"all": new}, {"all": old})
    assert found.differences["all"].users == 140
    nobody = decide({"all": np.full(3, np.nan)}, {"all": np.zeros(3)})
    assert not nobody.promoted
    assert nobody.why == "no user has a value of both"


def test_what_was_not_judged_alike_is_refused() -> None:
    with pytest.raises(ValueError, match="same"):
        decide({"all": column(0.5)}, {"all": column(0.5), "safe": column(0.5)})
    with pytest.raises(ValueError, match="all among them"):
        decide({"safe": column(0.5)}, {"safe": column(0.5)})
    with pytest.raises(ValueError, match="same users"):
        decide({"all": column(0.5)}, {"all": column(0.5)[1:]})


def test_the_same_seed_gives_the_same_decision() -> None:
    rng = np.random.default_rng(1)
    new, old = {"all": rng.random(50)}, {"all": rng.random(50)}
    assert decide(new, old, seed=3) == decide(new, old, seed=3)
    assert decide(new, old, seed=3) != decide(new, old, seed=4)
