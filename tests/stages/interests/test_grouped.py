"""The `grouped` strategy over many nights: what is asked of the model, and that no interest comes and goes."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from diary import NIGHT, Diary

from recgpt.grouping import FADED_DAYS, STAY_DAYS, Group, Standing
from recgpt.stages.interests.grouped import Fate, fates
from recgpt.stages.interests.memory import MemoryUnit
from recgpt.store.tables import Interest, Rejection
from recgpt.words import Horizon, Operation, State

LASTING = [300, 250, 200, 150, 100, 50]
LONG, SHORT = Horizon.LONG_TERM, Horizon.SHORT_TERM


@pytest.fixture
def diary(project: Any) -> Diary:
    """A user who bakes: bought something and looked at more."""
    diary = Diary(project, "grouped")
    diary.did(LASTING, "Baking")
    diary.did([260, 90], "Baking", 10, "purchase")
    diary.names = lambda text: "home baking" if "baking" in text else text.removeprefix("- ").split(":")[0]
    return diary


def test_a_group_is_named_once_and_then_kept(baker: Diary, asked: Callable[[], int]) -> None:
    [before] = baker.memory(30)
    assert (before.name, before.horizon, before.reason, len(before.evidence)) == (
        "home baking",
        LONG,
        "8 items on 8 days",
        8,
    )
    asked()
    baker.did([25, 20], "Baking", 12)
    assert baker.run(19)["notes"] == {"delta": 1, "keep": 1}
    baker.did([18, 17, 12], "Baking", 14)
    assert baker.run(11)["notes"] == {"delta": 1, "keep": 1}
    assert asked() == 0
    [after] = baker.memory(11)
    assert (after.id, after.version, len(after.evidence)) == (before.id, 1, 13)
    assert baker.memory(30) == (before,)


def test_only_a_new_group_is_asked_about(baker: Diary) -> None:
    baker.did([28, 22, 16, 10, 5], "Yoga", behaviour="favourite")
    baker.did([9], "Baking", 12)
    [text] = baker.asked(4)
    assert {line.split(":")[0] for line in text.splitlines()} == {"- yoga"}
    assert [(unit.name, unit.horizon) for unit in baker.memory(4)] == [("home baking", LONG), ("yoga", SHORT)]


def test_a_phase_that_lasts_becomes_long_term_without_a_question(diary: Diary, asked: Callable[[], int]) -> None:
    diary.did([88, 84, 78, 75, 72], "Yoga")
    diary.did([80, 73], "Yoga", 10, "purchase")
    diary.run(69)
    young = next(unit for unit in diary.memory(69) if unit.name == "yoga")
    assert young.horizon == SHORT
    asked()
    diary.did([60, 48, 41], "Yoga", 5, "purchase")
    assert diary.run(20)["notes"] == {"delta": 1, "keep": 1, "revise": 1}
    old = next(unit for unit in diary.memory(20) if unit.name == "yoga")
    assert asked() == 0
    assert (old.name, old.horizon, old.version, old.request_hash) == ("yoga", LONG, 2, young.request_hash)
    assert len(old.evidence) == 10


def test_a_phase_that_goes_on_is_not_dropped_and_one_that_ends_is(diary: Diary) -> None:
    diary.did([98, 92, 86], "Yoga")
    diary.did([91], "Yoga", 8, "purchase")
    diary.run(79)
    assert {unit.name: unit.horizon for unit in diary.memory(79)} == {"home baking": LONG, "yoga": SHORT}
    diary.did([62, 45], "Yoga", 9)  # too old to be young, too light to be long-term, and still going on
    diary.run(36)
    assert {unit.name: unit.horizon for unit in diary.memory(36)} == {"home baking": LONG, "yoga": SHORT}
    diary.did([0], "Baking", 12)
    diary.run(0)
    assert [unit.name for unit in diary.memory(0)] == ["home baking"]
    [row] = diary.project.rows(Interest, Interest.state == State.RETIRED)
    assert (row.name, row.retired_because) == ("yoga", "its time is over")


def test_a_faded_interest_is_retired_once_with_the_reason(project: Any) -> None:
    """The last baking was 190 days before NIGHT; every few days the user looks at something else."""
    diary, alive = Diary(project, "grouped"), {}
    diary.did([440, 390, 340, 290, 240, 190], "Baking")
    diary.did([400, 230], "Baking", 10, "purchase")
    diary.run(60)
    for ago in range(50, 5, -3):
        diary.log([(ago, "Tea", ago % 18, "view")])
        diary.run(ago)
        alive[190 - ago] = [unit.name for unit in diary.memory(ago) if unit.name == "baking"]
    assert [idle for idle in alive if not alive[idle]] == [idle for idle in alive if idle > FADED_DAYS + STAY_DAYS]
    [row] = diary.project.rows(Interest, Interest.name == "baking")
    assert (row.retired_because, row.version) == ("faded: long without an event", 1)


def test_at_a_full_reading_all_are_asked_about_and_what_is_called_the_same_stays(baker: Diary) -> None:
    baker.did([28, 22, 16, 10], "Yoga", behaviour="favourite")
    baker.run(5)
    baker.project.configure(interests={"strategy": "grouped", "reread_days": 20})
    baker.names = lambda text: "baking at home" if "baking" in text else "woodcraft"
    baker.did([4, 3], "Yoga", 5, "purchase")
    baker.did([4, 3], "Baking", 5, "purchase")
    counts = baker.run(2)
    assert counts["notes"] == {"full: due": 1, "keep": 1, "revise": 1}
    assert [(unit.name, unit.version) for unit in baker.memory(2)] == [("home baking", 1), ("woodcraft", 2)]


def test_a_name_refused_at_a_full_reading_leaves_the_unit_as_it_was(baker: Diary) -> None:
    baker.project.configure(interests={"strategy": "grouped", "min_days": 4})
    baker.names = lambda text: "falconry"  # an example of the prompt
    baker.did([4], "Baking", 9, "purchase")
    assert baker.run(2)["notes"] == {"full: rules": 12, "keep": 1}
    assert {row.gate for row in baker.project.rows(Rejection)} == {"prompt_example"}
    [unit] = baker.memory(2)
    assert (unit.name, unit.version, len(unit.evidence)) == ("home baking", 1, 9)


def test_a_name_that_tonight_s_rules_refuse_goes(baker: Diary) -> None:
    baker.project.configure(interests={"strategy": "grouped", "sensitive": ["baking"]})
    counts = baker.run(2)
    assert counts["notes"] == {"full: rules": 12, "retire": 1}
    assert baker.memory(2) == ()
    [row] = baker.project.rows(Interest)
    assert row.retired_because == "its name is refused: sensitive"


def test_two_groups_of_one_meaning_are_one_interest(baker: Diary) -> None:
    baker.did([28, 22, 16, 10, 5], "Yoga", behaviour="favourite")
    baker.names = lambda text: "baking at home"
    counts = baker.run(4)
    assert counts["refused"] == {"duplicate": 1}
    assert [unit.name for unit in baker.memory(4)] == ["home baking"]


def test_no_more_than_asked_and_what_is_there_comes_first(baker: Diary) -> None:
    baker.did([28, 22, 16, 10, 5], "Yoga", behaviour="purchase")
    baker.project.configure(interests={"strategy": "grouped", "max_interests": 1})
    assert baker.run(4)["notes"]["full: rules"] == 12
    assert [unit.name for unit in baker.memory(4)] == ["home baking"]


# What becomes of groups and units, on groups given by hand.


def group(
    events: Sequence[int], horizon: Horizon | None = LONG, why_not: str = "", stays: Sequence[Horizon] = ()
) -> Group:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Group((0,), tuple(events), (), Standing(10.0, horizon, why_not, frozenset(stays)), at, at)


def unit(id_: int, horizon: Horizon = LONG) -> MemoryUnit:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return MemoryUnit(id_, "u", f"unit {id_}", horizon, "", (), at, at, 1, Operation.ADD, NIGHT, None)


def decided(
    groups: Sequence[Group],
    known: dict[int, set[int]],
    *,
    since: int = 100,
    full: str = "",
    most: int = 12,
    **horizons: Horizon,
) -> tuple[list[Fate], dict[int, str]]:
    rules = SimpleNamespace(max_interests=most)
    reading: Any = SimpleNamespace(
        units=[unit(id_, horizons.get(f"u{id_}", LONG)) for id_ in known],
        known=lambda one: known[one.id],
        since=since,
        full=full,
        night=SimpleNamespace(config=SimpleNamespace(interests=rules)),
    )
    found, gone = fates(reading, groups)
    return found, {one.id: why for one, why in gone}


def said(found: Sequence[Fate]) -> list[tuple[int | None, Horizon, bool]]:
    return [(one.unit.id if one.unit else None, one.horizon, one.asked) for one in found]


def test_new_events_alone_are_no_move() -> None:
    found, gone = decided([group([1, 2, 3, 101, 102, 103, 104, 105])], {1: {1, 2, 3}})
    assert said(found) == [(1, LONG, False)]
    assert not gone


def test_a_group_that_is_mostly_other_old_events_has_moved() -> None:
    assert said(decided([group([1, 2, 3, 4, 5, 6, 7])], {1: {1, 2, 3}})[0]) == [(1, LONG, True)]
    assert said(decided([group([1, 2, 3, 4, 5, 6])], {1: {1, 2, 3}})[0]) == [(1, LONG, False)]


def test_a_unit_whose_evidence_came_apart_goes_on_as_the_largest_part_and_is_asked_about() -> None:
    parts = [group([5, 6, 7, 8]), group([1, 2]), group([3, 9])]
    found, gone = decided(parts, {1: {1, 2, 3, 5, 6, 7, 8, 20, 21}})
    assert said(found) == [(1, LONG, True), (None, LONG, True), (None, LONG, True)]
    assert not gone


def test_of_two_units_in_one_group_the_greater_goes_on() -> None:
    found, gone = decided([group(range(8))], {1: {0, 1, 2}, 2: {3, 4, 5, 6, 7}})
    assert said(found) == [(2, LONG, False)]
    assert gone == {1: "merged with 'unit 2'"}


def test_a_unit_without_a_group_is_gone_with_the_reason() -> None:
    nothing = {"horizon": None}
    for why_not, why in (("faded", "faded: long without an event"), ("burst", "what is left of it came in one burst")):
        assert decided([group([1, 2], why_not=why_not, **nothing)], {1: {1, 2}})[1] == {1: why}
    assert decided([group([1, 2], why_not="burst", **nothing)], {1: {1, 2}}, u1=SHORT)[1] == {1: "its time is over"}
    assert decided([group([1, 2])], {1: {7}})[1] == {1: "its evidence is no longer in the logs"}
    assert decided([], {1: {7}})[1] == {1: "its evidence is no longer in the logs"}


def test_a_unit_stays_by_the_softer_rule_of_its_own_horizon() -> None:
    for horizon, other in ((LONG, SHORT), (SHORT, LONG)):
        found, _ = decided([group([1, 2], None, "burst", [horizon])], {1: {1, 2}}, u1=horizon)
        assert said(found) == [(1, horizon, False)]
        found, gone = decided([group([1, 2], None, "burst", [other])], {1: {1, 2}}, u1=horizon)
        assert not found
        assert gone
    # A group that nobody holds must pass the full rule.
    assert decided([group([1, 2], None, "burst", [LONG, SHORT])], {})[0] == []


def test_long_term_stays_long_term() -> None:
    assert said(decided([group([1, 2], SHORT)], {1: {1, 2}}, u1=LONG)[0]) == [(1, LONG, False)]
    assert said(decided([group([1, 2], LONG)], {1: {1, 2}}, u1=SHORT)[0]) == [(1, LONG, False)]


def test_a_full_reading_asks_about_all_and_new_ones_only_have_what_room_there_is() -> None:
    groups = [group([1, 2]), group([3, 4]), group([5, 6])]
    assert said(decided(groups, {1: {5, 6}}, full="due")[0]) == [
        (1, LONG, True),
        (None, LONG, True),
        (None, LONG, True),
    ]
    found, _ = decided(groups, {1: {5, 6}}, most=2)
    assert said(found) == [(1, LONG, False), (None, LONG, True)]
    assert found[1].group == groups[0]
