"""A reader that follows rules, as a model behind the fake server in a process of its own: `python rule_reader.py`.

It prints the base URL and serves until its standard input closes. Of a user it knows the text of the one prompt that
it is asked, and nothing else; of the world it knows what kinds of products there are (the demo shop's own list of
names, as a real model knows that a tea caddy has to do with tea). It sorts what the text numbers by kind, and holds
each kind to the rules that the prompt gives: what comes back over time is long-term, what is recent and dense
short-term, and a burst is nothing. Shown a memory, it does so with the memory and the events since.
"""

import json
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from fake_server import FakeServer

from recgpt.sources.shop import CATEGORIES

MODEL = "rule-reader"
WEIGHTS = {"bought": 4, "carted": 3, "rated": 3, "favourited": 2, "searched": 2, "viewed": 1}
BURST_DAYS, BURST_WEIGHT, MIN_WEIGHT, SHORT_WEIGHT = 10, 4, 9, 6
MIN_THINGS, MIN_SPAN_DAYS, SHORT_DAYS, FADED_DAYS = 3, 28, 30, 150
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MOMENT = re.compile(r"(20\d\d)?(?: ?([A-Z][a-z]{2})(?: (\d{1,2}))?)?(?: x\d+)?(?: \(([^()]*)\))?")
UNIT = re.compile(r"^M(\d+) (.+?) \((long_term|short_term), (\S+) to (\S+), \d+ events on (\d+) days\)", re.MULTILINE)
KINDS = {
    line.split(";")[0].strip().lower(): category.path.split(" > ")[-1].lower()
    for category in CATEGORIES
    for line in category.products.strip().splitlines()
}


@dataclass(frozen=True)
class Seen:
    """One thing at one moment."""

    number: int
    day: date
    weight: int


@lru_cache(maxsize=100_000)
def kind_of(label: str) -> str | None:
    """The kind whose product is named in a label or a search: the longest name counts."""
    named = [name for name in KINDS if name in label.lower()]
    return KINDS[max(named, key=len)] if named else None


def moments(text: str) -> list[tuple[date, int]]:
    """`2026 Oct 21 (bought), Sep, May (carted, viewed x2)`: days, as near as they are said, with their weights."""
    found: list[tuple[date, int]] = []
    bare: list[date] = []  # days that leave it to the next to say what was done
    year = 0
    for part in re.split(r", (?![^(]*\))", text):
        match = MOMENT.match(part)
        if match is None or not any(match.groups()):
            continue
        year = int(match[1] or year)
        bare.append(date(year, MONTHS.index(match[2]) + 1, int(match[3] or 15)) if match[2] else date(year, 7, 1))
        if match[4]:
            weight = sum(WEIGHTS.get(doing.split()[0], 1) for doing in match[4].split(", "))
            found += [(day, weight) for day in bare]
            bare = []
    return found


def seen_by_kind(text: str) -> dict[str, list[Seen]]:
    kinds: dict[str, list[Seen]] = defaultdict(list)
    for when, things in re.findall(r"^(20\d\d[^|\n]*) \| (.*)$", text, flags=re.MULTILINE):
        for number, label in re.findall(r"\[(\d+)\] (.*?)(?=; \[\d+\] |$)", things):
            kind = kind_of(label)
            if kind:
                kinds[kind] += [Seen(int(number), *moment) for moment in moments(when)]
    return kinds


def horizon(seen: list[Seen], today: date) -> str | None:
    """What the rules call these: long_term, short_term, or nothing."""
    by_day: dict[date, int] = defaultdict(int)
    for one in seen:
        by_day[one.day] = min(BURST_WEIGHT, by_day[one.day] + one.weight)
    days = sorted(by_day)
    if len({one.number for one in seen}) < MIN_THINGS or len(days) < 2:
        return None
    bursts = [[days[0]]]
    for day in days[1:]:
        if (day - bursts[-1][0]).days < BURST_DAYS:
            bursts[-1].append(day)
        else:
            bursts.append([day])
    span, ago, age = (days[-1] - days[0]).days, (today - days[-1]).days, (today - days[0]).days
    if age <= 2 * SHORT_DAYS and ago <= SHORT_DAYS and span >= BURST_DAYS and sum(by_day.values()) >= SHORT_WEIGHT:
        return "short_term"
    weight = sum(min(BURST_WEIGHT, sum(by_day[day] for day in burst)) for burst in bursts)
    return "long_term" if span >= MIN_SPAN_DAYS and weight >= MIN_WEIGHT and ago <= FADED_DAYS else None


def interest(kind: str, seen: list[Seen], horizon: str) -> dict[str, Any]:
    numbers = sorted({one.number for one in seen})[:40]
    reason = f"Comes back to {kind}: {len(numbers)} things, from {min(one.day for one in seen):%B %Y} on."
    return {"evidence": numbers, "reason": reason, "name": kind, "horizon": horizon}


def read(text: str) -> dict[str, Any]:
    kinds = seen_by_kind(text)
    today = latest(kinds)
    held = {kind: (seen, horizon(seen, today)) for kind, seen in kinds.items()}
    return {"interests": [interest(kind, seen, which) for kind, (seen, which) in held.items() if which][:24]}


def update(text: str) -> dict[str, Any]:
    kinds = seen_by_kind(text)
    today = latest(kinds)
    operations: list[dict[str, Any]] = []
    for number, name, which, first, last, days in UNIT.findall(text):
        seen = kinds.pop(name, [])
        said = {"unit": int(number), "evidence": sorted({one.number for one in seen})[:40], "reason": "It goes on."}
        age, idle = (today - date.fromisoformat(first)).days, (today - date.fromisoformat(last)).days
        if seen and which == "short_term" and age > 2 * SHORT_DAYS and int(days) >= MIN_THINGS:
            operations.append({"operation": "revise", **said, "name": name, "horizon": "long_term"})
        elif seen:
            operations.append({"operation": "keep", **said})
        elif idle > (SHORT_DAYS if which == "short_term" else FADED_DAYS):
            operations.append({"operation": "retire", **said, "reason": "Nothing of it for a long time."})
    for kind, seen in kinds.items():
        which = horizon(seen, today)
        if which:
            operations.append({"operation": "add", "unit": 0, **interest(kind, seen, which)})
    return {"operations": operations[:24]}


def latest(kinds: dict[str, list[Seen]]) -> date:
    return max((one.day for seen in kinds.values() for one in seen), default=date.min)


def answer(body: dict[str, Any]) -> str:
    text = body["messages"][-1]["content"]
    asked = body["response_format"]["json_schema"]["name"]
    return json.dumps(update(text) if asked == "interests_update" else read(text))


if __name__ == "__main__":
    server = FakeServer(models=[MODEL], answer=answer, keep=False)
    print(server.start().base_url, flush=True)
    sys.stdin.read()
    server.stop()
