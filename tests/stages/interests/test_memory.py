"""The memory of interests over many nights: what is read and asked about each night, and what reads back later."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta

import pyarrow.parquet as pq
import pytest
from diary import NIGHT, Diary, interest, numbers, operation, says, unit_number

from recgpt.errors import StoreError
from recgpt.sources.prepare import prepare
from recgpt.stages.interests.memory import EVIDENCE
from recgpt.store.tables import Interest, Memory, Unit
from recgpt.tracing import show
from recgpt.words import Horizon, Operation, Stage


def test_the_first_night_reads_all_and_remembers_how_far(diary: Diary) -> None:
    counts = diary.run(30)
    [unit] = diary.memory(30)
    assert (unit.name, unit.version, unit.operation, len(unit.evidence)) == ("home baking", 1, Operation.ADD, 6)
    assert {entry["night"] for entry in unit.evidence} == {"2026-10-01"}
    assert (NIGHT - unit.first_seen.date()).days == 300
    assert (NIGHT - unit.last_confirmed.date()).days == 50
    assert counts["notes"] == {"add": 1, "full: first": 12}
    noted = {row.user_id: row for row in diary.project.rows(Memory)}
    assert len(noted) == 12
    assert (NIGHT - noted[diary.user].read_until.date()).days == 50


def test_nothing_new_asks_nothing_on_any_night(baker: Diary, asked: Callable[[], int]) -> None:
    asked()
    for ago in (30, 29, 0):
        counts = baker.run(ago)
        assert counts["untouched"] == 12
    assert asked() == 0
    baker.did([10], "Baking", 6)
    baker.operations = says(operation("keep", evidence="Baking"))
    assert baker.run(5)["notes"] == {"delta": 1, "keep": 1}
    assert asked() == 1
    assert baker.run(5)["untouched"] == 12
    assert asked() == 0


def test_weak_signs_are_no_news(baker: Diary, asked: Callable[[], int]) -> None:
    baker.did([10], "Baking", 6, "click")
    asked()
    assert baker.run(5)["untouched"] == 12
    assert asked() == 0


def test_a_changed_base_feature_reads_nothing_again(baker: Diary, asked: Callable[[], int]) -> None:
    users = baker.project.folder / "data" / "users.parquet"
    table = pq.read_table(users)
    baker.project.configure(interests={"strategy": "read"}, data={"base_features": ["age"]})
    baker.run(29)
    older = table.set_column(
        table.schema.get_field_index("age"), "age", [[age + 1 for age in table["age"].to_pylist()]]
    )
    pq.write_table(older.cast(table.schema), users)
    asked()
    assert baker.run(28)["notes"] == {"delta": 12}  # there is a text to show, but nothing to show in it
    assert asked() == 0


def test_a_new_item_in_the_catalogue_is_no_news(baker: Diary) -> None:
    items = baker.project.folder / "data" / "items.parquet"
    table = pq.read_table(items)
    first = table.slice(0, 1).to_pylist()[0] | {"item_id": "a0000"}  # all rows move by one
    pq.write_table(table.from_pylist([first, *table.to_pylist()], schema=table.schema), items)
    assert baker.run(5)["untouched"] == 12


def test_later_nights_are_shown_the_memory_and_what_came_since(baker: Diary) -> None:
    baker.did([10], "Baking", 6)
    baker.did([9], "Tea")
    [text] = baker.asked(5)
    assert "M1 home baking (long_term, 2026-01-04 to 2026-09-11, 6 events on 6 days): " in text
    assert len(numbers(text, "Baking")) == 1
    assert len(numbers(text, "Tea")) == 1
    assert text.count("2026 Oct") == 2  # and no line of what the unit rests on
    assert text.index("<environment>\nSeason: autumn") < text.index("<memory>") < text.index("<events>")


def test_an_interest_that_shows_itself_slowly_is_found(baker: Diary) -> None:
    baker.did([24, 17], "Tea")
    baker.did([24], "Cycling")
    baker.run(16)
    assert len(baker.memory(16)) == 1
    baker.did([5], "Tea", 2)
    [text] = baker.asked(5)
    assert len(numbers(text, "Tea")) == 3  # the earlier ones too: no unit holds them, and they are like the new one
    assert not numbers(text, "Cycling")
    assert not numbers(text, "Baking")
    baker.did([4], "Tea", 3)
    baker.operations = says(
        operation("add", 0, evidence="Tea", name="tea drinking", horizon="short_term"),
        operation("keep", 1),
    )
    baker.run(4)
    assert [(unit.name, unit.horizon, len(unit.evidence)) for unit in baker.memory(4)] == [
        ("home baking", Horizon.LONG_TERM, 6),
        ("tea drinking", Horizon.SHORT_TERM, 4),
    ]


def test_searches_are_evidence_and_loose_ends_too(baker: Diary) -> None:
    baker.log([(24, "Tea", 0, "search"), (20, "Cycling", 0, "search")])
    baker.run(16)
    baker.log([(5, "Tea", 1, "view"), (5, "Tea", 2, "view")])
    [text] = baker.asked(5)
    assert '"Tea"' in text
    assert '"Cycling"' not in text
    baker.log([(3, "Tea", 1, "search")])
    baker.operations = says(operation("add", 0, evidence="Tea", name="tea drinking", horizon="short_term"))
    baker.run(2)
    assert {entry.get("query") for entry in baker.memory(2)[1].evidence} == {None, "Tea"}


def test_all_is_read_again_when_it_is_due(baker: Diary) -> None:
    baker.project.configure(interests={"strategy": "read", "reread_days": 20})
    baker.did([15, 9], "Baking", 6)
    assert baker.run(11)["notes"] == {"delta": 1}
    [text] = baker.asked(8)
    assert "<profile>" in text
    [row] = baker.project.rows(Memory, Memory.user_id == baker.user)
    assert (NIGHT - row.full_night).days == 8
    assert len(baker.memory(8)[0].evidence) == 8  # kept, with what it did not have
    assert baker.memory(8)[0].version == 1


def test_what_changes_the_reading_has_all_read_again(baker: Diary, asked: Callable[[], int]) -> None:
    baker.project.configure(interests={"strategy": "read", "min_items": 2})
    asked()
    assert baker.run(20)["notes"] == {"full: rules": 12, "keep": 1}
    assert asked() == 0  # the same text was asked about before: its answer is read by the new rules
    baker.project.configure(interests={"strategy": "read", "min_items": 2}, engine={"revision": "r2"})
    assert baker.run(19)["notes"]["full: rules"] == 12
    assert asked() == 1
    baker.project.configure(
        interests={"strategy": "read", "min_items": 2, "reread_days": 3, "drift": 0.5}, engine={"revision": "r2"}
    )
    assert baker.run(18)["untouched"] == 12  # when to read is no rule of what comes of it


def test_events_that_come_in_late_have_all_read_again(baker: Diary) -> None:
    baker.did([70], "Baking", 7)
    counts = baker.run(5)
    assert counts["notes"] == {"full: late events": 1, "keep": 1}
    assert len(baker.memory(5)[0].evidence) == 7
    baker.did([4], "Baking", 8)
    assert baker.run(3)["notes"] == {"delta": 1}


def test_drift_has_all_read_again(baker: Diary) -> None:
    baker.project.configure(interests={"strategy": "read", "drift": 0.7})
    baker.did(range(60, 46, -1), "Baking", 0)
    baker.run(29)  # late events: all is read, and what came before that night is what drift is held against
    baker.log([(28 - n // 5, "Tea" if n % 2 else "Yoga", n % 18, "view") for n in range(19)])
    assert baker.run(20)["notes"] == {"delta": 1}
    baker.log([(19, "Cycling", 1, "view"), (19, "Camping", 1, "view")])
    notes = baker.run(18)["notes"]
    assert notes["full: drift"] == 1


def test_a_full_reading_is_held_against_the_memory(baker: Diary) -> None:
    baker.did([28, 20, 12, 4], "Tea")
    baker.did([26, 18, 10, 3], "Yoga")
    baker.project.configure(interests={"strategy": "read", "reread_days": 1})
    baker.found = lambda text: [
        interest("home baking", numbers(text, "Baking")),
        interest("tea drinking", numbers(text, "Tea"), "short_term"),
    ]
    baker.run(3)
    baking, tea = baker.memory(3)
    baker.did([2], "Tea", 5)
    baker.found = lambda text: [
        interest("enjoying oolong", numbers(text, "Tea"), "short_term"),  # the same evidence under another name
        interest("practising yoga", numbers(text, "Yoga"), "short_term"),
    ]
    counts = baker.run(2)
    assert counts["notes"] == {"add": 1, "full: due": 1, "retire": 1, "revise": 1}
    oolong, yoga = baker.memory(2)
    assert (oolong.name, oolong.version) == ("enjoying oolong", 2)
    assert (yoga.name, yoga.version) == ("practising yoga", 1)
    [row] = baker.project.rows(Interest, Interest.id == baking.id)
    assert row.retired_because == "not found when everything was read again"
    baker.did([1], "Tea", 6)
    baker.found = lambda text: [interest("Enjoying oolong.", numbers(text, "Tea"), "short_term"),
                                interest("yoga practice", numbers(text, "Yoga"), "short_term")]  # fmt: skip
    assert baker.run(1)["notes"] == {"full: due": 1, "keep": 2}
    assert [unit.name for unit in baker.memory(1)] == ["enjoying oolong", "practising yoga"]
    assert tea.id not in {unit.id for unit in baker.memory(1)}


def test_every_past_night_reads_back_as_it_was(baker: Diary) -> None:
    """Also where a unit's evidence outgrows what is kept of it."""
    baker.operations = lambda text: (
        [operation("keep", unit_number(text, "home baking"), numbers(text, "Baking"))]
        if numbers(text, "Baking")
        else []
    )
    snapshots = {30: baker.memory(30)}
    for ago in range(29, 23, -1):
        baker.log([(ago, "Baking", number % 18, "view" if number < 18 else "favourite") for number in range(90)])
        baker.run(ago)
        snapshots[ago] = baker.memory(ago)
    baker.did([22], "Tea")
    baker.operations = says(operation("retire", 1, reason="enough"))
    baker.run(22)
    snapshots[22] = baker.memory(22)
    assert [len(units[0].evidence) for ago, units in snapshots.items() if ago > 22] == [6, 96, 186, *[EVIDENCE] * 4]
    assert {ago: baker.memory(ago) for ago in snapshots} == snapshots
    rows = baker.project.rows(Interest)
    assert max(len(row.evidence) for row in rows) <= 2 * EVIDENCE
    assert [row.version for row in rows] == [1, 2]
    assert snapshots[24][0].last_confirmed > snapshots[25][0].last_confirmed


def test_nights_go_forward(baker: Diary, asked: Callable[[], int]) -> None:
    baker.run(10)
    baker.did([40], "Baking", 9)
    baker.run(9)
    asked()
    for options in ({}, {"dry_run": True}):
        with pytest.raises(StoreError, match=r"nights go forward.*2026-10-22 or later.*store\.url"):
            baker.run(31, **options)
    assert asked() == 0
    assert baker.run(9)["untouched"] == 12


def test_a_dry_run_says_what_is_to_come_and_changes_nothing(baker: Diary, asked: Callable[[], int]) -> None:
    baker.did([10], "Baking", 6)
    asked()
    counts = baker.run(5, dry_run=True)
    assert (counts["to_ask"], counts["untouched"]) == (1, 11)
    assert asked() == 0
    assert baker.memory(5) == baker.memory(30)
    assert {row.night for row in baker.project.rows(Memory)} == {NIGHT - timedelta(days=30)}
    baker.run(5)
    assert asked() == 1


def test_a_run_that_stops_between_users_goes_on_with_the_rest(baker: Diary) -> None:
    for place, user in enumerate(baker.users[:6]):
        baker.did([28 - place, 20, 12, 6], "Yoga", user=user)
    baker.operations = says(operation("add", 0, evidence="Yoga", name="yoga", horizon="short_term"))
    baker.found = lambda text: [interest("yoga", numbers(text, "Yoga"), "short_term")]
    baker.project.configure(interests={"strategy": "read"}, engine={"in_flight": 1})
    before = len(baker.project.server.requests)
    baker.run(5, max_tokens=1200)
    stopped = len(baker.project.server.requests) - before
    assert 0 < stopped < 6
    counts = baker.run(5)
    posted = Counter(json.dumps(body) for body in baker.project.server.requests[before:])
    assert len(posted) == 6
    assert max(posted.values()) == 1
    assert counts["ok"] == 12
    for user in baker.users[:6]:
        yoga = [unit for unit in baker.memory(5, user) if unit.name == "yoga"]
        assert [(unit.version, len(unit.evidence)) for unit in yoga] == [(1, 4)]


def test_show_reads_a_night_back(baker: Diary) -> None:
    baker.did([10], "Baking", 6)
    baker.operations = says(operation("revise", evidence="Baking", name="baking sourdough", horizon="long_term"))
    baker.run(5)
    logs, project = prepare(baker.project.config), baker.project
    day = NIGHT - timedelta(days=6)
    [then] = show(project.config, project.store, logs, baker.user, day)["interests"]
    [now] = show(project.config, project.store, logs, baker.user)["interests"]
    assert (then["name"], then["version"], then["operation"], then["evidence"]) == ("home baking", 1, "add", 6)
    assert (now["name"], now["version"], now["operation"], now["evidence"]) == ("baking sourdough", 2, "revise", 7)
    assert show(project.config, project.store, logs, baker.user, date(2000, 1, 1))["interests"] == []


def test_a_stage_s_units_are_the_users(baker: Diary) -> None:
    assert {row.key for row in baker.project.rows(Unit, Unit.stage == Stage.INTERESTS)} == set(baker.users)
