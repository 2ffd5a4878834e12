"""A model that reads profile texts at once: the fake server in a process of its own, with answers that pass the gates.

    python benchmarks/fake_reader.py [SECONDS]

prints the base URL and serves until its standard input closes, each answer after so many seconds. An answer names the
categories that most entries of the profile end in, each with those entries as evidence and a sentence as reason: about
1 kB, the size of a real one.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from fake_server import Answer, FakeServer

MODEL = "fake-model"
ENTRY = re.compile(r"\[(\d+)\] ([^\[\n]*)")  # a profile's number, and what follows it up to the next one
MOST = 5  # interests in an answer
LEAST = 3  # entries an interest needs


def read(body: dict[str, Any]) -> str:
    shelves: dict[str, list[int]] = {}
    for number, text in ENTRY.findall(body["messages"][-1]["content"]):
        title, _, category = text.rpartition(" - ")
        if title:
            shelves.setdefault(category.rstrip("; "), []).append(int(number))
    most = sorted(shelves.items(), key=lambda shelf: -len(shelf[1]))[:MOST]
    return json.dumps({"interests": [interest(*shelf) for shelf in most if len(shelf[1]) >= LEAST]})


def interest(category: str, entries: list[int]) -> dict[str, Any]:
    return {
        "evidence": entries[:40],
        "reason": f"Comes back to {category.lower()} again and again over many months: {len(entries)} different items "
        "were looked for, compared, put aside and bought.",
        "name": category.lower(),
        "horizon": "long_term",
    }


if __name__ == "__main__":
    after = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    server = FakeServer(models=[MODEL], answer=lambda body: Answer(read(body), after=after), keep=False)
    print(server.start().base_url, flush=True)
    sys.stdin.read()
    server.stop()
