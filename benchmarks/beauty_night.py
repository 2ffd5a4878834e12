"""The same night on real data by config alone: amazon_beauty_2014, no importer.

    python benchmarks/beauty_night.py [--quick] [--data ../shared/data/amazon_beauty_2014]

Runs the night on `slice500` (its first users), runs it again (which must ask nothing), and trains the towers on the
full set through the same command that a user has. Leave-one-out figures of the towers are `beauty.py`'s.
"""

import argparse
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from figures import Figure, report

from recgpt import nightly
from recgpt.config import FILE_NAME, Config, load
from recgpt.sources.prepare import prepare
from recgpt.words import Stage

NIGHT = date(2014, 7, 31)
CONFIG = """
[data]
users = "{data}/users.parquet"
items = "{data}/items.parquet"
events = "{data}/events.parquet"
[data.columns.items]
category = "category_path"
[data.columns.events]
behaviour = "event_type"
[behaviours.review]
reliable = true
weight = 4.0
word = "reviewed"
[score]
leave_out = ["review"]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20 users, and towers of 2 epochs")
    parser.add_argument("--users", type=int, default=500)
    default = Path(__file__).resolve().parents[1] / "../shared/data/amazon_beauty_2014"
    parser.add_argument("--data", type=Path, default=default)
    arguments = parser.parse_args()
    users = 20 if arguments.quick else arguments.users
    with tempfile.TemporaryDirectory(prefix="recgpt-beauty-") as folder:
        figures = night(project(Path(folder) / "slice", arguments.data / "slice500"), users)
        extra = "[towers.training]\nmax_epochs = 2\n" if arguments.quick else ""
        figures += training(project(Path(folder) / "full", arguments.data, extra))
    return 0 if report("beauty_night", figures, users=users, quick=arguments.quick) else 1


def project(folder: Path, data: Path, extra: str = "") -> Config:
    folder.mkdir()
    (folder / FILE_NAME).write_text(CONFIG.format(data=data.resolve()) + extra, encoding="utf-8")
    return load(folder)


def night(config: Config, users: int) -> list[Figure]:
    """Counts of the first night, and what the second asks."""
    began = time.monotonic()
    first = nightly.run(config, day=NIGHT, users=users)
    seconds = time.monotonic() - began
    again = nightly.run(config, day=NIGHT, users=users)
    figures = [Figure("night: seconds", seconds), Figure("night: coverage", first.coverage, (">=", 0.95))]
    for one in first.stages:
        for name in ("units", "ok", "invalid", "unavailable", "recommendations"):
            if name in one.counts:
                figures.append(Figure(f"{one.stage}: {name}", one.counts[name]))
    asked = sum(one.usage.asked for one in again.stages if one.usage)
    return [*figures, Figure("second night: requests asked", asked, ("<=", 0))]


def training(config: Config) -> list[Figure]:
    """`recgpt towers train` on all 198,502 events, reading the logs and encoding the titles included."""
    began = time.monotonic()
    summary = nightly.run(config, [Stage.TOWERS], day=NIGHT, force_training=True)
    counts = summary.stages[0].counts
    events = prepare(config).counts["events"]
    return [
        Figure("full set: events kept", events["kept"], (">=", 198_502)),
        Figure("towers train: seconds, all in", time.monotonic() - began, ("<=", 600)),
        Figure("towers train: seconds, training alone", counts["seconds"]),
        Figure("towers train: held-out recall@10", counts["recall_at_10"]),
        Figure("towers train: held-out ndcg@10", counts["ndcg_at_10"]),
    ]


if __name__ == "__main__":
    sys.exit(main())
