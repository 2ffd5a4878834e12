"""Users as text: how fast, how short, and in how much memory.

    python benchmarks/rendering.py [--quick] [--data ../shared/data] [--shop FOLDER]

On complete_journey and amazon_beauty_2014, loaded by config alone, and on shops of `make_shop`. Every text is held
against its history: each event done on purpose must stand at the number that names its item, as often as it was, or in
the count of what was left out. Without the data sets what needs them is skipped, and `ok` is false.

Two renderings of one line an event are measured beside ours. `full` writes out what the tables say, as one does first;
`lean` is what is left when somebody has looked at the bill: the day, the behaviour, the title and the category's leaf.

Speed is in seconds of this process's CPU time, which is one thread. Its input is real histories cut into pieces of 200
events: a shop whose users all have 200 is not to be had. The catalogue's items are named before, which happens once in
a process, and that is told apart. Memory is the peak of a child process that renders every user of a shop. --shop keeps
the shops made for it, for the next time.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import numpy as np
from figures import Figure, report
from profile_text import entries, left_out, told

import prompts
from recgpt.config import FILE_NAME, Config, load, night_of
from recgpt.engine.tokens import token_counter
from recgpt.rendering.environment import environment
from recgpt.rendering.labels import labels_of
from recgpt.rendering.profile import Profile, render
from recgpt.rendering.titles import label
from recgpt.sources.demo import make_shop
from recgpt.sources.logs import History, Logs
from recgpt.sources.prepare import prepare

PIECE = 200  # events of a user whose rendering is timed
BUDGET = 8_000
NO_BUDGET = 10**9
COLUMNS = ("times", "behaviours", "items", "queries", "values")  # of a history
WINDOWS = (8_000, 32_000, 128_000)
SHOP_UNTIL = date(2026, 9, 14)
LAKE = """
[data]
users = "{data}/users.parquet"
items = "{data}/items.parquet"
events = "{data}/events.parquet"
"""
MAPPED = """
[data.columns.items]
category = "category_path"
[data.columns.events]
behaviour = "event_type"
"""
JOURNEY = 'base_features = ["age", "income", "marital_status", "household_size", "kids_count"]' + MAPPED
JOURNEY += """
[behaviours.coupon_redeem]
reliable = true
weight = 1.0
word = "redeemed a coupon for"
[behaviours.campaign_exposure]
reliable = false
weight = 0.1
word = "was sent"
"""
BEAUTY = MAPPED + '[behaviours.review]\nreliable = true\nweight = 4.0\nword = "reviewed"\n'
SHOP = 'base_features = ["age", "gender", "city"]\n'


class Data:
    """One prepared data set, and how its users are rendered and counted."""

    def __init__(self, folder: Path, lake: Path, more: str, night: date) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE_NAME).write_text(LAKE.format(data=lake.resolve()) + more, encoding="utf-8")
        self.config: Config = load(folder)
        self.logs: Logs = prepare(self.config)
        self.night: datetime = night_of(night)
        self.count_tokens: Callable[[str], int] = token_counter(self.config)
        self._labels: dict[int, str] = {}

    def render(self, history: History, max_tokens: int) -> Profile:
        """As the stage does it: as of the user's own last event."""
        as_of = history.times[-1].astype(datetime).replace(tzinfo=UTC) if len(history) else self.night
        return render(
            history, self.logs.catalogue, self.config.behaviours, self.logs.behaviours, night=as_of,
            max_tokens=max_tokens, count_tokens=self.count_tokens, title_words=self.config.rendering.title_words,
        )  # fmt: skip

    def label(self, row: int) -> str:
        if row not in self._labels:
            items = self.logs.catalogue
            self._labels[row] = label(
                items.titles[row], items.brands[row], items.categories[row], self.config.rendering.title_words
            )
        return self._labels[row]

    def naive(self, history: History) -> tuple[str, str]:
        """The full and the lean rendering: one line an event, of every event done on purpose."""
        items, full, lean = self.logs.catalogue, list[str](), list[str]()
        moments = history.times.astype("datetime64[m]").astype(str).tolist()
        for moment, code, row, query in zip(
            moments, history.behaviours.tolist(), history.items.tolist(), history.queries, strict=True
        ):
            behaviour = self.config.behaviours[self.logs.behaviours[code]]
            if not behaviour.reliable:
                continue
            if row < 0:
                full.append(f"{moment.replace('T', ' ')} {self.logs.behaviours[code]}: {query}")
                lean.append(f"{moment[:10]} {behaviour.word} {query}")
                continue
            brand = f", {items.brands[row]}" if items.brands[row] else ""
            full.append(
                f"{moment.replace('T', ' ')} {self.logs.behaviours[code]}: {items.titles[row]} "
                f"({items.categories[row]}){brand}"
            )
            leaf = items.categories[row].rpartition(" > ")[2]
            lean.append(f"{moment[:10]} {behaviour.word} {items.titles[row]} - {leaf}")
        return "\n".join(full), "\n".join(lean)

    def unaccounted(self, history: History, profile: Profile) -> int:
        """Events done on purpose that the text itself neither names nor counts, or counts wrongly."""
        known = self.config.behaviours
        reliable = {
            event
            for event, code in enumerate(history.behaviours.tolist())
            if known[self.logs.behaviours[code]].reliable
        }
        said = {one.number: one for one in entries(profile.text)}
        missing = len(reliable)
        for line in profile.lines:
            one = said[line.number]
            names = {self.label(int(history.items[event])) for event in line.events if history.items[event] >= 0}
            named = one.name in names or one.name.rpartition(" (")[0] in names or one.name == f'"{line.query}"'
            if named and len(names) <= 1 and reliable.issuperset(line.events) and told(one.when) == len(line.events):
                missing -= len(line.events)
        return abs(missing - left_out(profile.text))


def length(data: Data, name: str, users: int | None, goal: float | None) -> list[Figure]:
    """Tokens of every (or every n-th) user's text, against one line an event; and who fits which window."""
    every = 1 if users is None else max(1, data.logs.n_users // users)
    totals, fits, unaccounted, over, events, numbers = [0, 0, 0], {}, 0, 0, 0, 0
    n = 0
    for history in islice(data.logs.histories(data.night), 0, None, every):
        whole = data.render(history, NO_BUDGET)
        cut = data.render(history, BUDGET)
        unaccounted += data.unaccounted(history, whole) + data.unaccounted(history, cut)
        over += data.count_tokens(cut.text) > BUDGET
        tokens = [data.count_tokens(text) for text in (*data.naive(history), whole.text)]
        totals = [total + count for total, count in zip(totals, tokens, strict=True)]
        for window in WINDOWS:
            for kind, count in zip(("full", "lean", "ours"), tokens, strict=True):
                fits[kind, window] = fits.get((kind, window), 0) + (count <= window)
        n, numbers, events = n + 1, numbers + len(whole.lines), events + sum(len(line.events) for line in whole.lines)
    full, lean, ours = (total / n for total in totals)
    return [
        Figure(f"{name}: users", n),
        Figure(f"{name}: events on purpose a user", events / n),
        Figure(f"{name}: numbers a user", numbers / n),
        Figure(f"{name}: tokens a user, full", full),
        Figure(f"{name}: tokens a user, lean", lean),
        Figure(f"{name}: tokens a user, ours", ours),
        Figure(f"{name}: ours / full", ours / full, goal and ("<=", goal)),
        Figure(f"{name}: ours / lean", ours / lean, goal and ("<=", goal)),
        Figure(f"{name}: events neither named nor counted", unaccounted, ("<=", 0)),
        Figure(f"{name}: texts over a budget of {BUDGET}", over, ("<=", 0)),
        *(
            Figure(f"{name}: share that fits {window // 1000}k, {kind}", fits[kind, window] / n)
            for window in WINDOWS
            for kind in ("full", "lean", "ours")
        ),
    ]


def pieces(data: Data) -> list[History]:
    """Histories of exactly PIECE events, cut from the real ones."""
    cut = []
    for whole in data.logs.histories(data.night):
        for start in range(0, len(whole) - PIECE + 1, PIECE):
            rows = slice(start, start + PIECE)
            columns = {name: getattr(whole, name)[rows] for name in COLUMNS}
            cut.append(History(whole.user_id, whole.features, **columns))
    return cut


def speed(data: Data, name: str, goal: float | None) -> list[Figure]:
    users, items = pieces(data), data.logs.catalogue
    began = time.process_time()
    labels_of(items, data.config.rendering.title_words).of(np.arange(len(items)))
    naming = time.process_time() - began
    for history in users:
        data.render(history, BUDGET)
    rendering = time.process_time() - began - naming
    began = time.process_time()
    read = sum(1 for _ in data.logs.histories(data.night))
    reading = time.process_time() - began
    return [
        Figure(f"{name}: users of {PIECE} events rendered a second", len(users) / rendering, goal and (">=", goal)),
        Figure(f"{name}: users timed", len(users)),
        Figure(f"{name}: items named a second, once in a process", len(items) / naming),
        Figure(f"{name}: users a second, naming all items included", len(users) / (naming + rendering)),
        Figure(f"{name}: histories read a second, at their own length", read / reading),
    ]


def prefix(data: Data, name: str, users: int) -> list[Figure]:
    """What a server's prefix cache can share between one user's request and the next one's."""
    prompt = prompts.load("interests_read")
    around = environment(data.config, data.night.date() - timedelta(days=1))
    asked = [
        _request(prompt, around, data.render(one, BUDGET).text) for one in data.logs.histories(data.night, limit=users)
    ]
    fixed = _request(prompt, around, "\0").partition("\0")[0]
    shared = [len(_common(one, other)) for one, other in pairwise(asked)]
    counts = [(data.count_tokens(one[:end]), data.count_tokens(one)) for one, end in zip(asked, shared, strict=False)]
    return [
        Figure(
            f"{name}: requests that share all that comes before the profile",
            sum(end >= len(fixed) for end in shared) / len(shared),
            (">=", 1.0),
        ),
        Figure(f"{name}: tokens that two requests share", statistics.median(same for same, _ in counts)),
        Figure(f"{name}: share of a request's tokens", statistics.median(same / whole for same, whole in counts)),
    ]


def _request(prompt: prompts.Prompt, around: str, profile: str) -> str:
    values = {"environment": around, "profile": profile}
    messages = prompt.messages(**{name: values[name] for name in prompt.variables})
    return "\n".join(f"{message['role']}\n{message['content']}" for message in messages)


def _common(one: str, other: str) -> str:
    end = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:end]


def memory(folder: Path, sizes: Sequence[int]) -> list[Figure]:
    """Peaks of child processes: one that prepares a shop of so many users, one that renders all of them."""
    figures, peaks = [], list[float]()
    for users in sizes:
        shop = folder / f"shop-{users}"
        if not (shop / "data/events.parquet").exists():
            _child("make", shop, users)
        prepared, rendered = _child("prepare", shop, users), _child("render", shop, users)
        peaks.append(rendered["peak_mb"])
        figures += [
            Figure(f"shop of {users:,}: MB at most, preparing", prepared["peak_mb"]),
            Figure(f"shop of {users:,}: users prepared a second", users / prepared["seconds"]),
            Figure(f"shop of {users:,}: MB at most, reading and rendering", rendered["peak_mb"]),
            Figure(f"shop of {users:,}: users read and rendered a second", users / rendered["seconds"]),
            Figure(f"shop of {users:,}: events a user", rendered["events"] / users),
        ]
    return [*figures, Figure("memory, most users / fewest", peaks[-1] / peaks[0], ("<=", 1.10))]


def _child(what: str, folder: Path, users: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", what, "--shop", str(folder), "--users", str(users)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def child(what: str, folder: Path, users: int) -> None:
    began, events = time.monotonic(), 0
    if what == "make":
        make_shop(folder, users=users, seed=20261122, until=SHOP_UNTIL)
    else:
        if what == "prepare":
            shutil.rmtree(folder / "work", ignore_errors=True)
        data = Data(folder, folder / "data", SHOP, SHOP_UNTIL)
        if what == "render":
            began = time.monotonic()
            for history in data.logs.histories(data.night):
                data.render(history, BUDGET)
                events += len(history)
    # The high-water mark of this program alone: the one of getrusage begins with its parent's.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]
    print(json.dumps({"peak_mb": peak, "seconds": time.monotonic() - began, "events": events}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer users, and memory at 2,000 and 10,000 of them")
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[1] / "../shared/data")
    parser.add_argument("--shop", type=Path, help="folder that keeps the generated shops")
    parser.add_argument("--child", choices=("make", "prepare", "render"), help=argparse.SUPPRESS)
    parser.add_argument("--users", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.shop, arguments.users)
        return 0
    figures, users = [], 200 if arguments.quick else None
    with tempfile.TemporaryDirectory(prefix="recgpt-rendering-") as temporary:
        folder = Path(temporary)
        shops = arguments.shop or folder / "shops"
        journey, beauty = arguments.data / "complete_journey", arguments.data / "amazon_beauty_2014"
        if journey.is_dir():
            data = Data(folder / "journey", journey, JOURNEY, date(2017, 12, 31))
            figures += speed(data, "complete_journey", 2_000)
            figures += length(data, "complete_journey", users, 0.25)
            figures += prefix(data, "complete_journey", 100)
        if beauty.is_dir():
            data = Data(folder / "beauty", beauty, BEAUTY, date(2014, 7, 31))
            figures += length(data, "amazon_beauty_2014", users and 10 * users, None)
        small = shops / "shop-2000"
        if not (small / "data/events.parquet").exists():
            _child("make", small, 2_000)
        data = Data(small, small / "data", SHOP, SHOP_UNTIL)
        figures += speed(data, "demo shop", None)
        figures += length(data, "demo shop", users, None)
        figures += memory(shops, (2_000, 10_000) if arguments.quick else (10_000, 200_000))
    absent = [path.name for path in (journey, beauty) if not path.is_dir()]
    for name in absent:
        print(f"skipped: {name} is not in {arguments.data}; give its folder's parent with --data")
        figures.append(Figure(f"{name}: present", 0, (">=", 1)))
    return 0 if report("rendering", figures, quick=arguments.quick, absent=absent) else 1


if __name__ == "__main__":
    sys.exit(main())
