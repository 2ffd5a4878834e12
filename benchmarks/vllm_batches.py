"""vLLM's own batch runner, with its engine loaded once for many files.

    .venv-vllm/bin/python benchmarks/vllm_batches.py --model WEIGHTS -i - -o - [further arguments of `vllm run-batch`]

Reads lines "INPUT<tab>OUTPUT" from standard input, runs each as `vllm run-batch` would, and prints "SECONDS n" for it:
from the moment when the requests are handed to the engine until the last is answered. Reading and writing the files is
not in it.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from vllm.entrypoints.launchers import run_batch as runner
from vllm.entrypoints.launchers.api_server.entry import build_async_engine_client
from vllm.usage.usage_lib import UsageContext


class Timed(runner.BatchProgressTracker):
    seconds = 0.0

    @contextmanager
    def pbar(self) -> Iterator[None]:
        with super().pbar():
            began = perf_counter()
            yield
            Timed.seconds = perf_counter() - began


async def main() -> None:
    args = runner.parse_args()
    runner.BatchProgressTracker = Timed
    async with build_async_engine_client(args, usage_context=UsageContext.OPENAI_BATCH_RUNNER) as engine:
        print("READY", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            args.input_file, args.output_file = line.rstrip("\n").split("\t")
            await runner.run_batch(engine, args)
            print("SECONDS", Timed.seconds, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
