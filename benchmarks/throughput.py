"""How fast the interests stage asks, and that its memory does not grow with the users.

    python benchmarks/throughput.py [--server fake|vllm|both] [--memory] [--quick]

Against the fake server in another process, which answers at once: users a second of the whole stage (render, ask, keep
in the ledger, parse, gate, keep units and interests), one request a user, beside a bare aiohttp client that only posts
the same bodies and reads the answers, with as many in flight. The two take turns, and medians are given, because a
machine has other things to do. Processor time is all of ours and none of the server's. Then the same once more with
answers that take a tenth of a second: there a stage that keeps 64 requests in flight can't be faster than 640 a second.

Against vLLM: see throughput_vllm.py. With --memory, instead: the most memory that the stage takes for few users and
for many times as many, each in a process of its own, on a shop whose users have about 45 events by that night. The
users a second of both say whether a user costs more as the store grows.
"""

import argparse
import asyncio
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

import aiohttp
from figures import Figure, report
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recgpt import nightly
from recgpt.config import FILE_NAME, load
from recgpt.sources.demo import make_shop
from recgpt.sources.prepare import prepare
from recgpt.stages.night import Progress
from recgpt.store.session import open_store
from recgpt.store.tables import Interest, Request
from recgpt.words import Outcome, Stage

HERE = Path(__file__).resolve()
NIGHT = date(2026, 10, 31)
LEAN = NIGHT - timedelta(days=365)  # a night so early in the logs that users have a third of their events
IN_FLIGHT = 64
SLOW_S = 0.1  # that an answer takes, the second time
BARE_POSTS = 8000  # at least, in one turn of the bare client: it is so fast that fewer say little
CONFIG = """
[engine]
kind = "server"
base_url = "{url}"
model = "fake-model"
revision = "benchmark"
in_flight = {in_flight}
[interests]
strategy = "read"
"""


T = TypeVar("T")


class Turn(NamedTuple):
    """One measurement: requests, the clock's seconds, and our processor's."""

    requests: int
    seconds: float
    cpu: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", choices=("fake", "vllm", "both"), default="both")
    parser.add_argument("--memory", action="store_true", help="memory as users grow, instead of speed")
    parser.add_argument("--quick", action="store_true", help="fewer users; under 5 minutes")
    arguments = parser.parse_args()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="recgpt-throughput-") as folder:
        if arguments.memory:
            figures += memory_figures(Path(folder), *((2_000, 20_000) if arguments.quick else (10_000, 200_000)))
        elif arguments.server != "vllm":
            figures += fake_figures(Path(folder), *((1_000, 3) if arguments.quick else (4_000, 5)))
    if not arguments.memory and arguments.server != "fake":
        figures += vllm(arguments.quick)
    name = "throughput_memory" if arguments.memory else "throughput"
    return 0 if report(name, figures, server=arguments.server, quick=arguments.quick) else 1


def vllm(quick: bool) -> list[Figure]:
    """The figures against a real vLLM; one that misses its goal where its environment is not there."""
    from throughput_vllm import vllm_figures  # noqa: PLC0415 (only here is vLLM asked for)

    try:
        return vllm_figures(quick)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return [Figure("vLLM: measured", 0, (">=", 1))]


def fake_figures(folder: Path, users: int, turns: int) -> list[Figure]:
    make_shop(folder, users=users, seed=3, until=NIGHT)
    with server() as url:
        configure(folder, url)
        stage_turn(folder, users)  # everything is imported, rendered once, and on disk
        bodies, kept = asked(folder)
        whole, bare = take_turns(folder, url, bodies, turns)
    with server(SLOW_S) as url:
        configure(folder, url)
        slow, bare_slow = take_turns(folder, url, bodies, 1)
    ratios = [ours / theirs for ours, theirs in zip(map(rate, whole), map(rate, bare), strict=True)]
    return [
        Figure("users", users),
        Figure("body: mean bytes", sum(map(len, bodies)) / len(bodies)),
        Figure("interests kept a user", kept / users, (">=", 1.0)),
        Figure("stage: requests (users) a second", median(map(rate, whole))),
        Figure("stage: requests a second of our processor", median(map(cpu_rate, whole)), (">=", 500)),
        Figure("bare client: requests a second", median(map(rate, bare))),
        Figure("bare client: requests a second of our processor", median(map(cpu_rate, bare))),
        Figure("stage / bare client", median(ratios), (">=", 0.7)),
        Figure(f"answers take {SLOW_S} s: stage, requests a second", rate(slow[0])),
        Figure(f"answers take {SLOW_S} s: bare client, requests a second", rate(bare_slow[0])),
        Figure(f"answers take {SLOW_S} s: stage / bare client", rate(slow[0]) / rate(bare_slow[0]), (">=", 0.7)),
    ]


def take_turns(folder: Path, url: str, bodies: Sequence[bytes], turns: int) -> tuple[list[Turn], list[Turn]]:
    """The stage and the bare client, one after the other, `turns` times."""
    whole, bare = [], []
    for _ in range(turns):
        whole.append(stage_turn(folder, len(bodies)))
        bare.append(asyncio.run(bare_turn(url, bodies)))
    return whole, bare


def stage_turn(folder: Path, users: int) -> Turn:
    """The interests stage on an empty store. Its processor time includes opening the logs, the store and the engine."""
    for file in (folder / "work").glob("*.sqlite*"):
        file.unlink()
    config = load(folder)
    prepare(config)
    open_store(config).dispose()
    began = cpu()
    (stage,) = nightly.run(config, [Stage.INTERESTS], day=NIGHT).stages
    spent = cpu() - began
    ends = {outcome.value: stage.counts[outcome.value] for outcome in Outcome}
    if stage.usage is None or stage.usage.asked != users or ends["ok"] < 0.95 * users:
        raise SystemExit(f"the stage did not do what it is measured by: {ends}, {stage.usage}")
    return Turn(stage.usage.asked, stage.seconds, spent)


async def bare_turn(url: str, bodies: Sequence[bytes]) -> Turn:
    """Post bodies and read the answers, IN_FLIGHT at once; nothing else."""
    posts = -(-BARE_POSTS // len(bodies)) * len(bodies)
    source = (bodies[number % len(bodies)] for number in range(posts))
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT), headers=headers) as session:

        async def worker() -> None:
            for body in source:
                async with session.post(f"{url}/chat/completions", data=body) as response:
                    await response.read()

        began, clock = cpu(), perf_counter()
        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
        return Turn(posts, perf_counter() - clock, cpu() - began)


def asked(folder: Path) -> tuple[list[bytes], int]:
    """The bodies that the stage posted, and how many interests it kept."""
    with Session(open_store(load(folder))) as session:
        bodies = [body.encode() for body in session.scalars(select(Request.body))]
        return bodies, session.scalar(select(func.count()).select_from(Interest)) or 0


def memory_figures(folder: Path, few: int, many: int) -> list[Figure]:
    figures, peaks = [], []
    for users in (few, many):
        place = folder / str(users)
        alone(make, place, users)
        with server() as url:
            configure(place, url)
            peak, speed = alone(lean_run, place, users)
        shutil.rmtree(place)
        peaks.append(peak)
        figures += [
            Figure(f"{users} users: peak memory, MB", peak, ("<=", 600)),
            Figure(f"{users} users: users a second, in the second half", speed),
        ]
    return [*figures, Figure("peak memory: many users / few", peaks[1] / peaks[0], ("<=", 1.1))]


def alone(work: Callable[..., T], *arguments: Any) -> T:
    """Call in a process of its own, whose memory has held nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def make(folder: Path, users: int) -> None:
    make_shop(folder, users=users, seed=3, until=NIGHT)
    configure(folder, "http://127.0.0.1:9/v1")
    prepare(load(folder))


def lean_run(folder: Path, users: int) -> tuple[float, float]:
    """The most memory that this process ever held, in MB, and the second half's users a second."""
    reached: list[float] = []

    def note(step: Progress) -> None:
        if not reached and step.done >= users // 2:
            reached.append(perf_counter())

    (stage,) = nightly.run(load(folder), [Stage.INTERESTS], day=LEAN, progress=note).stages
    speed = (users - users // 2) / (perf_counter() - reached[0])
    if stage.counts[Outcome.OK] < 0.9 * users:
        raise SystemExit(f"the stage did not do what it is measured by: {stage.counts}")
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1000, speed


def rate(turn: Turn) -> float:
    return turn.requests / turn.seconds


def cpu_rate(turn: Turn) -> float:
    return turn.requests / turn.cpu


def cpu() -> float:
    """Our processor's seconds so far, in all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def configure(folder: Path, url: str) -> None:
    (folder / FILE_NAME).write_text(CONFIG.format(url=url, in_flight=IN_FLIGHT), encoding="utf-8")


@contextmanager
def server(answer_s: float = 0.0) -> Iterator[str]:
    """The base URL of a fake server in a process of its own."""
    command = [sys.executable, str(HERE.with_name("fake_reader.py")), str(answer_s)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(10)


if __name__ == "__main__":
    sys.exit(main())
