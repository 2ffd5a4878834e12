"""The strategies for a real model (read, single, full) with a scripted one, and answers that break their rules."""

import json
import re
from typing import Any

import pytest
from scripted import Body, instead, last, task

from recgpt.errors import EngineError
from recgpt.store.tables import Explanation, Interest, Rejection, Tag, Unit
from recgpt.words import Horizon, Outcome, Stage, State


def line_numbers(body: Body) -> list[int]:
    return [int(number) for number in re.findall(r"\[(\d+)\]", last(body))]


def recent(body: Body) -> list[int]:
    """The numbers on lines that tell of nothing older than two months."""
    lines = re.findall(r"^(\d[^|]*) \| (.*)", last(body), flags=re.MULTILINE)
    lately = [things for when, things in lines if {*re.findall(r"20\d\d|[A-Z][a-z]+", when)} <= {"2026", "Sep", "Oct"}]
    return [int(number) for things in lately for number in re.findall(r"\[(\d+)\]", things)]


def interest(name: str, evidence: Any, horizon: str = "long_term") -> dict[str, Any]:
    return {"evidence": evidence, "reason": "comes back often", "name": name, "horizon": horizon}


def say(body: Body) -> Any:
    if task(body) == "interests_read":
        return json.dumps({"interests": [interest("pottering about", line_numbers(body)[:40])]})
    if task(body) == "tags_single":
        listed = [
            {"interest": 1, "rationale": "serves it well", "tag": tag} for tag in ("watering can", "oak bookshelf")
        ]
        return json.dumps({"tags": listed})
    if task(body) == "explanation":
        line = "Keeps going on days when the weather turns and the light fails."
        return json.dumps({"thoughts": "it fits", "explanation": line})
    return None


@pytest.fixture
def real(project: Any) -> Any:
    project.configure(
        interests={"strategy": "read"}, tags={"strategy": "single", "retrievable": 0.1}, explain={"strategy": "full"}
    )
    project.server.answer = instead(say)
    return project


def test_a_whole_night_and_a_second_that_asks_nothing(real: Any) -> None:
    summary = real.run()
    assert summary.coverage == 1.0
    rows = real.rows(Interest)
    assert {row.name for row in rows} == {"pottering about"}
    events = {(e["user_id"], e["timestamp"].isoformat(), e["behaviour"]) for e in real.events()}
    assert all((row.user_id, e["timestamp"], e["behaviour"]) in events for row in rows for e in row.evidence)
    assert {row.rationale for row in real.rows(Tag)} == {"serves it well"}
    assert real.rows(Explanation)
    again = real.run()
    assert all(one.usage.asked == 0 for one in again.stages if one.usage)


@pytest.mark.parametrize(
    ("entry", "gate"),
    [
        (interest("pottering about", [99999]), "evidence"),
        (interest("pottering about", [[1]]), "evidence"),
        (interest("pottering about", []), "evidence"),
        (interest("pottering about", [1]), "too_little_evidence"),
        (interest("pottering about", [1, 2, 3, 4], horizon="forever"), "schema"),
        (interest("books on religion", [1, 2, 3, 4]), "sensitive"),
        ("gardening", "schema"),
    ],
)
def test_a_listed_interest_is_refused_by_the_gate_that_it_breaks(real: Any, entry: Any, gate: str) -> None:
    real.server.answer = lambda body: json.dumps({"interests": [entry]})
    real.run(Stage.INTERESTS)
    assert not real.rows(Interest)
    assert {row.gate for row in real.rows(Rejection)} == {gate}
    assert {row.outcome for row in real.rows(Unit)} <= {Outcome.OK, Outcome.INVALID}


def test_a_tag_of_no_interest_is_refused_not_dropped(real: Any) -> None:
    def stray(body: Body) -> Any:
        if task(body) != "tags_single":
            return None
        entries: list[Any] = [
            {"interest": [1], "tag": "watering can"},
            {"interest": 77, "tag": "oak bookshelf"},
            "trowel",
        ]
        return json.dumps({"tags": entries})

    real.server.answer = instead(lambda body: stray(body) or say(body))
    real.run(Stage.INTERESTS, Stage.TAGS)
    assert not real.rows(Tag)
    assert {row.gate for row in real.rows(Rejection, Rejection.stage == Stage.TAGS)} == {"no_such_interest"}


def test_a_changed_rule_is_applied_to_what_was_answered_before(project: Any) -> None:
    project.run(Stage.INTERESTS)
    names = {row.name.lower() for row in project.rows(Interest, Interest.state == State.ACTIVE)}
    refused = sorted(names)[0]
    project.configure(interests={"sensitive": [refused]})
    before = len(project.server.requests)
    project.run(Stage.INTERESTS)
    assert refused not in {row.name.lower() for row in project.rows(Interest, Interest.state == State.ACTIVE)}
    assert "sensitive" in {row.gate for row in project.rows(Rejection)}
    retried = {task(body) for body in project.server.requests[before:]}
    assert retried <= {"interest_name"}


def test_no_verdict_on_a_known_case_stops_the_run_with_the_remedy(project: Any) -> None:
    project.run(Stage.INTERESTS)
    project.server.answer = lambda body: json.dumps({"verdict": "perhaps"})
    with pytest.raises(EngineError, match=r"judge\.criteria"):
        project.run(Stage.JUDGE)


def test_horizons_are_what_the_model_said(real: Any) -> None:
    def short(body: Body) -> Any:
        listed = [interest("pottering about", recent(body), "short_term")]
        return json.dumps({"interests": listed}) if task(body) == "interests_read" else None

    real.server.answer = instead(short)
    real.run(Stage.INTERESTS)
    assert {row.horizon for row in real.rows(Interest)} == {Horizon.SHORT_TERM}
