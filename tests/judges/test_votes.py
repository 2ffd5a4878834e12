"""Votes and grades, on answers one can count."""

import pytest

from judges import REVIEWER, NoVerdict, Verdict, confidence, count_votes, grade


def said(verdict: bool, evidence: str = "", p_yes: float | None = None) -> Verdict:
    return Verdict(verdict, p_yes, None, evidence)


def test_the_share_of_yes_is_held_against_the_threshold() -> None:
    answers = [said(True, "a"), said(False, "b"), said(True, "c"), said(False, "d"), said(False, "e")]
    assert count_votes(answers) == Verdict(False, 0.4, 0.5, "b", 5)
    assert count_votes(answers, 0.4) == Verdict(True, 0.4, 0.4, "a", 5)


def test_what_was_no_verdict_is_no_vote() -> None:
    assert count_votes([None, said(True), None, said(False), said(True)]).votes == 3
    assert count_votes([None, said(True), None, said(False), said(True)]).p_yes == pytest.approx(2 / 3)
    with pytest.raises(NoVerdict, match="only 2 of 4"):
        count_votes([None, said(True), None, said(True)])
    with pytest.raises(NoVerdict, match="only 0 of 0"):
        count_votes([])


@pytest.mark.parametrize(
    ("p", "least", "given"),
    [
        ((0.9, 0.9), 0.8, "S"),
        ((0.9, 0.7), 0.8, "S"),  # exactly
        ((0.9, 0.6), 0.8, "A"),
        ((0.9, 0.9), None, "A"),  # nothing is S before a threshold is known
    ],
)
def test_without_a_defect_the_mean_decides(p: tuple[float, ...], least: float | None, given: str) -> None:
    verdicts = {str(number): said(True, p_yes=one) for number, one in enumerate(p)}
    assert grade(verdicts, {} if least is None else {REVIEWER: least}) == given


def test_any_defect_is_b_however_good_the_rest() -> None:
    verdicts = {"a": said(True, p_yes=1.0), "b": said(False, p_yes=0.49), "c": said(True, p_yes=1.0)}
    assert grade(verdicts, {REVIEWER: 0.5}) == "B"


def test_who_gives_no_probability_is_sure() -> None:
    assert confidence({"a": said(True), "b": said(True, p_yes=0.5)}) == 0.75


def test_nothing_judged_is_no_grade() -> None:
    with pytest.raises(ValueError, match="no grade"):
        grade({}, {REVIEWER: 0.5})
