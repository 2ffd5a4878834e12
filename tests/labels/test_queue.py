"""In which order a person is asked, worked out by hand."""

from typing import Any

import pytest

from judges import Criterion
from recgpt.labels.queue import Queued, queue
from recgpt.labels.store import labels
from recgpt.words import Task

Criteria = dict[str, Criterion]


@pytest.fixture
def ids(shelf: Any) -> list[int]:
    interest = shelf.interest()
    return [shelf.tag(interest, f"tag {number}") for number in range(8)]


def asked(shelf: Any, logs: Any, criteria: Criteria, name: str = "eva", **options: Any) -> list[Queued]:
    options = {"random_share": 0.0, **options}
    return list(queue(shelf.store, logs, shelf.config, Task.TAGS, name, criteria, **options))


def order(found: list[Queued]) -> list[tuple[int, str]]:
    return [(one.target.id, one.why) for one in found]


@pytest.fixture
def one(tags: Criteria) -> Criteria:
    return {"specific": tags["specific"]}


def test_disagreement_comes_first_then_the_unjudged_then_the_least_sure(
    shelf: Any, logs: Any, one: Criteria, ids: list[int]
) -> None:
    a, b, c, d, e = ids[:5]
    specific = one["specific"]
    shelf.label("x@1", specific, [(a, True), (b, True), (c, True)])
    shelf.label("y@1", specific, [(a, True), (b, False), (c, True)])
    shelf.label("import:z", specific, [(c, False)])
    # b: 1 of 2, c: 2 of 3. Nobody has said anything of ids[5:]. d is nearer to its threshold than e.
    shelf.label("x@1", specific, [(d, True)], p_yes=0.55, threshold=0.5)
    shelf.label("x@1", specific, [(e, True)], p_yes=0.9, threshold=0.5)
    found = order(asked(shelf, logs, one))
    assert found[:2] == [(b, "disagreement"), (c, "disagreement")]
    assert sorted(found[2:5]) == [(number, "unlabelled") for number in ids[5:]]
    assert found[5:] == [(d, "uncertain"), (e, "uncertain"), (a, "uncertain")]
    assert {queued.weight for queued in asked(shelf, logs, one)} == {0.0}


def test_how_far_from_the_threshold_is_measured_on_its_own_side(
    shelf: Any, logs: Any, one: Criteria, ids: list[int]
) -> None:
    a, b, c, *rest = ids
    shelf.label("x@1", one["specific"], [(a, True)], p_yes=0.5, threshold=0.1)  # 4/9 of the way to 1
    shelf.label("x@1", one["specific"], [(b, False)], p_yes=0.04, threshold=0.1)  # 6/10 of the way to 0
    shelf.label("x@1", one["specific"], [(c, True)], p_yes=1.0, threshold=1.0)  # no room at all
    shelf.label("x@1", one["specific"], [(number, True) for number in rest])
    assert [number for number, _ in order(asked(shelf, logs, one))][:3] == [c, a, b]


def test_what_one_labelled_is_asked_of_others_only(shelf: Any, logs: Any, tags: Criteria, ids: list[int]) -> None:
    shelf.label("human:eva", tags["valid"], [(ids[0], True)])
    shelf.label("human:tom", tags["valid"], [(ids[0], False)])
    for name, criteria in (("eva", {"specific"}), ("tom", {"specific"}), ("ann", {"specific", "valid"})):
        found = asked(shelf, logs, {key: tags[key] for key in ("specific", "valid")}, name)
        assert {key for queued in found if queued.target.id == ids[0] for key in queued.criteria} == criteria
    first = asked(shelf, logs, {key: tags[key] for key in ("specific", "valid")}, "ann")[0]
    # The two people disagree on one criterion of it; the other, which nobody judged, has its own turn.
    assert (first.target.id, first.criteria, first.why) == (ids[0], ("valid",), "disagreement")


def test_labels_of_another_version_superseded_ones_and_panels_do_not_count(
    shelf: Any, logs: Any, one: Criteria, ids: list[int]
) -> None:
    specific, a, b, c = one["specific"], *ids[:3]
    shelf.label("human:eva", specific, [(a, True)], prompt_version="old")
    shelf.label("x@1", specific, [(b, True), (c, True)])
    shelf.label("panel:p", specific, [(b, False)])
    shelf.label("y@1", specific, [(c, False)])
    shelf.label("y@1", specific, [(c, True)])
    found = dict(order(asked(shelf, logs, one)))
    assert (found[a], found[b], found[c]) == ("unlabelled", "uncertain", "uncertain")
    assert [row.verdict for row in labels(shelf.store, Task.TAGS, judges=["y@1"])] == [True]


def test_rows_that_are_retired_are_not_asked(shelf: Any, logs: Any, one: Criteria, ids: list[int]) -> None:
    gone = shelf.tag(shelf.interest(), "gone", state="retired")
    assert gone not in {number for number, _ in order(asked(shelf, logs, one))}


def test_the_rows_of_chance_are_the_same_for_all_and_are_asked_for_no_other_reason(
    shelf: Any, logs: Any, one: Criteria
) -> None:
    interest = shelf.interest()
    ids = [shelf.tag(interest, f"tag {number}") for number in range(200)]
    before = asked(shelf, logs, one, random_share=0.25)
    chance = {queued.target.id for queued in before if queued.why == "random"}
    assert 30 < len(chance) < 70
    assert {queued.weight for queued in before if queued.why == "random"} == {1.0}
    first = [queued.target.id for queued in before if queued.why == "random"]
    assert first != sorted(first)
    # Half of them are now disputed, and a person has begun: the draw, and its order, stay what they were.
    shelf.label("x@1", one["specific"], [(number, True) for number in ids[::2]])
    shelf.label("y@1", one["specific"], [(number, False) for number in ids[::2]])
    shelf.label("human:tom", one["specific"], [(number, True) for number in first[:5]])
    after = asked(shelf, logs, one, "tom", random_share=0.25)
    assert [queued.target.id for queued in after if queued.why == "random"] == first[5:]
    assert not chance & {queued.target.id for queued in after if queued.why != "random"}
    other = asked(shelf, logs, one, random_share=0.25, seed=1)
    assert {queued.target.id for queued in other if queued.why == "random"} != chance
    # Chance has about its share of the first questions, not its turn at the end.
    assert 15 <= sum(queued.why == "random" for queued in after[:100]) <= 36


def test_all_by_chance_and_nothing_by_chance(shelf: Any, logs: Any, one: Criteria, ids: list[int]) -> None:
    assert {why for _, why in order(asked(shelf, logs, one, random_share=1.0))} == {"random"}
    assert len(asked(shelf, logs, one, random_share=1.0)) == len(ids)
    assert len(asked(shelf, logs, one, random_share=0.5)) == len(ids)
    assert len(asked(shelf, logs, one, limit=3)) == 3
