"""The report on a demo shop's own logs, and its pictures."""

import builtins
import json
import math
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from recgpt.errors import DataError
from recgpt.evaluation import plots
from recgpt.evaluation.ranking import Log, Questions
from recgpt.evaluation.towers import ALL, CATEGORY, COLD_ITEMS, COLD_USERS, TOWERS, _groups, _known, _sample, evaluate
from recgpt.sources.prepare import prepare
from recgpt.stages.night import Night
from recgpt.stages.towers import towers_config, training_data
from recgpt.store.session import open_store

DAY = date(2026, 9, 30)  # the shop's events go on to the end of October


def night(project: Any, day: date = DAY) -> Night:
    config = project.config
    return Night(config, open_store(config), prepare(config), day)


@pytest.fixture
def report(project):
    return evaluate(night(project), days=31, k=5)


def by(report, group):
    return {row.model: row for row in report.rows if row.group == group}


def test_every_model_answers_the_same_users(report, project):
    assert (report.night, report.days, report.k) == (DAY, 31, 5)
    everybody = by(report, ALL)
    assert list(everybody) == [TOWERS, "popularity", "item-kNN decay"]
    assert {row.users for row in everybody.values()} == {report.users}
    assert 0 < report.users <= 12
    assert report.wanted >= report.users
    for row in everybody.values():
        assert list(row.metrics) == ["recall@5", "ndcg@5", "mrr@5"]
        for mean in row.metrics.values():
            assert 0 <= mean.low <= mean.value <= mean.high <= 1


def test_the_groups_by_activity_are_a_partition(report):
    groups = [group for group in report.groups() if group not in (ALL, COLD_ITEMS)]
    assert groups[0] == COLD_USERS
    assert sum(by(report, group)[TOWERS].users for group in groups) == report.users
    whole = by(report, ALL)[TOWERS].metrics["recall@5"].value
    parts = [(by(report, group)[TOWERS].users, by(report, group)[TOWERS].metrics["recall@5"].value) for group in groups]
    assert sum(users * mean for users, mean in parts if users) / report.users == pytest.approx(whole)


def test_cold_items_are_asked_of_text_and_of_their_category(report):
    assert list(by(report, COLD_ITEMS)) == [TOWERS, CATEGORY]


def test_lists_and_differences(report):
    assert [one.model for one in report.lists] == [TOWERS, "popularity", "item-kNN decay"]
    for one in report.lists:
        assert 0 < one.coverage <= 1
        assert one.novelty >= 0
        assert 0 <= one.diversity <= 2
    assert set(report.above) == {"popularity", "item-kNN decay"}
    ours, theirs = (by(report, ALL)[name].metrics["ndcg@5"].value for name in (TOWERS, "popularity"))
    assert report.above["popularity"].mean == pytest.approx(ours - theirs)


def test_json_has_no_nan(report):
    row = report.rows[0]
    nobody = replace(row, metrics={"ndcg@5": replace(row.metrics["ndcg@5"], value=math.nan)})
    text = json.dumps(replace(report, rows=(nobody,)).as_dict(), allow_nan=False)
    found = json.loads(text)
    assert found["night"] == "2026-09-30"
    assert found["rows"][0]["metrics"]["ndcg@5"]["value"] is None


def test_later_events_change_nothing_that_was_learnt_or_chosen(report, project):
    """What happens after the days asked for is not read; what happens in them is only wanted."""
    events = project.events()
    later = [event | {"timestamp": event["timestamp"].replace(year=2027, month=1, day=2)} for event in events[:40]]
    project.add_events(later)
    again = evaluate(night(project), days=31, k=5)
    assert replace(again, train_seconds=0).as_dict() == replace(report, train_seconds=0).as_dict()


def test_a_sample_of_users(project, report):
    few = evaluate(night(project), days=31, k=5, most_users=3)
    assert few.users == 3
    assert by(few, ALL)[TOWERS].users == 3


def test_nobody_came_back(project):
    with pytest.raises(DataError, match="choose an earlier --date"):
        evaluate(night(project, date(2026, 10, 31)), days=7)


def test_known_is_what_lies_before_the_moment(project):
    one = night(project)
    data = training_data(one, towers_config(one))
    now = int(one.until.timestamp())
    assert _known(data, now).ages.min() > 0
    month_ago = _known(data, now - 30 * 86_400)
    assert 0 < len(month_ago.users) < len(data.users)
    assert month_ago.ages.min() > 0
    assert month_ago.ages.max() == pytest.approx(_known(data, now).ages.max() - 30)


def asked_of(counts):
    users = np.repeat(np.arange(len(counts)), counts)
    log = Log(users, np.zeros(len(users), int), np.zeros(len(users)), len(counts), 1)
    return Questions(log, log, np.arange(len(counts)), np.zeros(len(counts), int))


def test_quarters_of_activity():
    groups = _groups(asked_of([0, 1, 2, 3, 4, 5, 6, 7, 8]))
    assert {name: members.tolist() for name, members in groups.items()} == {
        ALL: list(range(9)), COLD_USERS: [0], "1 to 2 events": [1, 2], "3 to 4 events": [3, 4],
        "5 to 6 events": [5, 6], "7 to 8 events": [7, 8],
    }  # fmt: skip


def test_quarters_that_fall_together_are_one_group():
    groups = _groups(asked_of([1, 1, 1, 1, 1, 9]))
    assert list(groups) == [ALL, COLD_USERS, "1 events", "2 to 9 events"]
    assert list(_groups(asked_of([0, 0]))) == [ALL, COLD_USERS]


def test_a_sample_keeps_users_with_their_answers():
    asked = asked_of([1] * 50)
    asked = replace(asked, wanted=[np.array([n]) for n in range(50)])
    few = _sample(asked, 7)
    assert len(few.users) == 7
    assert [int(one[0]) for one in few.wanted] == few.users.tolist()
    assert _sample(asked, 50) is _sample(asked, None) is asked


def test_pictures(report, tmp_path):
    pytest.importorskip("matplotlib", reason="pip install 'recgpt[evaluate]'")
    paths = plots.draw(report, tmp_path / "new")
    assert [path.name for path in paths] == [
        "metrics.png", "metrics.svg", "activity.png", "activity.svg", "lists.png", "lists.svg",
    ]  # fmt: skip
    assert all(path.read_bytes()[1:4] == b"PNG" for path in paths if path.suffix == ".png")
    assert all("</svg>" in path.read_text("utf-8") for path in paths if path.suffix == ".svg")
    before = paths[1].read_bytes()
    assert plots.draw(report, tmp_path / "new")[1].read_bytes() == before


def test_pictures_without_matplotlib_say_what_to_install(report, tmp_path, monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DataError, match=r"recgpt\[evaluate\]"):
        plots.draw(report, tmp_path)
