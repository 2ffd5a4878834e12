"""Audits over labels in a store: what counts as the truth, what is kept, and who is trusted."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from recgpt.audit.passport import audit, judges, report_of, trusted
from recgpt.audit.report import ALL, RANDOM, Report
from recgpt.config import load
from recgpt.errors import ConfigError, DataError
from recgpt.settings import Judge
from recgpt.store.tables import Passport
from recgpt.words import Task

MODEL = "small@1"
HALF = {n: n % 2 == 0 for n in range(20)}


def report(desk: Any, judge: str = MODEL, **options: Any) -> Report:
    return report_of(audit(desk.store, Task.TAGS, judge, **options))


def accuracy(report: Report, group: str = ALL) -> tuple[float | None, int]:
    figure = report.groups[group].figures["accuracy"]
    return figure.value, figure.n


def test_the_truth_is_what_most_people_say_and_a_tie_is_none(desk: Any) -> None:
    desk.label("human:ann", [(1, True), (2, True), (3, True), (4, True)])
    desk.label("human:bob", [(1, True), (2, False), (3, False)])
    desk.label("human:cat", [(1, False), (2, False)])
    desk.label(MODEL, [(1, True), (2, True), (3, True), (4, True), (5, True)])
    found = report(desk)
    assert found.people == ("human:ann", "human:bob", "human:cat")
    assert accuracy(found) == (2 / 3, 3)  # 1 and 4 are a yes, 2 is a no, 3 is tied, 5 was not labelled
    assert (found.tied, found.unmatched) == (1, 1)


def test_another_judge_or_an_import_may_stand_for_the_truth(desk: Any) -> None:
    desk.label("human:ann", HALF.items())
    desk.label("import:gold", ((n, True) for n in HALF))
    desk.label(MODEL, ((n, True) for n in HALF))
    assert accuracy(report(desk)) == (0.5, 20)
    other = report(desk, against="import:gold")
    assert (accuracy(other), other.against) == ((1.0, 20), "import:gold")
    assert other.drift is None  # an audit against others is no earlier one of this


def test_a_person_is_held_against_the_others(desk: Any) -> None:
    desk.label("human:ann", [(1, True), (2, True)])
    desk.label("human:bob", [(1, True), (2, False)])
    assert accuracy(report(desk, "human:ann")) == (0.5, 2)
    assert judges(desk.store, Task.TAGS) == []


def test_only_the_newest_version_of_a_criterion_counts_and_a_person_s_newest_answer(desk: Any) -> None:
    desk.label("human:ann", [(1, False), (2, False)], prompt_version="v1")
    desk.label("human:ann", [(1, True)], prompt_version="v2")
    desk.label(MODEL, [(1, False), (2, True)], prompt_version="v1")
    desk.label(MODEL, [(1, True)], prompt_version="v2")
    found = report(desk)
    assert (accuracy(found), found.prompt_versions) == ((1.0, 1), {"specific": "v2"})


def test_labels_of_another_task_do_not_count(desk: Any) -> None:
    desk.label("human:ann", [(1, True)])
    desk.label("human:ann", [(1, False), (2, False)], task=Task.INTERESTS)
    desk.label(MODEL, [(1, True), (2, True)])
    assert accuracy(report(desk)) == (1.0, 1)


def test_each_criterion_and_all_have_figures_of_their_own(desk: Any) -> None:
    for criterion, right in (("specific", True), ("valid", False)):
        desk.label("human:ann", HALF.items(), criterion=criterion)
        desk.label(MODEL, ((n, truth is right) for n, truth in HALF.items()), criterion=criterion, tokens=100, votes=4)
    desk.label(MODEL, [(1, True)], criterion="timely", tokens=400)
    found = report(desk)
    assert list(found.groups) == [ALL, "specific", "timely", "valid"]
    assert [accuracy(found, name) for name in found.groups] == [(0.5, 40), (1.0, 20), (None, 0), (0.0, 20)]
    assert found.groups["timely"].figures["kappa"].why == "no case has both a verdict and a truth"
    assert found.groups["timely"].figures["tokens"].value == 400
    assert found.groups[ALL].targets == 20


def test_what_was_drawn_at_random_is_measured_apart(desk: Any) -> None:
    """People see first what judges disagree on, so all labels together make a judge look worse than it is."""
    desk.label("human:ann", [(n, n % 2 == 0) for n in range(10)], queued="disagreement")
    desk.label("human:ann", [(n, n % 2 == 0) for n in range(10, 20)], queued="random")
    desk.label(MODEL, [(n, (n % 2 == 0) ^ (n < 5)) for n in range(20)])
    found = report(desk)
    assert (accuracy(found), accuracy(found, RANDOM)) == ((0.75, 20), (1.0, 10))
    everything_random = report(desk, "human:ann", against=MODEL)
    assert RANDOM not in everything_random.groups


def test_repeated_asking_and_probabilities_reach_their_figures(desk: Any) -> None:
    desk.label("human:ann", HALF.items())
    desk.label(MODEL, HALF.items(), votes=4, p_yes=0.75)
    figures = report(desk).groups[ALL].figures
    assert (figures["self_agreement"].value, figures["self_agreement"].n) == (0.5, 20)
    assert (figures["ece"].value, figures["auc"].value) == (pytest.approx(0.25), 0.5)


def test_a_pair_s_better_text_is_the_one_that_people_say_yes_to(desk: Any) -> None:
    desk.label("human:ann", [(1, True), (2, False), (3, True)])
    desk.prefer(MODEL, 1, 2, "left", "left")  # right
    desk.prefer(MODEL, 2, 1, "left", "left")  # wrong
    desk.prefer(MODEL, 1, 3, "left", "left")  # both are good
    desk.prefer(MODEL, 1, 4, "left", "left")  # nobody knows
    desk.prefer("other@1", 1, 2, "right", "right")
    figures = report(desk).groups[ALL].figures
    assert (figures["pair_accuracy"].value, figures["pair_accuracy"].n) == (0.5, 2)
    assert (figures["swap_consistency"].value, figures["swap_consistency"].n) == (1.0, 4)


def test_a_pair_that_is_judged_again_counts_once(desk: Any) -> None:
    desk.label("human:ann", [(1, True)])
    desk.prefer(MODEL, 1, 2, "left", "right", prompt_version="p0")
    desk.prefer(MODEL, 3, 4, "left", "right")
    desk.prefer(MODEL, 3, 4, "left", "left")
    figures = report(desk).groups[ALL].figures
    assert (figures["swap_consistency"].value, figures["swap_consistency"].n) == (1.0, 1)


def test_the_people_s_own_agreement_is_beside_it(desk: Any) -> None:
    desk.label("human:ann", HALF.items())
    desk.label(MODEL, HALF.items())
    assert report(desk).labellers is None
    desk.label("human:bob", HALF.items())
    found = report(desk).labellers
    assert found is not None
    assert (found.alpha[ALL].value, found.pairs[0].kappa.value) == (1.0, 1.0)


def test_an_audit_is_kept_and_unchanged_labels_give_the_same(desk: Any) -> None:
    desk.label("human:ann", HALF.items())
    desk.label(MODEL, ((n, truth or n == 1) for n, truth in HALF.items()))
    first, again = (audit(desk.store, Task.TAGS, MODEL) for _ in range(2))
    assert first.id == again.id
    with Session(desk.store) as session:
        (row,) = session.query(Passport).all()
        assert (row.judge, row.task, row.n, row.prompt_versions) == (MODEL, "tags", 20, {"specific": "v1"})
        assert (row.kappa, row.specificity) == (0.9, 0.9)  # 19 of 20 right, half by chance; 9 of 10 no's
        assert row.figures["cases"]["specific"]["fp"] == [1]
        assert report_of(row) == report_of(first)


def test_the_next_audit_says_what_has_changed(desk: Any) -> None:
    desk.label("human:ann", ((n, n % 2 == 0) for n in range(400)))
    desk.label(MODEL, ((n, n % 2 == 0) for n in range(200)))
    first = audit(desk.store, Task.TAGS, MODEL)
    assert report_of(first).drift is None
    desk.label(MODEL, ((n, n % 4 < 2) for n in range(200, 400)))
    drift = report(desk).drift
    assert drift is not None
    assert (drift.passport, drift.new_targets, drift.criteria_changed) == (first.id, 200, ())
    kappa = drift.groups[ALL]["kappa"]
    assert (kappa.difference, kappa.word) == (pytest.approx(-0.5), "worse")
    desk.label(MODEL, ((n, n % 2 == 0) for n in range(200)), prompt_version="v2")
    drift = report(desk).drift
    assert drift is not None
    assert (drift.new_targets, drift.criteria_changed, drift.groups[ALL]["kappa"].word) == (0, ("specific",), "better")


@pytest.mark.parametrize(
    ("judge", "against", "error", "says"),
    [
        (MODEL, None, DataError, "no person has labelled tags: run 'recgpt judge label tags'"),
        ("human:bob", None, DataError, "no other person has labelled tags"),
        ("human:ann", None, ConfigError, "human:ann has no labels on tags"),
        (MODEL, "import:gold", DataError, "import:gold has no labels on tags"),
        (MODEL, MODEL, ConfigError, "can't be held against itself"),
        ("unknown", MODEL, ConfigError, "there are: small@1"),
    ],
)
def test_what_can_t_be_audited_says_so(desk: Any, judge: str, against: str | None, error: Any, says: str) -> None:
    desk.label(MODEL, HALF.items())
    if judge == "human:bob":
        desk.label(judge, HALF.items())
    with pytest.raises(error, match=says):
        audit(desk.store, Task.TAGS, judge, against=against)


def test_the_bar_is_a_setting(desk: Any) -> None:
    assert (load(desk.folder).judge.min_kappa, load(desk.folder).judge.min_specificity) == (0.4, 0.6)
    for bad in ("min_kappa = 1.01", "min_kappa = -1.01", "min_specificity = 1.01", "min_specificity = -0.01"):
        (desk.folder / "recgpt.toml").write_text(f"[judge]\n{bad}\n", encoding="utf-8")
        with pytest.raises(ConfigError, match=bad.split()[0]):
            load(desk.folder)


class TestTrust:
    def refusal(self, desk: Any, **bar: float) -> str:
        return str(trusted(desk.store, MODEL, Task.TAGS, Judge(**bar)))

    def test_without_a_passport_nobody_but_a_person_is(self, desk: Any) -> None:
        assert "no passport from an audit against people" in self.refusal(desk)
        assert trusted(desk.store, "human:ann", Task.TAGS, Judge()) is None

    def test_the_bar_is_kappa_and_specificity(self, desk: Any) -> None:
        desk.label("human:ann", HALF.items())
        desk.label(MODEL, ((n, truth or n in (1, 3, 5, 7)) for n, truth in HALF.items()))
        row = audit(desk.store, Task.TAGS, MODEL)
        assert (row.kappa, row.specificity) == (pytest.approx(0.6), 0.6)
        assert self.refusal(desk) == "None"
        assert "its kappa is 0.60 over 20 cases, and 0.61 is the least" in self.refusal(desk, min_kappa=0.61)
        assert "its specificity is 0.60 over 20 cases" in self.refusal(desk, min_specificity=0.61)

    def test_a_figure_that_is_not_there_is_not_above_the_bar(self, desk: Any) -> None:
        desk.label("human:ann", [(1, True), (2, True)])
        desk.label(MODEL, [(1, True), (2, True)])
        audit(desk.store, Task.TAGS, MODEL)
        assert "its passport has no kappa (the truth is never no)" in self.refusal(desk, min_kappa=-1.0)

    def test_the_newest_passport_decides_and_only_one_against_people_or_imports(self, desk: Any) -> None:
        desk.label("import:gold", HALF.items())
        desk.label("other@1", ((n, not truth) for n, truth in HALF.items()))
        desk.label(MODEL, HALF.items())
        audit(desk.store, Task.TAGS, MODEL, against="import:gold")
        audit(desk.store, Task.TAGS, MODEL, against="other@1")
        assert self.refusal(desk) == "None"
        desk.label("import:gold", ((n, not truth) for n, truth in HALF.items()))
        audit(desk.store, Task.TAGS, MODEL, against="import:gold")
        assert "its kappa is -1.00" in self.refusal(desk)

    def test_a_passport_is_of_the_criteria_it_was_made_with(self, desk: Any) -> None:
        desk.label("human:ann", HALF.items())
        desk.label(MODEL, HALF.items())
        audit(desk.store, Task.TAGS, MODEL)
        desk.label(MODEL, HALF.items(), prompt_version="v2")
        assert "specific has changed since its passport was made" in self.refusal(desk)
        audit(desk.store, Task.TAGS, MODEL)
        assert self.refusal(desk) == "None"

    def test_a_passport_is_of_one_task(self, desk: Any) -> None:
        desk.label("human:ann", HALF.items())
        desk.label(MODEL, HALF.items())
        audit(desk.store, Task.TAGS, MODEL)
        assert trusted(desk.store, MODEL, Task.INTERESTS, Judge()) is not None
