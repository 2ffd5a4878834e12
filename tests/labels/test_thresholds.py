"""Thresholds fitted on labels, worked out by hand."""

from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from judges import REVIEWER, Criterion
from recgpt.errors import ConfigError
from recgpt.labels.store import labels
from recgpt.labels.thresholds import fit, newest, reviewed, truths
from recgpt.store.tables import JudgeThreshold
from recgpt.words import Task

Criteria = dict[str, Criterion]
JUDGE = "m@r"


def say(shelf: Any, criterion: Criterion, p_yes: dict[int, float], judge: str = JUDGE, **columns: Any) -> None:
    for target, p in p_yes.items():
        shelf.label(judge, criterion, [(target, p >= 0.5)], p_yes=p, threshold=0.5, **columns)


def people(shelf: Any, criterion: Criterion, verdicts: dict[int, bool], name: str = "eva") -> None:
    shelf.label(f"human:{name}", criterion, verdicts.items())


def verdicts(shelf: Any, criterion: str) -> dict[int, tuple[bool, float | None]]:
    rows = labels(shelf.store, Task.TAGS, judges=[JUDGE], criteria=[criterion])
    return {row.target_id: (row.verdict, row.threshold) for row in rows}


# Ten rows: people say yes to those from 5 on. The judge is shy: no P(yes) reaches one half.
P = {number: number / 50 for number in range(10)}
TRUTH = {number: number >= 5 for number in range(10)}


def test_the_cut_between_peoples_yes_and_no_is_kept_and_labels_are_read_anew(shelf: Any, tags: Criteria) -> None:
    valid = tags["valid"]
    say(shelf, valid, P | {77: 0.095, 78: 0.02})  # two that no person has seen
    people(shelf, valid, TRUTH)
    found = fit(shelf.store, Task.TAGS, JUDGE)
    assert found.fitted["valid"].value == pytest.approx(0.09)  # half-way between 4/50 and 5/50
    assert (found.fitted["valid"].auc, found.fitted["valid"].cases) == (1.0, 10)
    assert found.changed == 6  # the five, and row 77
    kept = verdicts(shelf, "valid")
    assert {target for target, (verdict, _) in kept.items() if verdict} == {5, 6, 7, 8, 9, 77}
    assert {threshold for _, threshold in kept.values()} == {found.fitted["valid"].value}
    assert newest(shelf.store, JUDGE, Task.TAGS)["valid", valid.version] == found.fitted["valid"]
    assert newest(shelf.store, JUDGE, Task.INTERESTS) == newest(shelf.store, "other@r", Task.TAGS) == {}


def test_the_same_labels_fit_the_same_and_write_nothing(shelf: Any, tags: Criteria) -> None:
    say(shelf, tags["valid"], P)
    people(shelf, tags["valid"], TRUTH)
    fit(shelf.store, Task.TAGS, JUDGE)
    before = [row.id for row in shelf.labels()]
    assert fit(shelf.store, Task.TAGS, JUDGE).changed == 0
    assert [row.id for row in shelf.labels()] == before
    with Session(shelf.store) as session:
        assert session.scalar(select(func.count(JudgeThreshold.id))) == 1
    people(shelf, tags["valid"], {3: True, 4: True})  # second thoughts
    assert fit(shelf.store, Task.TAGS, JUDGE).fitted["valid"].value == pytest.approx(0.05)
    assert newest(shelf.store, JUDGE, Task.TAGS)["valid", tags["valid"].version].value == pytest.approx(0.05)


def test_who_is_too_seldom_told_the_truth_is_not_fitted(shelf: Any, tags: Criteria) -> None:
    say(shelf, tags["valid"], P)
    say(shelf, tags["specific"], P)
    say(shelf, tags["timely"], P)
    people(shelf, tags["valid"], {number: number >= 5 for number in range(9)})
    people(shelf, tags["specific"], {number: number >= 2 for number in range(10)})
    shelf.label(JUDGE, tags["relevant"], [(1, True)])
    found = fit(shelf.store, Task.TAGS, JUDGE)
    assert not found.fitted
    assert "there are 4 yes and 5 no" in found.left_out["valid"]
    assert "there are 8 yes and 2 no" in found.left_out["specific"]
    assert "there are 0 yes and 0 no" in found.left_out["timely"]
    assert found.left_out["relevant"] == "the judge gives no P(yes)"
    assert {threshold for _, threshold in verdicts(shelf, "valid").values()} == {0.5}


def test_truth_is_what_most_people_say_and_nothing_where_they_are_even(shelf: Any, tags: Criteria) -> None:
    valid = tags["valid"]
    for name, said in (("a", (True, True, False)), ("b", (True, False, False)), ("c", (False, False, False))):
        people(shelf, valid, dict(enumerate(said)), name)
    people(shelf, valid, {0: True, 3: True}, "d")
    shelf.label("x@1", valid, [(3, False), (4, False)])
    rows = labels(shelf.store, Task.TAGS)
    assert truths(rows, "x@1") == {(0, "valid"): True, (1, "valid"): False, (2, "valid"): False, (3, "valid"): True}
    assert truths(rows, "human:a")[1, "valid"] is False
    assert (0, "valid") in truths(rows, "human:c")
    people(shelf, valid, {1: True}, "d")
    assert (1, "valid") not in truths(labels(shelf.store, Task.TAGS), "x@1")
    assert truths(rows, "y@1", against="x@1") == {(3, "valid"): False, (4, "valid"): False}


def test_labels_by_an_older_version_of_the_criterion_are_another_question(shelf: Any, tags: Criteria) -> None:
    valid = tags["valid"]
    say(shelf, valid, {number: 1 - p for number, p in P.items()}, prompt_version="sha256:old")
    say(shelf, valid, P)
    people(shelf, valid, TRUTH)
    found = fit(shelf.store, Task.TAGS, JUDGE)
    assert found.fitted["valid"].auc == 1.0
    assert {key for key in newest(shelf.store, JUDGE, Task.TAGS) if key[0] == "valid"} == {("valid", valid.version)}


def test_s_is_where_people_too_find_no_defect(shelf: Any, tags: Criteria) -> None:
    """Twenty rows pass both criteria; people find a defect in those that the judge was less sure of."""
    both = {name: tags[name] for name in ("specific", "valid")}
    rows = range(100, 120)
    for criterion in both.values():
        say(shelf, criterion, dict.fromkeys(range(10), 0.01) | {n: 0.8 + (n - 100) / 100 for n in rows})
    people(shelf, both["valid"], dict.fromkeys(range(10), False) | {n: n >= 110 for n in rows})
    people(shelf, both["specific"], dict.fromkeys(range(10), False) | dict.fromkeys(rows, True))
    found = fit(shelf.store, Task.TAGS, JUDGE)
    # The cut of `valid` is in the widest gap between any yes and no: here between 109 and 110 themselves.
    assert found.fitted["valid"].value == pytest.approx(0.895)
    # Of the rows that pass both, people find no defect in any: there is nothing to tell S from A by.
    assert "there are 10 yes and 0 no that the judge finds no defect in" in found.left_out[REVIEWER]
    people(shelf, both["specific"], {110: False, 111: False, 112: False})
    found = fit(shelf.store, Task.TAGS, JUDGE)
    assert found.fitted[REVIEWER].value == pytest.approx(0.925)
    assert (found.fitted[REVIEWER].cases, found.fitted[REVIEWER].specificity) == (10, 1.0)
    version = reviewed({name: one.version for name, one in both.items()})
    assert newest(shelf.store, JUDGE, Task.TAGS)[REVIEWER, version] == found.fitted[REVIEWER]


def test_nobody_elses_word_is_fitted(shelf: Any, tags: Criteria) -> None:
    people(shelf, tags["valid"], TRUTH)
    with pytest.raises(ConfigError, match="human:eva: it is a person"):
        fit(shelf.store, Task.TAGS, "human:eva")
    with pytest.raises(ConfigError, match="it has no labels on tags: run 'recgpt judge run tags'"):
        fit(shelf.store, Task.TAGS, JUDGE)
