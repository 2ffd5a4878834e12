from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recgpt.sources.logs import Logs

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def logs(lake: Any) -> Logs:
    lake.write("users.jsonl", [{"user_id": name} for name in ("dan", "ann", "cleo", "bob")])
    events = [
        lake.event(timestamp="2026-01-02T12:00:00Z", item_id="pan", behaviour="purchase", value=4.5),
        lake.event(timestamp="2026-01-02T11:59:59.9Z", item_id=None, query="a cup", behaviour="search"),
        lake.event(timestamp="2026-01-01", item_id="cup"),
        lake.event(user_id="dan", timestamp="2026-01-03", item_id="pot", query="pots"),
    ]
    lake.write("events.jsonl", events)
    found: Logs = lake.prepare()
    return found


def test_a_history(logs: Logs) -> None:
    history = logs.history("ann", NOON + timedelta(seconds=1))
    assert history.user_id == "ann"
    assert history.times.dtype == np.dtype("datetime64[s]")
    assert [str(time) for time in history.times] == [
        "2026-01-01T00:00:00",
        "2026-01-02T11:59:59",
        "2026-01-02T12:00:00",
    ]
    assert history.items.dtype == np.int32
    assert [logs.catalogue.ids[row] if row >= 0 else row for row in history.items] == ["cup", -1, "pan"]
    assert history.behaviours.dtype == np.int16
    assert [logs.behaviours[kind] for kind in history.behaviours] == ["view", "search", "purchase"]
    assert history.queries == [None, "a cup", None]
    assert history.values.dtype == np.float32
    assert str(history.values.tolist()) == "[nan, nan, 4.5]"
    assert len(history) == 3


def test_until_is_exclusive_and_knows_zones(logs: Logs) -> None:
    assert len(logs.history("ann", NOON)) == 2
    assert len(logs.history("ann", NOON.astimezone(timezone(timedelta(hours=9))))) == 2
    assert len(logs.history("ann", NOON + timedelta(microseconds=1))) == 3
    assert len(logs.history("ann", NOON - timedelta(seconds=1))) == 1, "its second counts, not its tenth"
    assert len(logs.history("ann", datetime(2020, 1, 1, tzinfo=UTC))) == 0
    with pytest.raises(ValueError, match="no time zone"):
        logs.history("ann", NOON.replace(tzinfo=None))


def test_a_history_cut_again_is_the_history_cut_at_once(logs: Logs) -> None:
    whole = logs.history("ann", NOON + timedelta(days=1))
    for moment in (NOON - timedelta(days=9), NOON - timedelta(seconds=1), NOON, NOON + timedelta(days=1)):
        once, twice = logs.history("ann", moment), whole.until(moment)
        assert twice.times.tolist() == once.times.tolist()
        assert twice.items.tolist() == once.items.tolist()
        assert twice.behaviours.tolist() == once.behaviours.tolist()
        assert twice.queries == once.queries
        assert len(twice.values) == len(once.values)


def test_an_event_may_have_both_an_item_and_a_query(logs: Logs) -> None:
    history = logs.history("dan", NOON + timedelta(days=9))
    assert history.queries == ["pots"]
    assert logs.catalogue.ids[history.items[0]] == "pot"


def test_histories_come_sorted_with_empty_users(logs: Logs) -> None:
    found = [(history.user_id, len(history)) for history in logs.histories(NOON)]
    assert found == [("ann", 2), ("bob", 0), ("cleo", 0), ("dan", 0)]
    empty = logs.history("bob", NOON)
    assert (empty.times.dtype, empty.items.dtype) == (np.dtype("datetime64[s]"), np.int32)
    assert empty.queries == []
    assert logs.n_users == 4


def test_some_of_the_histories(logs: Logs) -> None:
    assert [history.user_id for history in logs.histories(NOON, limit=2)] == ["ann", "bob"]
    assert [history.user_id for history in logs.histories(NOON, ["dan", "ann", "dan"])] == ["ann", "dan"]
    assert [history.user_id for history in logs.histories(NOON, ["dan", "ann"], limit=1)] == ["ann"]
    assert list(logs.histories(NOON, [])) == []
    assert list(logs.user_ids(limit=3)) == ["ann", "bob", "cleo"]
    assert list(logs.user_ids()) == ["ann", "bob", "cleo", "dan"]


@pytest.mark.parametrize("stranger", ["", "a", "bert", "zoe"])
def test_a_stranger_is_a_key_error(logs: Logs, stranger: str) -> None:
    with pytest.raises(KeyError, match=repr(stranger)):
        logs.history(stranger, NOON)
    with pytest.raises(KeyError):
        list(logs.histories(NOON, ["ann", stranger]))


def test_how_many_events_users_have(logs: Logs) -> None:
    assert logs.sizes({"ann", "dan", "bob", "aaa", "cat", "zoe"}) == {"ann": 3, "bob": 0, "dan": 1}
    assert logs.sizes([]) == {}


def test_interactions_are_events_on_items(logs: Logs) -> None:
    batches = list(logs.interactions(NOON + timedelta(days=9)))
    assert batches[0].schema == pa.schema(
        [("user", pa.int32()), ("item", pa.int32()), ("behaviour", pa.int16()), ("time", pa.timestamp("s"))]
    )
    rows = [row for batch in batches for row in batch.to_pylist()]
    names = [(list(logs.user_ids())[row["user"]], logs.catalogue.ids[row["item"]]) for row in rows]
    assert names == [("ann", "cup"), ("ann", "pan"), ("dan", "pot")]
    assert sum(batch.num_rows for batch in logs.interactions(NOON)) == 1


def test_the_catalogue(logs: Logs) -> None:
    assert len(logs.catalogue) == 3
    assert logs.catalogue.row_of("pot") == 2
    assert logs.catalogue.row_of("vase") is None


def test_two_sweeps_at_once_do_not_disturb_each_other(logs: Logs) -> None:
    first, second = logs.histories(NOON), logs.histories(NOON, limit=1)
    assert next(first).user_id == next(second).user_id == "ann"
    assert len(logs.history("dan", NOON + timedelta(days=9))) == 1
    assert next(first).user_id == "bob"
    assert list(second) == []


def test_nothing_prepared_is_a_missing_file(tmp_path: Any) -> None:
    with pytest.raises(FileNotFoundError):
        Logs(tmp_path)
