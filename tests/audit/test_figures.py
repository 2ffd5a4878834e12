"""Each figure against a case worked out by hand.

TEN: ten cases, one a target.

          truth yes   truth no
said yes      4           1        tp 4, fp 1
said no       2           3        fn 2, tn 3
"""

import sys

import numpy as np
import pytest

from recgpt.audit import figures
from recgpt.audit.figures import Rated, calibration, counts, draw, measure, rates, self_agreement, tokens
from recgpt.errors import DataError


def cases(tp: int, fp: int, fn: int, tn: int) -> list[Rated]:
    answers = [(True, True)] * tp + [(False, True)] * fp + [(True, False)] * fn + [(False, False)] * tn
    return [Rated(n, "specific", truth, said) for n, (truth, said) in enumerate(answers)]


TEN = cases(4, 1, 2, 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_rate", 6 / 10),
        ("yes_rate", 5 / 10),
        ("accuracy", 7 / 10),  # 4 + 3 of 10
        ("precision", 4 / 5),
        ("recall", 4 / 6),
        ("specificity", 3 / 4),
        ("f1", 8 / 11),  # 2*4 / (2*4 + 1 + 2)
        # By chance they agree in .6*.5 + .4*.5 = .5; of the other half, .7 - .5 = .2 is reached.
        ("kappa", 0.4),
    ],
)
def test_a_figure_of_ten_cases(name: str, value: float) -> None:
    figure = measure(TEN).figures[name]
    assert (figure.value, figure.n, figure.why) == (pytest.approx(value), 10, "")


def test_a_group_says_how_many_cases_and_targets_it_is_of() -> None:
    group = measure([Rated(1, "a", True, True), Rated(1, "b", False, True), Rated(2, "a", True, False)])
    assert (group.cases, group.targets) == (3, 2)


# P(yes):   .05 no   .15 yes   .15 no   .90 yes   1.0 yes
# ECE: bin [0, .1) says .05, is 0; [.1, .2) says .15, is 1/2; [.9, 1] says .95, is 1: (1*.05 + 2*.35 + 2*.05) / 5 = .17
# AUC: of 3 * 2 pairs of a yes and a no, .15 > .05, .15 = .15 (a half), and .9 and 1.0 beat both: 5.5 / 6
FIVE = [
    Rated(1, "specific", False, False, 0.05),
    Rated(2, "specific", True, False, 0.15),
    Rated(3, "specific", False, False, 0.15),
    Rated(4, "specific", True, True, 0.90),
    Rated(5, "specific", True, True, 1.00),
]


def test_calibration_and_ranking_of_five_probabilities() -> None:
    group = measure(FIVE)
    assert group.figures["ece"].value == pytest.approx(0.17)
    assert group.figures["auc"].value == pytest.approx(5.5 / 6)
    found = {(one.low, one.high): (one.n, one.p_yes, one.share) for one in group.bins if one.n}
    assert found == {
        (0.0, 0.1): (1, pytest.approx(0.05), 0.0),
        (0.1, 0.2): (2, pytest.approx(0.15), 0.5),
        (0.9, 1.0): (2, pytest.approx(0.95), 1.0),
    }
    assert [(one.n, one.p_yes, one.share) for one in group.bins[2:9]] == [(0, None, None)] * 7


def test_only_cases_with_a_probability_are_in_the_calibration() -> None:
    group = measure([*FIVE, Rated(6, "specific", True, True), Rated(7, "specific", False, True)])
    assert (group.figures["ece"].n, group.figures["ece"].value) == (5, pytest.approx(0.17))
    assert (group.figures["auc"].n, group.figures["accuracy"].n) == (5, 7)


@pytest.mark.parametrize("p", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_a_bin_begins_with_its_lower_edge(p: float) -> None:
    (taken,) = [one for one in calibration(np.array([p]), np.array([True])) if one.n]
    assert taken.low == p


ALWAYS_YES, ALWAYS_NO = cases(4, 2, 0, 0), cases(0, 0, 4, 2)
TRUE_YES, TRUE_NO = cases(4, 0, 2, 0), cases(0, 2, 0, 3)


@pytest.mark.parametrize(
    ("rated", "undefined"),
    [
        (TRUE_YES, {"specificity": "the truth is never no", "kappa": "the truth is never no"}),
        (
            TRUE_NO,
            {
                "recall": "the truth is never yes",
                "f1": "the truth is never yes",
                "kappa": "the truth is never yes",
            },
        ),
        (ALWAYS_NO, {"precision": "the judge never says yes"}),
        (ALWAYS_YES, {}),
        ([], dict.fromkeys(figures._LIBRARY, "no case has both a verdict and a truth")),
    ],
)
def test_what_is_not_defined_has_no_value_and_says_why(rated: list[Rated], undefined: dict[str, str]) -> None:
    found = measure(rated).figures
    none = {name: one.why for name, one in found.items() if one.value is None and name not in ("ece", "auc")}
    assert none == undefined
    assert all(found[name].low is None and found[name].high is None for name in none)
    assert found["ece"].why == found["auc"].why == "the judge gives no P(yes)"


def test_no_ranking_where_the_truth_has_one_class() -> None:
    found = measure([Rated(1, "specific", True, True, 0.9), Rated(2, "specific", True, True, 0.7)]).figures
    assert (found["auc"].value, found["auc"].why) == (None, "the truth is never no where there is a P(yes)")
    assert found["ece"].value == pytest.approx(0.2)  # (.1 + .3) / 2: two bins of one case


def test_who_always_says_yes_has_a_kappa_of_0_and_it_is_no_accident() -> None:
    kappa = measure(cases(60, 40, 0, 0)).figures["kappa"]
    assert (kappa.value, kappa.low, kappa.high) == (0.0, 0.0, 0.0)


def test_formulas_over_sums_are_the_library_s() -> None:
    """The intervals' formulas on resampled cases, against scikit-learn on the same."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        drawn = [TEN[n] for n in rng.integers(0, 10, 40)]
        ours = rates(counts(drawn).sum(0)[None])
        theirs = measure([Rated(n, "specific", one.truth, one.verdict) for n, one in enumerate(drawn)], rounds=2)
        assert {name: one[0] for name, one in ours.items()} == {
            name: pytest.approx(theirs.figures[name].value) for name in ours
        }


def test_a_target_is_counted_by_how_its_verdicts_stand_to_the_truth() -> None:
    rated = [
        Rated(8, "a", True, True), Rated(8, "b", True, False), Rated(8, "c", False, False),
        Rated(3, "a", False, True), Rated(3, "b", False, True),
    ]  # fmt: skip
    assert counts(rated).tolist() == [[0, 2, 0, 0], [1, 0, 1, 1]]
    assert counts(rated, [8, 5, 3]).tolist() == [[1, 0, 1, 1], [0, 0, 0, 0], [0, 2, 0, 0]]


def test_a_draw_takes_whole_targets_and_as_many_as_there_are() -> None:
    sums = draw(np.array([[1.0, 10.0], [1.0, 100.0]]), 200, seed=0)
    assert {tuple(row) for row in sums.tolist()} == {(2.0, 20.0), (2.0, 110.0), (2.0, 200.0)}


def test_an_interval_is_of_the_seed_and_holds_its_share() -> None:
    one, again = (measure(TEN * 10, seed=3).figures["accuracy"] for _ in range(2))
    other = measure(cases(40, 10, 20, 30), seed=4).figures["accuracy"]
    assert one == again
    assert other.low is not None
    assert other.high is not None
    # A share of .7 over 100 has a standard error of sqrt(.7*.3/100) = .0458: .61 to .79.
    assert (other.low, other.high) == (pytest.approx(0.61, abs=0.02), pytest.approx(0.79, abs=0.02))


def test_criteria_of_a_target_are_drawn_together() -> None:
    """Ten verdicts of each of 20 targets that are all right or all wrong say what 20 verdicts say, not what 200 do."""
    together = [Rated(n, f"c{m}", True, n < 10) for n in range(20) for m in range(10)]
    apart = [Rated(10 * n + m, "c", True, n < 10) for n in range(20) for m in range(10)]

    def width(rated: list[Rated]) -> float:
        figure = measure(rated).figures["accuracy"]
        assert figure.low is not None
        assert figure.high is not None
        return figure.high - figure.low

    assert width(together) / width(apart) == pytest.approx(10**0.5, rel=0.2)


def test_no_interval_where_the_draws_often_lack_the_figure() -> None:
    """One no among 10: (9/10)^10 = 35 % of the draws have none, and no specificity."""
    specificity = measure(cases(9, 0, 0, 1)).figures["specificity"]
    assert (specificity.value, specificity.low, specificity.high) == (1.0, None, None)
    assert specificity.why.startswith("no interval: too few cases, 3")


def test_answers_to_the_same_question_agree_as_often_as_their_pairs_do() -> None:
    # 3 of 4 yes: pairs 3 + 0 of 6. 2 of 2: 1 of 1. One answer says nothing. Mean of 1/2 and 1.
    figure = self_agreement([(4, 0.75), (2, 1.0), (1, 1.0)])
    assert (figure.value, figure.n) == (0.75, 2)
    assert self_agreement([(1, 1.0)]).why == "no question was asked more than once"


def test_tokens_a_verdict_are_of_the_verdicts_that_say() -> None:
    assert (tokens([100, None, 200]).value, tokens([100, None, 200]).n) == (150.0, 2)
    assert (tokens([None]).value, tokens([None]).why) == (None, "no label says what it took")


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(DataError, match=r"recgpt\[audit\]"):
        measure(TEN)
