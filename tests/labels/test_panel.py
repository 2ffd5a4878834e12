"""What several judges say together, counted by hand."""

from typing import Any

import pytest

from judges import Criterion, Verdict
from recgpt.labels.panel import level, panel, panel_id, sit
from recgpt.labels.store import labels
from recgpt.store.tables import JudgeThreshold
from recgpt.words import JudgeKind, Task

Criteria = dict[str, Criterion]
YES, NO = Verdict(True, None, None, "y"), Verdict(False, None, None, "n")


def at(p: float, cut: float = 0.5, evidence: str = "") -> Verdict:
    return Verdict(p >= cut, p, cut, evidence)


def test_a_majority_is_more_than_half() -> None:
    assert panel([YES, NO, YES], "majority") == Verdict(True, pytest.approx(2 / 3), 0.5, "y")
    assert panel([YES, NO, NO], "majority") == Verdict(False, pytest.approx(1 / 3), 0.5, "n")
    assert panel([YES, NO], "majority") is None
    assert panel([], "majority") is panel([], "mean") is None
    # A fitted threshold is a rule of its own: here a single yes is enough.
    assert panel([YES, NO, NO], "majority", 0.3) == Verdict(True, pytest.approx(1 / 3), 0.3, "y")


def test_a_mean_puts_each_judges_threshold_at_one_half() -> None:
    assert [level(at(p, 0.2)) for p in (0.0, 0.1, 0.2, 0.6, 1.0)] == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    assert (level(at(0.0, 0.0)), level(at(1.0, 1.0)), level(at(0.9, 1.0))) == (0.5, 1.0, pytest.approx(0.45))
    assert (level(YES), level(NO)) == (1.0, 0.0)
    # The shy judge's 0.12 is a firm yes (0.6 over a cut of 0.02...), the other's 0.45 a narrow no.
    shy, other = at(0.216, 0.02), at(0.45)
    assert panel([shy, other], "mean") == Verdict(True, pytest.approx((0.6 + 0.45) / 2), 0.5, "")
    assert panel([shy, other], "mean", 0.6).verdict is False


def test_a_panel_is_known_by_its_members_and_its_rule() -> None:
    one = panel_id(["a@1", "b@1"], "mean")
    assert one == panel_id(["b@1", "a@1"], "mean")
    assert one.startswith("panel:mean:")
    assert len({one, panel_id(["a@1", "b@1"], "majority"), panel_id(["a@1", "b@2"], "mean")}) == 3


@pytest.fixture
def members() -> dict[str, list[str]]:
    return {"a@1": ["valid", "specific"], "b@1": ["valid"], "c@1": ["valid"]}


def seen(shelf: Any) -> dict[tuple[int, str], tuple[bool, float | None]]:
    rows = [row for row in labels(shelf.store, Task.TAGS) if row.kind == JudgeKind.PANEL]
    assert {row.judge for row in rows} <= {panel_id(["a@1", "b@1", "c@1"], "majority")}
    return {(row.target_id, row.criterion): (row.verdict, row.p_yes) for row in rows}


def test_labels_of_the_members_become_the_panels(shelf: Any, tags: Criteria, members: dict[str, list[str]]) -> None:
    versions = {name: tags[name].version for name in ("valid", "specific")}

    def work() -> int:
        return sit(shelf.store, Task.TAGS, members, versions, "majority", [1, 2, 3, 4])

    shelf.label("a@1", tags["valid"], [(1, True), (2, True), (3, True)], tokens=10, evidence="torch")
    shelf.label("b@1", tags["valid"], [(1, False), (2, False)], tokens=5)
    shelf.label("c@1", tags["valid"], [(1, True)], tokens=1)
    shelf.label("c@1", tags["valid"], [(2, True)], prompt_version="sha256:old")
    shelf.label("x@1", tags["valid"], [(4, True)])
    shelf.label("a@1", tags["specific"], [(1, False)])
    assert work() == 2
    # 2: the two that spoke are even, and 3: one of three is no panel. `specific` is asked of one judge only.
    assert seen(shelf) == {(1, "valid"): (True, pytest.approx(2 / 3)), (1, "specific"): (False, 0.0)}
    (row,) = labels(shelf.store, Task.TAGS, targets=[1], criteria=["valid"], judges=[panel_id(members, "majority")])
    assert (row.tokens, row.evidence, row.prompt_version) == (16, "torch", versions["valid"])
    assert work() == 0
    shelf.label("c@1", tags["valid"], [(1, False), (2, False)])
    assert work() == 2
    assert seen(shelf)[1, "valid"] == (False, pytest.approx(1 / 3))
    assert seen(shelf)[2, "valid"] == (False, pytest.approx(1 / 3))


def test_a_panel_that_is_even_now_says_nothing_any_more(shelf: Any, tags: Criteria) -> None:
    two = {"a@1": ["valid"], "b@1": ["valid"]}
    shelf.label("a@1", tags["valid"], [(1, True)])
    shelf.label("b@1", tags["valid"], [(1, True)])
    versions = {"valid": tags["valid"].version}
    assert sit(shelf.store, Task.TAGS, two, versions, "majority", [1]) == 1
    shelf.label("b@1", tags["valid"], [(1, False)])
    assert sit(shelf.store, Task.TAGS, two, versions, "majority", [1]) == 0
    assert [row.kind for row in labels(shelf.store, Task.TAGS)] == [JudgeKind.MODEL, JudgeKind.MODEL]


def test_the_panels_own_threshold_is_used(shelf: Any, tags: Criteria) -> None:
    members = {"a@1": ["valid"], "b@1": ["valid"], "c@1": ["valid"]}
    version = tags["valid"].version
    for name, verdict in (("a@1", True), ("b@1", False), ("c@1", False)):
        shelf.label(name, tags["valid"], [(1, verdict)])
    shelf.put(
        JudgeThreshold(judge=panel_id(members, "majority"), prompt_version=version, task="tags", criterion="valid",
                       value=0.3, auc=1.0, sensitivity=1.0, specificity=1.0, cases=10, fitted_on="sha256:0")
    )  # fmt: skip
    assert sit(shelf.store, Task.TAGS, members, {"valid": version}, "majority", [1]) == 1
    assert seen(shelf) == {(1, "valid"): (True, pytest.approx(1 / 3))}
