"""A threshold is not measured on the rows that it was fitted on."""

import random
from typing import Any

import pytest

from judges import fit
from recgpt.audit.figures import Rated, measure
from recgpt.audit.fitted import FOLDS, _fold, out_of_sample
from recgpt.audit.passport import audit, report_of
from recgpt.audit.report import ALL, Report
from recgpt.labels import thresholds
from recgpt.words import Task

MODEL = "small@1"


def cases(n: int, seed: int, apart: float = 0.0) -> list[Rated]:
    """Half yes, half no; P(yes) is chance, but for `apart`."""
    rng = random.Random(seed)
    return [
        Rated(place, "specific", place % 2 == 0, True, min(1.0, rng.random() * (1 - apart) + apart * (place % 2 == 0)))
        for place in range(n)
    ]


def kappa(rated: list[Rated]) -> float:
    value = measure(rated, rounds=2).figures["kappa"].value
    assert value is not None
    return value


def test_a_judge_that_can_t_tell_gains_nothing_by_a_fitted_cut() -> None:
    """On its own twenty rows the best cut of pure chance has a kappa well above 0; on other folds it has none."""
    own, other = [], []
    for seed in range(40):
        rated = cases(20, seed)
        cut = fit([one.p_yes or 0.0 for one in rated], [one.truth for one in rated]).value
        own.append(kappa([Rated(one.target, "specific", one.truth, (one.p_yes or 0.0) >= cut) for one in rated]))
        other.append(kappa(out_of_sample(rated, ["specific"])))
    assert sum(own) / 40 > 0.2
    assert abs(sum(other) / 40) < 0.1


def test_a_judge_that_can_tell_keeps_its_cut() -> None:
    found = out_of_sample(cases(200, 0, apart=0.6), ["specific"])
    assert kappa(found) > 0.95  # all verdicts were yes before
    assert [one.target for one in found] == list(range(200))


def test_the_cut_of_a_row_comes_from_other_folds_alone() -> None:
    """Every row of one fold is a no from .9 on, those of all others a yes: the fold's rows are all called yes."""
    fold = _fold(Rated(0, "specific", True, True))
    rated = []
    for place in range(200):
        here = _fold(Rated(place, "specific", True, True)) == fold
        high = place % 2 == 0
        rated.append(Rated(place, "specific", high is not here, False, 0.9 if high else 0.1))
    found = [one for one in out_of_sample(rated, ["specific"]) if _fold(one) == fold]
    assert {(one.p_yes, one.verdict) for one in found} == {(0.9, True), (0.1, False)}
    assert not any(one.truth is one.verdict for one in found)


def test_folds_hold_a_like_number_of_rows_and_all_criteria_of_a_row() -> None:
    sizes = [sum(_fold(Rated(place, "a", True, True)) == fold for place in range(1000)) for fold in range(FOLDS)]
    assert sum(sizes) == 1000
    assert min(sizes) > 150
    assert _fold(Rated(7, "a", True, True)) == _fold(Rated(7, "b", False, False))


def test_other_criteria_no_p_yes_and_one_class_stay_as_they_are() -> None:
    rated = [Rated(1, "a", True, False, 0.9), Rated(1, "b", True, False, 0.9), Rated(2, "a", True, False)]
    assert out_of_sample(rated, ["a"]) == rated


@pytest.fixture
def labelled(desk: Any) -> Any:
    rng = random.Random(1)
    desk.label("human:ann", ((n, n % 2 == 0) for n in range(60)))
    for n in range(60):
        desk.label(MODEL, [(n, True)], p_yes=0.6 + 0.4 * rng.random(), threshold=0.5)
    return desk


def report(desk: Any) -> Report:
    return report_of(audit(desk.store, Task.TAGS, MODEL))


def test_an_audit_after_a_fit_is_of_rows_that_the_cut_has_not_seen(labelled: Any) -> None:
    assert report(labelled).cross_fitted == ()
    cut = thresholds.fit(labelled.store, Task.TAGS, MODEL).fitted["specific"]
    assert cut.sensitivity + cut.specificity - 1 > 0.15  # pure chance, and yet
    after = report(labelled)
    assert after.cross_fitted == ("specific",)
    found = after.groups[ALL].figures["kappa"]
    assert found.value is not None
    assert found.value < 0.1
    assert found.low is not None
    assert found.low < 0.0
