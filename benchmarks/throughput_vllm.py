"""How fast the interests stage keeps a real vLLM server at work, beside vLLM's own batch runner on the same requests.

    python benchmarks/throughput_vllm.py [--quick]

Both on this machine's CPU, with the small packaged model and the same flags; .venv-vllm must be there (`make test-vllm`
makes it). Each has an engine of its own, which is loaded and warmed up before anything is timed. They take turns: the
stage names the interests of a shop's users, then the batch runner answers the very bodies that the stage posted. Each
turn has a shop of its own, so that no user's text is in a cache, and the instructions are in both.

The stage's seconds are all of it but for the catalogue's vectors, which a shop has from the night before: grouping,
asking over HTTP, the ledger, parsing, keeping. The batch runner's are those of its engine alone. Both compute as many
requests at once as the engine takes (SEQUENCES), and have more waiting. On a CPU the stage's own work takes processor
time from the engine, which it would not on a GPU.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from statistics import median
from typing import NamedTuple

from figures import Figure, report
from sqlalchemy import select
from sqlalchemy.orm import Session

from recgpt import nightly
from recgpt.config import FILE_NAME, load
from recgpt.engine.serve import arguments
from recgpt.sources.demo import make_shop
from recgpt.store.session import open_store
from recgpt.store.tables import Request
from recgpt.words import Stage

HERE = Path(__file__).resolve()
sys.path.append(str(HERE.parents[1] / "tests" / "support"))

from vllm_server import VllmServer, environment, program  # noqa: E402 (it lies beside the tests that share it)

NIGHT = date(2026, 10, 31)
SEQUENCES = 8  # requests computed at once; the fewer, the shorter the end of a turn in which not all are busy
WARM_UP = 8  # users whom nothing is timed on
GOAL = (">=", 0.95)


class Turn(NamedTuple):
    requests: int
    tokens_in: int
    tokens_out: int
    seconds: float


def vllm_figures(quick: bool) -> list[Figure]:
    """Measure.

    Raises:
        RuntimeError: there is no .venv-vllm, or an engine did not start.
    """
    users, turns = (120, 1) if quick else (200, 3)
    with tempfile.TemporaryDirectory(prefix="recgpt-vllm-") as name:
        folder = Path(name)
        server = VllmServer.at(folder, "--max-num-seqs", str(SEQUENCES))
        try:
            server.start()
            with BatchRunner.started(server) as runner:
                turn(folder / "warm", 0, WARM_UP, server, runner)
                pairs = [turn(folder / str(number), number, users, server, runner) for number in range(1, turns + 1)]
        finally:
            server.kill()
    ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return [
        Figure("vLLM: requests a turn", median(one.requests for one in ours)),
        Figure("vLLM: prompt tokens a second, stage", median(map(read, ours))),
        Figure("vLLM: prompt tokens a second, batch runner", median(map(read, theirs))),
        Figure("vLLM: prompt tokens a second, stage / batch runner", ratio(read, pairs), GOAL),
        Figure("vLLM: generated tokens a second, stage", median(map(written, ours))),
        Figure("vLLM: generated tokens a second, batch runner", median(map(written, theirs))),
        Figure("vLLM: generated tokens a second, stage / batch runner", ratio(written, pairs), GOAL),
    ]


def read(one: Turn) -> float:
    return one.tokens_in / one.seconds


def written(one: Turn) -> float:
    return one.tokens_out / one.seconds


def ratio(rate: Callable[[Turn], float], pairs: Sequence[tuple[Turn, Turn]]) -> float:
    """The median over the pairs, since what else the machine does changes from one to the next."""
    return median(rate(ours) / rate(theirs) for ours, theirs in pairs)


def turn(folder: Path, number: int, users: int, server: VllmServer, runner: "BatchRunner") -> tuple[Turn, Turn]:
    """The stage on a shop of its own, then the batch runner on what the stage posted."""
    make_shop(folder, users=users, seed=number, until=NIGHT)
    (folder / FILE_NAME).write_text(server.settings(in_flight=4 * SEQUENCES), encoding="utf-8")
    config = load(folder)
    nightly.run(config, [Stage.INTERESTS], day=NIGHT, dry_run=True)  # prepares the logs and the catalogue's vectors
    (stage,) = nightly.run(config, [Stage.INTERESTS], day=NIGHT).stages
    usage = stage.usage
    if usage is None or not usage.asked or usage.ok != usage.asked:
        raise RuntimeError(f"the stage did not do what it is measured by: {usage}")
    with Session(open_store(config)) as session:
        bodies = list(session.scalars(select(Request.body).order_by(Request.created_at, Request.hash)))
    return Turn(usage.asked, usage.tokens_in, usage.tokens_out, stage.seconds), runner.run(folder, bodies)


class BatchRunner:
    """vllm_batches.py in vLLM's environment, with the server's own flags. Its log is beside the server's."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process, self._log = process, log

    @classmethod
    @contextmanager
    def started(cls, server: VllmServer) -> Iterator["BatchRunner"]:
        flags = ["--model", *arguments(load(server.folder), server.further()), "-i", "-", "-o", "-"]
        command = [program("python"), HERE.with_name("vllm_batches.py"), *flags]
        log = server.folder / "batches.log"
        with log.open("wb") as errors, subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment(),
            start_new_session=True,
        ) as process:  # fmt: skip
            runner = cls(process, log)
            try:
                runner.hear("READY")
                yield runner
            finally:
                os.killpg(process.pid, signal.SIGKILL)  # the engine is a process of its own

    def run(self, folder: Path, bodies: Sequence[str]) -> Turn:
        posted, answered = folder / "posted.jsonl", folder / "answered.jsonl"
        lines = (
            json.dumps({"custom_id": str(n), "method": "POST", "url": "/v1/chat/completions", "body": json.loads(body)})
            for n, body in enumerate(bodies)
        )
        posted.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        assert self._process.stdin is not None
        self._process.stdin.write(f"{posted}\t{answered}\n")
        self._process.stdin.flush()
        seconds = float(self.hear("SECONDS"))
        answers = [json.loads(line)["response"] for line in answered.read_text(encoding="utf-8").splitlines()]
        if len(answers) != len(bodies) or any(one is None or one["status_code"] != 200 for one in answers):
            raise RuntimeError(f"the batch runner answered {len(answers)} of {len(bodies)} requests: see {answered}")
        usages = [one["body"]["usage"] for one in answers]
        totals = (sum(one[key] for one in usages) for key in ("prompt_tokens", "completion_tokens"))
        return Turn(len(bodies), *totals, seconds)

    def hear(self, word: str) -> str:
        """The rest of the next line that begins with a word; vLLM may print others before it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(word):
                return line.removeprefix(word).strip()
        raise RuntimeError(f"the batch runner ended; the end of its log:\n{self._log.read_text('utf-8')[-4000:]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer users and turns; under 5 minutes")
    quick = parser.parse_args().quick
    return 0 if report("throughput_vllm", vllm_figures(quick), quick=quick) else 1


if __name__ == "__main__":
    sys.exit(main())
