"""Three judges that a careless measure takes for good ones. The passport says what they are, and none of the first two
is learnt from."""

import random
from typing import Any

import pytest

from recgpt.audit.findings import findings
from recgpt.audit.passport import audit, report_of, trusted
from recgpt.audit.report import ALL, Figure, Report
from recgpt.settings import Judge
from recgpt.words import Task

BAR = Judge()
TRUTH = {n: n % 20 < 17 for n in range(400)}  # 85 % are good, as in the reports
JUDGE = "small@1"


@pytest.fixture
def labelled(desk: Any) -> Any:
    desk.label("human:ann", TRUTH.items())
    return desk


def passport(desk: Any) -> tuple[Report, dict[str, Figure], str]:
    report = report_of(audit(desk.store, Task.TAGS, JUDGE))
    return report, report.groups[ALL].figures, " ".join(findings(report, BAR))


def test_who_always_says_yes_has_an_accuracy_of_85_and_is_unmasked(labelled: Any) -> None:
    labelled.label(JUDGE, ((n, True) for n in TRUTH))
    _, figures, said = passport(labelled)
    assert (figures["accuracy"].value, figures["recall"].value) == (0.85, 1.0)
    assert (figures["kappa"].value, figures["specificity"].value) == (0.0, 0.0)
    assert "It always says yes." in said
    assert "no better than chance: kappa 0.00 [0.00, 0.00]" in said
    assert "It says yes to 100% of what is a no" in said
    assert "accuracy of 0.85 is no more than that of always saying yes, 0.85" in said
    refusal = trusted(labelled.store, JUDGE, Task.TAGS, BAR)
    assert refusal is not None
    assert "its kappa is 0.00 over 400 cases, and 0.4 is the least" in str(refusal)
    assert "--force" in str(refusal)


@pytest.mark.parametrize("seed", range(3))
def test_who_flips_a_coin_is_unmasked(labelled: Any, seed: int) -> None:
    """Even one that knows how often yes is right, and so is right 75 % of the time."""
    coin = random.Random(seed)
    labelled.label(JUDGE, ((n, coin.random() < 0.85) for n in TRUTH))
    _, figures, said = passport(labelled)
    accuracy, kappa = figures["accuracy"].value, figures["kappa"]
    assert accuracy is not None
    assert accuracy > 0.65
    assert kappa.low is not None
    assert kappa.high is not None
    assert kappa.low < 0.0 < kappa.high
    assert "It agrees no better than chance" in said
    assert trusted(labelled.store, JUDGE, Task.TAGS, BAR) is not None


def test_who_is_right_but_prefers_what_is_shown_first_is_unmasked(labelled: Any) -> None:
    """Alone, each of its verdicts is right. Of two texts, one good and one bad, it takes the better one in six of ten
    pairs, and in the other four the one shown first: right in 80 % of its answers, and yet not to be trusted with the
    order."""
    labelled.label(JUDGE, TRUTH.items())
    good, bad = ([n for n, right in TRUTH.items() if right is wanted] for wanted in (True, False))
    for n, (better, worse) in enumerate(zip(good, bad, strict=False)):
        left, right = (better, worse) if n % 2 else (worse, better)
        better_side = "left" if n % 2 else "right"
        stays = n % 10 < 6
        labelled.prefer(JUDGE, left, right, better_side if stays else "left", better_side if stays else "right")
    _, figures, said = passport(labelled)
    assert figures["kappa"].value == 1.0
    assert figures["swap_consistency"].value == 0.6
    assert figures["first_share"].value == 0.7  # half of the 6 that stay, and all of the 4 that don't
    assert figures["pair_accuracy"].value == 1.0  # of the stable wins, which is why only they count
    assert said.startswith("Of two texts it prefers the one shown first: 70% of its choices, and only 0.60 [")
    assert "no better than chance" not in said


def test_nothing_speaks_against_a_good_judge(labelled: Any) -> None:
    wrong = {3, 57, 118, 199}
    labelled.label(JUDGE, ((n, right ^ (n in wrong)) for n, right in TRUTH.items()))
    for n in range(0, 60, 2):
        labelled.prefer(JUDGE, n, n + 1, "left" if n % 4 else "right", "left" if n % 4 else "right")
    assert findings(report_of(audit(labelled.store, Task.TAGS, JUDGE)), BAR) == []
    assert trusted(labelled.store, JUDGE, Task.TAGS, BAR) is None


def test_a_good_ranking_behind_bad_verdicts_is_pointed_out(labelled: Any) -> None:
    for target, right in TRUTH.items():
        labelled.label(JUDGE, [(target, True)], p_yes=0.9 if right else 0.8, threshold=0.5)
    _, figures, said = passport(labelled)
    assert figures["auc"].value == 1.0
    assert "ranks better than its verdicts say (AUC 1.00): fit its thresholds with --fit" in said


def test_the_side_shown_second_is_a_bias_too_and_a_few_targets_are_few(desk: Any) -> None:
    desk.label("human:ann", [(n, n < 5) for n in range(10)])
    desk.label(JUDGE, [(n, n < 5) for n in range(10)])
    for n in range(40):
        desk.prefer(JUDGE, n, n + 100, "right", "left")
    _, _, said = passport(desk)
    assert "prefers the one shown second: 100% of its choices, and only 0.00 [0.00, 0.00]" in said
    assert "measured on 10 targets only" in said


def test_a_criterion_that_it_only_guesses_is_named_beside_a_good_whole(labelled: Any) -> None:
    coin = random.Random(0)
    labelled.label("human:ann", TRUTH.items(), criterion="valid")
    labelled.label(JUDGE, TRUTH.items())
    assert "On specific" not in passport(labelled)[2]
    labelled.label(JUDGE, [(n, coin.random() < 0.85) for n in range(200)], criterion="valid")
    _, figures, said = passport(labelled)
    assert figures["kappa"].value is not None
    assert figures["kappa"].value > BAR.min_kappa
    assert "On valid it agrees no better than chance" in said
    assert "On specific" not in said


def test_a_judge_that_has_become_worse_is_told(labelled: Any) -> None:
    labelled.label(JUDGE, TRUTH.items())
    assert passport(labelled)[2] == ""
    labelled.label(JUDGE, ((n, right ^ (n % 10 == 0)) for n, right in TRUTH.items()))
    said = passport(labelled)[2]
    assert "Its kappa has really fallen since the audit of" in said
    assert "Its accuracy has really fallen since the audit of" in said
    assert "by 0.10 [0." in said
