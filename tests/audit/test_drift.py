"""Changes between two audits: how large, and whether they are real."""

import numpy as np
import pytest

from recgpt.audit.drift import changes, compare
from recgpt.audit.figures import Rated


def judged(targets: range, right: float, seed: int) -> list[Rated]:
    """Half of the targets are truly a yes; the judge is right with this chance."""
    rng = np.random.default_rng(seed)
    return [Rated(n, "specific", n % 2 == 0, (n % 2 == 0) == (rng.random() < right)) for n in targets]


def test_the_difference_by_hand() -> None:
    # then 3 of 4 right, kappa .5 (chance .5); now all right, kappa 1. Specificity 1/2, then 1.
    truth = {1: True, 2: True, 3: False, 4: False}
    before = [Rated(n, "specific", right, right or n == 3) for n, right in truth.items()]
    now = [Rated(n, "specific", right, right) for n, right in truth.items()]
    found = compare(now, before)
    assert {name: one.difference for name, one in found.items()} == {
        "kappa": pytest.approx(0.5), "specificity": 0.5, "recall": 0.0, "accuracy": 0.25,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("then", "now", "word"), [(0.9, 0.6, "worse"), (0.6, 0.9, "better"), (0.8, 0.8, "no real change")]
)
def test_the_word_on_targets_of_each_audit_s_own(then: float, now: float, word: str) -> None:
    found = compare(judged(range(1000, 1300), now, seed=1), judged(range(300), then, seed=2))
    assert found["kappa"].word == found["accuracy"].word == word


def test_what_a_target_has_in_common_cancels() -> None:
    """The same 100 targets, judged alike but for 6 that are wrong now: a difference of 6 points. Two samples of their
    own that differ so much might be chance."""
    before = [Rated(n, "specific", n % 2 == 0, (n % 2 == 0) == (n % 5 > 0)) for n in range(100)]
    now = [
        Rated(one.target, "specific", one.truth, one.verdict ^ (one.target in (2, 13, 27, 52, 69, 84)))
        for one in before
    ]
    paired = compare(now, before)["accuracy"]
    apart = compare([Rated(one.target + 1000, "specific", one.truth, one.verdict) for one in now], before)["accuracy"]
    assert paired.difference == apart.difference == pytest.approx(-0.06)
    assert (paired.word, apart.word) == ("worse", "no real change")


def test_targets_that_were_added_count_in_the_new_audit_alone() -> None:
    before = judged(range(200), 0.95, seed=3)
    found = compare([*before, *judged(range(1000, 1200), 0.5, seed=4)], before)
    assert found["kappa"].word == "worse"
    assert compare(before, before)["kappa"].model_dump() == {
        "difference": 0.0, "low": 0.0, "high": 0.0, "word": "no real change", "why": "",
    }  # fmt: skip


def test_every_criterion_is_compared_and_a_new_one_can_t_be() -> None:
    before = judged(range(50), 0.8, seed=5)
    now = [*before, *(Rated(one.target, "willing", one.truth, one.verdict) for one in before)]
    found = changes(now, before)
    assert set(found) == {"all", "specific", "willing"}
    assert (found["willing"]["kappa"].word, found["willing"]["kappa"].why) == (
        "can't be told",
        "there is no figure then",
    )
    assert found["specific"]["kappa"].word == "no real change"


def test_two_empty_audits_have_nothing_to_compare() -> None:
    assert compare([], [])["kappa"].why == "there is no figure now and then"


def test_too_few_cases_give_a_difference_and_no_word() -> None:
    before = [Rated(1, "specific", True, True), Rated(2, "specific", False, False)]
    found = compare([*before, Rated(3, "specific", True, False)], before)["kappa"]
    assert found.difference is not None
    assert (found.low, found.word) == (None, "can't be told")
