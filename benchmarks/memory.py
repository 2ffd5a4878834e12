"""What a memory saves: 30 nights of a demo shop, with memory and events since, against reading all again each night.

    python benchmarks/memory.py [--quick] [--users 40] [--seed 61]

A shop is made with its events up to the last night, and the interests stage runs forward night by night, each seeing
only what is before it. Four times: for both strategies once with the defaults, and once with `reread_days = 1`, which
is the same code reading all of a user's events on every night that has new ones. Either way a user without new events
is not asked about. Reading everybody again every night would cost that many times more; it is not counted.

Prompt tokens are those of requests that went to the model, the packaged model's own count of the messages; replayed
ones cost nothing on either side. The share is of the nights after the first, on which there is a memory; the first
reads everything on both sides, and the share with it is reported too. F1 is of precision and recall of the interests in
the store after the last night against the shop's truth, by the category of their evidence.

`grouped` is asked of the packaged model. `read` wants a model that can read, which no test machine has; a reader that
follows rules answers for it (benchmarks/rule_reader.py), out of the prompt's text alone and over HTTP. So what it shows
is exact for tokens, which no answer changes much, and for what the two ways of asking let a perfectly obedient reader
know: whether the memory and the events since hold what is needed to come to the same interests. It can't show how well
a real model reads either prompt, nor how its errors add up over nights.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from figures import Figure, report
from sqlalchemy import select
from sqlalchemy.orm import Session

from recgpt import nightly
from recgpt.config import FILE_NAME, Config, load, night_of
from recgpt.engine.tokens import token_counter
from recgpt.evaluation import truth
from recgpt.project import demo_settings
from recgpt.sources.demo import make_shop
from recgpt.sources.prepare import prepare
from recgpt.store.session import open_store
from recgpt.store.tables import Answer, Interest, Request, Run
from recgpt.words import Stage, State

LAST = date(2026, 10, 31)
NIGHTS = 30
GOAL_TOKENS, GOAL_F1 = 0.30, 0.02


@dataclass
class Side:
    """What 30 nights of one kind came to."""

    first: int = 0  # prompt tokens
    later: int = 0
    requests: int = 0  # on later nights
    f1: float = 0.0
    precision: float = 0.0
    recall: float = 0.0
    notes: Counter[str] = field(default_factory=Counter)  # of later nights


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="12 users for the packaged model, 100 for the reader")
    parser.add_argument("--users", type=int, default=40, help="for the packaged model; the reader gets ten times more")
    parser.add_argument("--seed", type=int, default=61)
    parser.add_argument("--only", choices=("grouped", "read"))
    arguments = parser.parse_args()
    users = (
        {"grouped": 12, "read": 100} if arguments.quick else {"grouped": arguments.users, "read": 10 * arguments.users}
    )
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="recgpt-memory-") as folder, rule_reader() as base_url:
        for strategy, count in users.items():
            if arguments.only not in (None, strategy):
                continue
            shop = Path(folder) / strategy
            make_shop(shop, users=count, seed=arguments.seed, until=LAST)
            sides = {
                "memory": run(project(shop, "memory", strategy, base_url)),
                "re-reading": run(project(shop, "re-reading", strategy, base_url, "reread_days = 1\n")),
            }
            figures += compare(strategy, sides["memory"], sides["re-reading"])
    return 0 if report("memory", figures, seed=arguments.seed, users=users, nights=NIGHTS) else 1


@contextmanager
def rule_reader() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("rule_reader.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(10)


def project(shop: Path, name: str, strategy: str, base_url: str, rules: str = "") -> Config:
    """A project of its own over the same logs; what was encoded is shared, since vectors are kept by content."""
    folder = shop / name
    (folder / "work").mkdir(parents=True)
    (shop / "vectors").mkdir(exist_ok=True)
    (folder / "work" / "vectors").symlink_to(shop / "vectors")
    shutil.copytree(shop / "data", folder / "data")
    text = demo_settings().replace('strategy = "grouped"', f'strategy = "{strategy}"')
    text = text.replace("# reread_days = 60 ", f"{rules}# reread_days = 60 ")
    if strategy == "read":
        server = f'kind = "server"\nbase_url = "{base_url}"\nmodel = "rule-reader"\nrevision = "1"\n'
        text = text.replace('kind = "embedded" ', f"{server}# ")
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return load(folder)


def run(config: Config) -> Side:
    side = Side()
    first = LAST - timedelta(days=NIGHTS - 1)
    for number in range(NIGHTS):
        day = first + timedelta(days=number)
        summary = nightly.run(config, [Stage.INTERESTS], day=day)
        [stage] = summary.stages
        if stage.counts["unavailable"]:
            raise SystemExit(f"{day}: {stage.counts['unavailable']} users without an answer; nothing can be compared")
        if number:
            side.notes.update(stage.counts["notes"])
    count = token_counter(Config())
    with Session(open_store(config)) as session:
        query = select(Request.body, Run.night).join(Answer, Answer.request_hash == Request.hash)
        for body, night in session.execute(query.join(Run, Run.id == Answer.run_id)):
            tokens = sum(count(message["content"]) for message in json.loads(body)["messages"])
            if night == first:
                side.first += tokens
            else:
                side.later += tokens
                side.requests += 1
    score(config, side)
    return side


def score(config: Config, side: Side) -> None:
    logs = prepare(config)
    catalogue = logs.catalogue
    found: dict[str, list[str | None]] = {user: [] for user in logs.user_ids()}
    with Session(open_store(config)) as session:
        for row in session.scalars(select(Interest).where(Interest.state == State.ACTIVE)):
            rows = [catalogue.row_of(event["item_id"]) for event in row.evidence if "item_id" in event]
            found[row.user_id].append(truth.majority(catalogue.categories[item] for item in rows if item is not None))
    true = truth.read_truth(config.folder.parent / "truth" / "interests.parquet", night_of(LAST))
    result = truth.score(found, true)
    side.precision, side.recall = result.precision or 0.0, result.recall or 0.0
    side.f1 = 2 * result.right / max(result.found + result.true, 1)


def compare(strategy: str, memory: Side, again: Side) -> list[Figure]:
    figures = [
        Figure(f"{strategy}: prompt tokens, share of re-reading", memory.later / again.later, ("<=", GOAL_TOKENS)),
        Figure(
            f"{strategy}: the same with the first night", (memory.first + memory.later) / (again.first + again.later)
        ),
        Figure(f"{strategy}: F1 lost against re-reading", again.f1 - memory.f1, ("<=", GOAL_F1)),
        Figure(f"{strategy}: F1 apart from re-reading", abs(again.f1 - memory.f1), ("<=", GOAL_F1)),
    ]
    for name, side in (("memory", memory), ("re-reading", again)):
        figures += [
            Figure(f"{strategy}, {name}: F1", side.f1),
            Figure(f"{strategy}, {name}: precision", side.precision),
            Figure(f"{strategy}, {name}: recall", side.recall),
            Figure(f"{strategy}, {name}: first night's tokens", side.first),
            Figure(f"{strategy}, {name}: later nights' tokens", side.later),
            Figure(f"{strategy}, {name}: later nights' requests", side.requests),
            *(Figure(f"{strategy}, {name}: {note}", count) for note, count in sorted(side.notes.items())),
        ]
    return figures


if __name__ == "__main__":
    sys.exit(main())
