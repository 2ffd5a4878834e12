"""The exact request behind any stored row, and a recommendation walked back as it stood on its night."""

import json
from datetime import timedelta
from typing import Any

import pytest
from scripted import instead, task
from sqlalchemy import update
from sqlalchemy.orm import Session
from written import NIGHT, Table

import prompts
from recgpt.errors import ConfigError, DataError
from recgpt.provenance import requests_behind
from recgpt.sources.prepare import prepare
from recgpt.store.tables import Answer, Explanation, Interest, Label, Rejection, Run, Tag
from recgpt.store.tables import Request as RequestRow
from recgpt.tracing import why
from recgpt.words import Stage, State


@pytest.fixture
def explained(table: Table) -> Table:
    """One pair, explained in two steps."""
    table.project.configure(explain={"strategy": "full"})
    table.recommend("u1", "stargazing", table.items[0])
    table.explain()
    return table


def behind(table: Table, name: str) -> list[dict[str, Any]]:
    return list(requests_behind(table.project.store, name)["requests"])


def posted(table: Table, name: str) -> dict[str, Any]:
    (body,) = [body for body in table.project.server.requests if task(body) == name]
    return dict(body)


def test_an_explanation_leads_to_both_requests_exactly_as_they_were_posted(explained: Table) -> None:
    (row,) = explained.project.rows(Explanation)
    found = requests_behind(explained.project.store, f"explanation:{row.id}")
    assert found["row"]["text"] == row.text
    assert [asked["role"] for asked in found["requests"]] == ["style", "text"]
    for asked, name in zip(found["requests"], ("explanation_style", "explanation"), strict=True):
        body = posted(explained, name)
        assert asked["messages"] == body["messages"]
        assert asked["schema"] == body["response_format"]["json_schema"]["schema"] == prompts.load(name).schema
        assert asked["sampling"] == {key: body[key] for key in ("temperature", "seed", "max_tokens")}
        assert (asked["model"], asked["revision"]) == ("fake-model", "r1")
        assert asked["prompt"] == {"version": prompts.load(name).version, "text": prompts.load(name).text}
        assert asked["verified"]
    answer = found["requests"][1]["answer"]
    assert json.loads(answer["content"])["explanation"] == row.text
    assert answer["finish_reason"] == "stop"
    assert answer["tokens_in"] > 0
    assert answer["run"]["night"] == NIGHT.isoformat()
    assert answer["run"]["id"] in {run.id for run in explained.project.rows(Run)}
    json.dumps(found, default=str)


def test_every_kind_of_row_leads_to_its_request(project: Any) -> None:
    project.server.answer = instead(
        lambda body: '{"interest": "religion"}' if task(body) == "interest_name" and body["seed"] == 0 else None
    )
    project.run()
    kinds = (("interest", Interest), ("tag", Tag), ("explanation", Explanation), ("label", Label))
    for kind, rows in (*kinds, ("rejection", Rejection)):
        row = next(row for row in project.rows(rows) if row.request_hash)
        found = requests_behind(project.store, f"{kind}:{row.id}")
        assert found["row"]["id"] == row.id
        assert found["requests"][-1]["hash"] == row.request_hash
        assert found["requests"][-1]["messages"]
        assert found["requests"][-1]["prompt"]["text"].startswith("---\n")
        assert found["requests"][-1]["verified"]


def test_a_row_that_no_model_made_leads_to_no_request(table: Table) -> None:
    id_ = table.recommend("u1", "stargazing", table.items[0])
    found = requests_behind(table.project.store, f"interest:{id_}")
    assert found["row"]["name"] == "stargazing"
    assert found["requests"] == []


@pytest.mark.parametrize("cut", [8, 71])
@pytest.mark.parametrize("tagged", [True, False])
def test_a_request_is_found_by_how_its_hash_begins(explained: Table, cut: int, tagged: bool) -> None:
    hash_ = explained.project.rows(RequestRow)[0].hash
    digits = hash_.removeprefix("sha256:")[:cut].upper()
    (asked,) = behind(explained, f"sha256:{digits}" if tagged else digits)
    assert asked["hash"] == hash_


def test_an_ambiguous_beginning_lists_what_begins_so(explained: Table) -> None:
    with Session(explained.project.store) as session:
        for last in "01":
            session.add(
                RequestRow(
                    hash=f"sha256:{'abcd' * 15}000{last}", task=f"t{last}", prompt_version="v", model="m", revision="r",
                    body='{"messages": []}',
                )
            )  # fmt: skip
        session.commit()
    with pytest.raises(DataError, match=r"several requests.*\(t0\).*\(t1\).*give more") as caught:
        behind(explained, "abcdabcd")
    assert caught.value.exit_code == 1
    (asked,) = behind(explained, "abcd" * 15 + "0001")
    assert (asked["task"], asked["prompt"]["text"], asked["answer"]) == ("t1", None, None)
    assert not asked["verified"]


def test_a_stored_body_that_was_changed_is_told(explained: Table) -> None:
    with Session(explained.project.store) as session:
        for row in session.query(RequestRow):
            row.body = row.body.replace("stargazing", "astrology")
        session.commit()
    (row,) = explained.project.rows(Explanation)
    style, text = behind(explained, f"explanation:{row.id}")
    assert style["verified"]  # the guide is the group's: the interest is not in it
    assert not text["verified"]


@pytest.mark.parametrize("name", ["explanation:99", "explanation:", "explanation:x", "tag:-1", "label:" + "9" * 30])
def test_a_row_that_is_not_there_says_where_ids_are_found(explained: Table, name: str) -> None:
    with pytest.raises(DataError, match="recgpt why USER ITEM"):
        behind(explained, name)


@pytest.mark.parametrize("name", ["", "abc", "user:1", "sha256:", "xyzxyz", "interest"])
def test_a_name_of_nothing_says_what_names_there_are(explained: Table, name: str) -> None:
    with pytest.raises(ConfigError if name != "interest" else DataError, match="interest"):
        behind(explained, name)


def test_no_request_of_that_beginning(explained: Table) -> None:
    with pytest.raises(DataError, match="begins with 0000000000"):
        behind(explained, "0" * 40)


def test_why_tells_the_explanation_its_style_and_whom_it_serves(explained: Table) -> None:
    explained.project.run(Stage.JUDGE)
    project, item = explained.project, explained.items[0]
    told = why(project.store, prepare(project.config), "u1", item)["explanation"]
    (row,) = project.rows(Explanation)
    assert (told["id"], told["text"], told["style"], told["served"]) == (row.id, row.text, row.style, 1)
    assert (told["since_night"], told["retired_night"]) == (NIGHT.isoformat(), None)
    assert told["style_made_by"]["prompt"] == "explanation_style"
    assert told["made_by"]["prompt"] == "explanation"
    assert {label["criterion"] for label in told["labels"]} >= {"relevant", "factual", "clear"}


def test_why_tells_the_explanation_as_it_was_on_the_night(explained: Table) -> None:
    project, item, later = explained.project, explained.items[0], NIGHT + timedelta(days=7)
    (old,) = project.rows(Explanation)
    explained.change_item(item, title="Zwickel Orrery")
    explained.recommend("u1", "stargazing", item, night=later)
    other = "Shows where each planet stands before you carry the scope outside."
    project.server.answer = instead(
        lambda body: json.dumps({"explanation": other}) if task(body) == "explanation" else None
    )
    explained.explain(later)
    logs = prepare(project.config)
    then = why(project.store, logs, "u1", item, NIGHT)["explanation"]
    assert (then["id"], then["retired_night"]) == (old.id, later.isoformat())
    assert then["text"] == old.text
    assert why(project.store, logs, "u1", item, later - timedelta(days=1))["night"] == NIGHT.isoformat()
    now = why(project.store, logs, "u1", item)
    assert (now["night"], now["explanation"]["text"]) == (later.isoformat(), other)
    with pytest.raises(DataError, match="or before"):
        why(project.store, logs, "u1", item, NIGHT - timedelta(days=1))


def test_why_leaves_out_evidence_that_came_after_the_night(explained: Table) -> None:
    events = [
        {"number": number, "timestamp": f"2026-10-0{number}T00:00:00+00:00", "behaviour": "search", "query": "moon",
         "night": night}
        for number, night in ((1, "2026-10-31"), (2, "2026-11-07"))
    ]  # fmt: skip
    with Session(explained.project.store) as session:
        session.execute(update(Interest).values(evidence=events))
        session.commit()
    found = why(explained.project.store, prepare(explained.project.config), "u1", explained.items[0])
    assert [event["number"] for event in found["events"]] == [1]


def test_why_says_why_there_is_no_explanation(table: Table) -> None:
    project, (one, two) = table.project, table.items[:2]
    project.configure(explain={"top": 1})
    project.server.answer = instead(lambda body: json.dumps({"explanation": "A must-have for the long nights!"}))
    table.recommend("u1", "stargazing", one, two)
    table.explain()
    logs = prepare(project.config)
    refused, beyond = (why(project.store, logs, "u1", item) for item in (one, two))
    assert refused["explanation"] is None
    assert refused["no_explanation"].startswith("invalid: explanation_short: slogan")
    assert "explain.top" in beyond["no_explanation"]
    assert project.rows(Answer)
    assert not project.rows(Explanation, Explanation.state == State.ACTIVE)


def test_why_does_not_tell_of_a_line_that_was_made_later(table: Table) -> None:
    project, (one, two), later = table.project, table.items[:2], NIGHT + timedelta(days=7)
    project.configure(explain={"top": 1})
    table.recommend("u1", "stargazing", one, two)
    table.explain()
    table.recommend("u1", "stargazing", two, night=later)
    table.explain(later)
    logs = prepare(project.config)
    assert why(project.store, logs, "u1", two, later)["explanation"]["since_night"] == later.isoformat()
    then = why(project.store, logs, "u1", two, NIGHT)
    assert then["explanation"] is None
    assert "later night" in then["no_explanation"]
