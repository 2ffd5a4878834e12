"""The fitted threshold and kappa, on numbers one can work out by hand."""

import math

import pytest

from judges import fit, kappa


def test_a_clean_divide_is_cut_half_way() -> None:
    found = fit([0.01, 0.02, 0.10, 0.04], [False, False, True, True])
    assert found.value == pytest.approx(0.03)
    assert (found.auc, found.sensitivity, found.specificity, found.cases) == (1.0, 1.0, 1.0, 4)


def test_overlap_takes_the_best_cut() -> None:
    # In order: no .1, yes .2, no .3, yes .4, yes .6. Cut at .35: 2 of 3 yes, 2 of 2 no: 1.67. At .15: 3/3 + 1/2 = 1.5.
    found = fit([0.1, 0.2, 0.3, 0.4, 0.6], [False, True, False, True, True])
    assert found.value == pytest.approx(0.35)
    assert found.sensitivity == pytest.approx(2 / 3)
    assert found.specificity == 1.0
    assert found.auc == pytest.approx(5 / 6)  # of the 6 pairs only (yes .2, no .3) is the wrong way round


def test_of_equal_cuts_the_widest_gap_is_taken() -> None:
    # no .1 | yes .2, no .3 | yes .9: both cuts divide 3 of 4.
    assert fit([0.1, 0.2, 0.3, 0.9], [False, True, False, True]).value == pytest.approx(0.6)


def test_ties_count_half_and_give_no_judge() -> None:
    found = fit([0.4, 0.4, 0.4, 0.4], [True, False, True, False])
    assert (found.auc, found.sensitivity + found.specificity) == (0.5, 1.0)


def test_a_judge_the_wrong_way_round_is_not_turned() -> None:
    found = fit([0.9, 0.8, 0.2, 0.1], [False, False, True, True])
    assert found.auc == 0.0
    assert found.sensitivity + found.specificity <= 1.0


@pytest.mark.parametrize(
    ("p", "truth", "said"),
    [
        ([0.1], [True, False], "1 probabilities for 2"),
        ([0.1, 1.1], [True, False], "between 0 and 1"),
        ([0.1, math.nan], [True, False], "between 0 and 1"),
        ([0.1, 0.2], [True, True], "both answers"),
        ([], [], "both answers"),
    ],
)
def test_what_cannot_be_fitted_is_refused(p: list[float], truth: list[bool], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fit(p, truth)


def test_kappa() -> None:
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: agreed .7, chance .5 * .6 + .5 * .4 = .5.
    said = [True] * 25 + [False] * 25
    truth = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    assert kappa(said, truth) == pytest.approx(0.4)
    assert kappa([True, True, True], [True, False, True]) == 0.0  # "always yes" is right twice in three, and no judge
    assert math.isnan(kappa([True, True], [True, True]))
    with pytest.raises(ValueError, match="1 answers for 2"):
        kappa([True], [True, False])
