"""Each row of "The model's server" in docs/reliability.md: one user's request meets the fault, the others don't."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from docs_table import table
from fake_server import Answer, Fault, from_schema, schema_of, status
from scripted import Body, last

from recgpt.store.tables import Answer as AnswerRow
from recgpt.store.tables import Rejection, Unit
from recgpt.words import Outcome

ROWS = table("The model's server")
TIMEOUT_S = 2.0
Said = str | Answer | Fault


def interest(**changes: Any) -> str:
    """An answer with one interest, which needs no more than its evidence to pass every gate."""
    fine = {"evidence": [1], "reason": "It comes back all year.", "name": "trail running", "horizon": "short_term"}
    return json.dumps({"interests": [{**fine, **changes}]})


def soon() -> Fault:
    return status(429, retry_after=format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True))


FAULTS: dict[str, Said | Callable[[], Said]] = {
    "429-seconds": status(429, retry_after="0.5"),
    "429-date": soon,
    "429-hour": status(429, retry_after="3600"),
    "500": status(500),
    "503": status(503),
    "close": Fault("close"),
    "half": Fault("half"),
    "stall": Fault("stall", seconds=60),
    "trickle": Fault("trickle", seconds=0.1),
    "garbage": Fault("garbage"),
    "utf8": Fault("utf8"),
    "nothing": Fault("nothing"),
    "deep": Fault("deep"),
    "html": Fault("html"),
    "zip": Fault("zip"),
    "no-choices": Fault("no_choices"),
    "model": Fault("model"),
    "huge": Fault("huge"),
    "endless": Fault("endless"),
    "400": status(400, "maximum context length is 4096 tokens"),
    "401": status(401),
    "404": status(404),
    "redirect": Fault("status", 307, location="/v1/elsewhere"),
    "405": status(405),
    "empty": "",
    "no-json": "Sure! Here are the interests:",
    "cut": Answer('{"interests": [{"evidence": [1, 2', finish_reason="length"),
    "nested": '{"interests": ' + "[" * 100_000,
    "nul": interest(name="trail \0 running"),
    "surrogate": interest(name="trail \ud800 running"),
    "schema": '{"interests": "none"}',
    "rule": interest(name="religious books"),
    "evidence": interest(evidence=[10_000]),
    "extra-keys": '{"interests": null, "mood": "fine", "interests": []}',
}


def test_the_table_and_the_cases_agree() -> None:
    assert list(ROWS) == list(FAULTS)


class Victim:
    """A script: the first request that comes, and the same one again, meets the fault; all others are answered."""

    def __init__(self, said: Said | Callable[[], Said], times: int = 1000) -> None:
        self.said, self.times = said, times
        self.text: str | None = None
        self.tries: list[datetime] = []
        self.answered: Counter[str] = Counter()

    def __call__(self, body: Body) -> Said:
        text = last(body)
        self.text = self.text or text
        if text == self.text:
            self.tries.append(datetime.now(UTC))
            if len(self.tries) <= self.times:
                return self.said() if callable(self.said) else self.said
        self.answered[text] += 1
        return from_schema(schema_of(body))


@pytest.mark.parametrize("case", ROWS)
def test_a_fault_that_stays(case: str, reader: Any, recgpt: Any) -> None:
    row = ROWS[case]
    reader.configure(interests={"strategy": "read"}, engine={"timeout_s": TIMEOUT_S})
    victim = reader.server.answer = Victim(FAULTS[case])
    done = recgpt("interests", "--json")
    assert str(done.code) == row["exit"]
    assert len(victim.tries) == (2 if row["tried again"] == "yes" else 1)
    reason = row["reason"].strip("`")
    units = reader.rows(Unit)
    if row["the user"] == "the run stops":
        assert reason in done.err
        assert "Traceback" not in done.err
    else:
        ends = Counter(unit.outcome for unit in units)
        assert ends == Counter(["ok"] * 11) + Counter([row["the user"]])
        (stage,) = json.loads(done.out)["stages"]
        assert {name: stage[name] for name in ends} == ends
        said = [unit.reason for unit in units if unit.outcome != Outcome.OK]
        said += [entry.gate for entry in reader.rows(Rejection)]
        assert any(reason in one for one in said) or row["the user"] == "ok"
    kept = {answer.request_hash for answer in reader.rows(AnswerRow)}

    healthy = reader.server.answer = Victim("", times=0)
    assert recgpt("interests").code == 0
    assert kept <= {answer.request_hash for answer in reader.rows(AnswerRow)}
    match row["the user"]:
        case "ok" | "invalid":
            assert not healthy.answered
        case "unavailable":
            assert healthy.answered == {victim.text: 1}
        case _:
            assert healthy.answered.total() == 12 - len(kept)


@pytest.mark.parametrize("case", [case for case, row in ROWS.items() if row["tried again"] == "yes"])
def test_a_fault_that_passes(case: str, reader: Any, recgpt: Any) -> None:
    reader.configure(interests={"strategy": "read"}, engine={"timeout_s": TIMEOUT_S})
    victim = reader.server.answer = Victim(FAULTS[case], times=1)
    done = recgpt("interests", "--json")
    assert done.code == 0
    (stage,) = json.loads(done.out)["stages"]
    assert (stage["ok"], stage["usage"]["asked"], stage["usage"]["retries"]) == (12, 12, 1)
    first, second = victim.tries
    if case.startswith("429"):
        assert second - first >= timedelta(seconds=0.5)
