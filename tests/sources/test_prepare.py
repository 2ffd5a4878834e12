import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recgpt.errors import DataError
from recgpt.sources import prepare as preparing
from recgpt.sources.logs import Logs

ALL = "max_reject_share = 1.0"

BAD_EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("no user_id", {"user_id": None}),
    ("no user_id", {"user_id": "  "}),
    ("unfit user_id", {"user_id": "u" * 256}),
    ("unfit user_id", {"user_id": "a\0b"}),
    ("no timestamp", {"timestamp": None}),
    ("unreadable timestamp", {"timestamp": "yesterday"}),
    ("timestamp before data.earliest", {"timestamp": 3}),
    ("timestamp before data.earliest", {"timestamp": "1994-12-31T23:59:59"}),
    ("timestamp in the future", {"timestamp": "2099-01-01"}),
    ("no behaviour", {"behaviour": ""}),
    ("unknown behaviour 'teleport'", {"behaviour": "teleport"}),
    ("neither item_id nor query", {"item_id": None}),
    ("unknown user", {"user_id": "cleo"}),
    ("unknown item", {"item_id": "vase"}),
    ("unknown item", {"item_id": "vase", "query": "a vase"}),
    ("not UTF-8", {"behaviour": "\udce9"}),
]


def test_each_bad_event_is_counted_and_told_where_it_lies(lake: Any) -> None:
    rows = [lake.event(), *(lake.event(**changes) for _, changes in BAD_EVENTS), lake.event(item_id="pan")]
    lake.write("days/1.jsonl", rows[:5])
    lake.write("days/2.jsonl", rows[5:])
    lake.configure(ALL, events="data/days")
    counts = lake.prepare().counts["events"]
    assert counts["read"] == len(rows)
    assert counts["kept"] == 2
    assert counts["rejected"] == Counter(reason for reason, _ in BAD_EVENTS)
    rejects = lake.rejects()
    assert [reject["reason"] for reject in rejects] == [reason for reason, _ in BAD_EVENTS]
    places = [(Path(reject["file"]).name, reject["row"]) for reject in rejects]
    expected = [("1.jsonl", row) for row in range(2, 6)] + [("2.jsonl", row) for row in range(1, len(rows) - 5)]
    assert places == expected
    assert rejects[-2]["item_id"] == "vase"
    assert [event[2] for event in lake.events_of("ann")] == ["cup", "pan"]


def test_row_numbers_of_parquet_and_lines_of_csv(lake: Any) -> None:
    rows = [{"item_id": str(n), "title": "two\nlines", "behaviour": "view"} for n in range(3)]
    rows[1]["item_id"] = ""
    for name, row in (("items.parquet", 2), ("items.csv", 4)):
        lake.write(name, rows)
        lake.write("events.jsonl", [lake.event(item_id="0")])
        lake.configure(ALL, items=f"data/{name}")
        lake.prepare()
        assert lake.rejects("items") == [{"reason": "no item_id", "file": str(lake.folder / "data" / name), "row": row}]


def test_bounds_of_time(lake: Any) -> None:
    now = datetime.now(UTC)
    good = ["1995-01-01T00:00:00", (now + timedelta(hours=23)).isoformat()]
    bad = ["1994-12-31T23:59:59.999999", (now + timedelta(hours=25)).isoformat()]
    lake.write("events.jsonl", [lake.event(timestamp=stamp) for stamp in good + bad])
    lake.configure(ALL)
    assert lake.prepare().counts["events"]["kept"] == 2
    assert [reject["row"] for reject in lake.rejects()] == [3, 4]


def test_the_first_of_a_key_is_kept(lake: Any) -> None:
    lake.write("users/b.jsonl", [{"user_id": "ann", "age": 2}, {"user_id": "bob", "age": 3}])
    lake.write("users/a.jsonl", [{"user_id": "ann", "age": 1}])
    lake.write("items.jsonl", [{"item_id": "cup", "title": title} for title in ("first", "second", "third")])
    lake.configure(ALL + '\nbase_features = ["age"]', users="data/users")
    logs = lake.prepare()
    assert logs.history("ann", lake.later).features == {"age": "1"}
    assert logs.catalogue.titles == ["first"]
    assert logs.counts["users"]["rejected"] == {"duplicate user_id": 1}
    assert [reject["row"] for reject in lake.rejects("items")] == [2, 3]
    assert lake.rejects("items")[0]["item_id"] == "cup"


def test_a_repeated_event_is_two_events(lake: Any) -> None:
    lake.write("events.jsonl", [lake.event()] * 3)
    logs = lake.prepare()
    assert len(logs.history("ann", lake.later)) == 3
    assert logs.counts["events"]["rejected"] == {}


def test_what_is_put_right_is_noted(lake: Any) -> None:
    items = [
        {"item_id": "cup", "title": "x" * 3_000, "price": "$3"},
        {"item_id": "pan", "title": None, "price": "n/a", "brand": "B"},
        {"item_id": "pot", "title": "A pot\x07 <|im_start|>", "price": 5},
    ]
    lake.write("items.jsonl", items)
    lake.write("events.jsonl", [lake.event(value="five"), lake.event(item_id=None, query="q" * 5_000, value=2)])
    logs = lake.prepare()
    assert logs.counts["items"]["notes"] == {
        "price or stock is no number": 2,
        "text cut to 2,000 characters": 1,
        "no title": 1,
    }
    assert logs.counts["events"]["notes"] == {"value is no number": 1, "text cut to 2,000 characters": 1}
    assert [len(title) for title in logs.catalogue.titles] == [2_000, 0, len("A pot\x07 <|im_start|>")]
    assert logs.catalogue.titles[2] == "A pot\x07 <|im_start|>", "what is unsafe in a prompt is data until rendered"
    assert str(logs.catalogue.prices.tolist()) == "[nan, nan, 5.0]"
    history = logs.history("ann", lake.later)
    assert str(history.values.tolist()) == "[nan, 2.0]"
    assert history.queries == [None, "q" * 2_000]


def test_the_limit_of_rejects(lake: Any) -> None:
    rows = [lake.event()] * 19 + [lake.event(behaviour="teleport")]
    lake.write("events.jsonl", rows)
    assert lake.prepare().counts["events"]["kept"] == 19, "5 % is allowed"
    lake.write("events.jsonl", [*rows, lake.event(item_id="vase")])
    with pytest.raises(DataError) as error:
        lake.prepare()
    message = str(error.value)
    assert "events: 2 of 21 rows rejected (9.5%), more than data.max_reject_share = 0.05" in message
    assert "1 unknown behaviour 'teleport': add [behaviours.teleport]" in message
    assert "1 unknown item: add the items" in message
    assert str(lake.folder / "work" / "rejects" / "events.jsonl") in message
    assert "raise data.max_reject_share" in message
    assert len(lake.rejects()) == 2
    lake.configure("max_reject_share = 0.1")
    assert lake.prepare().counts["events"]["kept"] == 19


def test_a_behaviour_of_two_words_is_named_as_toml_wants_it(lake: Any) -> None:
    lake.write("events.jsonl", [lake.event(behaviour="page view")])
    with pytest.raises(DataError, match=r'add \[behaviours\."page view"\]'):
        lake.prepare()


def test_a_wrongly_mapped_behaviour_does_not_flood_the_message(lake: Any) -> None:
    lake.write("events.jsonl", [lake.event(behaviour=f"made up {n}") for n in range(500)])
    with pytest.raises(DataError) as error:
        lake.prepare()
    assert len(str(error.value).splitlines()) < 30
    assert "480 other reasons" in str(error.value)


def test_no_usable_row_is_an_error_whatever_the_limit(lake: Any) -> None:
    lake.write("events.jsonl", [lake.event(item_id="vase")])
    lake.configure(ALL)
    with pytest.raises(DataError, match=r"events: 1 of 1 rows rejected .*none is left"):
        lake.prepare()


def _state(lake: Any) -> str:
    return str(json.loads((lake.folder / "work" / "logs" / "manifest.json").read_text())["folder"])


def test_unchanged_inputs_are_not_read_again(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lake.prepare()
    state = _state(lake)
    monkeypatch.setattr(preparing, "Checks", None)  # whoever checks a row now fails
    after = lake.prepare()
    assert _state(lake) == state
    assert after.counts == before.counts
    assert [len(history) for history in after.histories(lake.later)] == [1, 0]


def _append_event(lake: Any) -> None:
    lake.write("events.jsonl", [lake.event(), lake.event(item_id="pan")])


def _touch(lake: Any) -> None:
    os.utime(lake.folder / "data" / "users.jsonl", ns=(1, 1))


def _add_behaviour(lake: Any) -> None:
    lake.configure('[behaviours.wave]\nreliable = true\nweight = 1.0\nword = "waved"')


def _add_feature(lake: Any) -> None:
    lake.configure('base_features = ["user_id"]')


def _break_state(lake: Any) -> None:
    (lake.folder / "work" / "logs" / _state(lake) / "events.parquet").unlink()


def _break_manifest(lake: Any) -> None:
    (lake.folder / "work" / "logs" / "manifest.json").write_text('{"format"')


@pytest.mark.parametrize("change", [_append_event, _touch, _add_behaviour, _add_feature, _break_state, _break_manifest])
def test_a_change_is_noticed(lake: Any, change: Any) -> None:
    lake.prepare()
    (before,) = (path.name for path in (lake.folder / "work" / "logs").iterdir() if path.is_dir())
    change(lake)
    assert len(lake.prepare().history("ann", lake.later)) == (2 if change is _append_event else 1)
    (after,) = (path.name for path in (lake.folder / "work" / "logs").iterdir() if path.is_dir())
    assert after == _state(lake) != before, "and the former state is gone"


def test_logs_in_use_stay_readable_while_others_are_prepared(lake: Any) -> None:
    night = lake.prepare()
    _append_event(lake)
    assert len(lake.prepare().history("ann", lake.later)) == 2
    _touch(lake)
    lake.prepare()
    assert len(night.history("ann", lake.later)) == 1
    assert list(night.user_ids()) == ["ann", "bob"]
    del night
    _append_event(lake)
    lake.prepare()
    assert [path.name for path in (lake.folder / "work" / "logs").iterdir() if path.is_dir()] == [_state(lake)]


def test_a_new_file_in_a_folder_is_noticed(lake: Any) -> None:
    lake.write("days/1.jsonl", [lake.event()])
    lake.configure(events="data/days")
    lake.prepare()
    lake.write("days/2.csv", [lake.event(item_id="pan")])
    assert [event[2] for event in lake.events_of("ann")] == ["cup", "pan"]


def test_an_event_refused_as_future_is_looked_at_again_when_its_time_has_come(lake: Any) -> None:
    soon = datetime.now(UTC) + timedelta(days=3)
    lake.write("events.jsonl", [lake.event(), lake.event(timestamp=soon.isoformat())])
    lake.configure(ALL)
    lake.prepare()
    manifest = lake.folder / "work" / "logs" / "manifest.json"
    found = json.loads(manifest.read_text())
    wait = found["stale_at"] / 1e6 - datetime.now(UTC).timestamp()
    assert timedelta(days=2) - timedelta(minutes=5) < timedelta(seconds=wait) <= timedelta(days=2)
    lake.prepare()
    assert _state(lake) == found["folder"]
    manifest.write_text(json.dumps({**found, "stale_at": 0}))  # two days later
    lake.prepare()
    assert _state(lake) != found["folder"]


KILLED = """
import os, signal, sys
from pathlib import Path
from recgpt.config import load
from recgpt.sources import checks, prepare
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "while reading":
    checks.Checks.events = die
else:
    real = os.replace
    os.replace = lambda old, new: die() if Path(new).name == "manifest.json" else real(old, new)
prepare.prepare(load(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("moment", ["while reading", "before the manifest"])
def test_a_kill_leaves_the_former_state_and_its_rubbish_goes_next_time(lake: Any, moment: str) -> None:
    lake.prepare()
    before = _state(lake)
    _append_event(lake)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(lake.folder), moment], check=False)
    assert killed.returncode == -signal.SIGKILL
    home = lake.folder / "work" / "logs"
    assert _state(lake) == before
    assert len(Logs(home).history("ann", lake.later)) == 1
    assert len([path for path in home.iterdir() if path.is_dir()]) > 1, (
        "the kill came too early or late to test a thing"
    )
    assert len(lake.prepare().history("ann", lake.later)) == 2
    assert [path.name for path in home.iterdir() if path.is_dir()] == [_state(lake)]


def test_an_error_leaves_the_former_state_and_no_rubbish(lake: Any) -> None:
    lake.prepare()
    before = _state(lake)
    lake.write("events.jsonl", "not json\n")
    with pytest.raises(DataError, match="not JSON"):
        lake.prepare()
    home = lake.folder / "work" / "logs"
    assert [path.name for path in home.iterdir() if path.is_dir()] == [before]
    assert len(Logs(home).history("ann", lake.later)) == 1


def test_a_random_lake_against_a_plain_sort(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "EVENT_GROUP", 64)  # small groups: histories that end in, span and skip them
    monkeypatch.setattr(preparing, "USER_GROUP", 16)
    rng = random.Random(5)
    users = [f"{rng.choice('äzA#')}{n}" for n in range(100)]
    items = [f"item {n}" for n in range(30)]
    lake.write("users.jsonl", [{"user_id": user} for user in rng.sample(users, 100)])
    lake.write("items.csv", [{"item_id": item, "title": item.upper()} for item in rng.sample(items, 30)])
    events: list[dict[str, Any]] = []
    for _ in range(3_000):
        user = users[min(int(rng.expovariate(0.05)), 98)]  # some with hundreds, the last with none
        day = f"2026-01-{rng.randint(1, 28):02d}"
        event = lake.event(
            user_id=user, timestamp=day, item_id=rng.choice(items), behaviour=rng.choice(["view", "click"])
        )
        if rng.random() < 0.1:
            event |= {"item_id": "", "query": f"query {len(events)}", "behaviour": "search"}
        if rng.random() < 0.03:
            event |= {"user_id": "nobody"}
        events.append(event)
    for part in range(3):
        lake.write(f"days/{part}.{('csv', 'jsonl', 'csv.gz')[part]}", events[part * 1_000 : (part + 1) * 1_000])
    lake.configure(items="data/items.csv", events="data/days")
    logs = lake.prepare()

    expected: dict[str, list[Any]] = {user: [] for user in sorted(users)}
    for event in events:
        if event["user_id"] != "nobody":
            expected[event["user_id"]].append(event)
    ids = logs.catalogue.ids
    assert list(logs.user_ids()) == list(expected)
    for history, (user, rows) in zip(logs.histories(lake.later), expected.items(), strict=True):
        rows.sort(key=lambda event: str(event["timestamp"]))  # stable: the order of the source within a day
        assert history.user_id == user
        assert [str(time) for time in history.times] == [f"{event['timestamp']}T00:00:00" for event in rows]
        assert [ids[row] if row >= 0 else "" for row in history.items] == [event["item_id"] for event in rows]
        assert history.queries == [event.get("query") for event in rows]
        assert [logs.behaviours[kind] for kind in history.behaviours] == [event["behaviour"] for event in rows]
        alone = logs.history(user, lake.later)
        assert alone.times.tolist() == history.times.tolist()
        assert alone.items.tolist() == history.items.tolist()
    listed = [(n, row) for n, history in enumerate(logs.histories(lake.later)) for row in history.items if row >= 0]
    streamed = [(row["user"], row["item"]) for batch in logs.interactions(lake.later) for row in batch.to_pylist()]
    assert streamed == listed
