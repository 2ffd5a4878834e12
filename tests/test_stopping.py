"""Signals, sent to a real process: what is cancelled, what is interrupted, and what a second signal does."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

Start = Callable[[str], "subprocess.Popen[str]"]
START = """
import asyncio, sys, time
from recgpt.errors import Stopped
from recgpt.stopping import stoppable

async def waits():
    try:
        print("ready", flush=True)
        await asyncio.sleep(600)
    finally:
        await asyncio.sleep(0.1)
        print("put away", flush=True)

def computes():
    print("ready", flush=True)
    while True:
        sum(range(1000))

async def blocks():
    try:
        computes()
    finally:
        await asyncio.sleep(0.1)
        print("put away", flush=True)

async def blocks_in_a_task():
    try:
        await asyncio.gather(*(asyncio.create_task(blocks()) for _ in range(3)))
    finally:
        print("and so is the rest", flush=True)

async def wraps():
    try:
        computes()
    except KeyboardInterrupt:
        raise ValueError("a library's own error")

async def never_ends():
    while True:
        try:
            computes()
        except KeyboardInterrupt:
            print("ignored", flush=True)

try:
    with stoppable() as stopping:
        if sys.argv[1] == "plain":
            computes()
        stopping.run(globals()[sys.argv[1]]())
except Stopped as stopped:
    print(stopped)
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process and waits until it is at work."""
    started = []

    def start(what: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", START, what]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("waits", ["put away"]),
        ("plain", []),
        ("blocks", ["put away"]),
        ("blocks_in_a_task", ["and so is the rest"]),
        ("wraps", []),
    ],
)
def test_a_signal_ends_the_block_once_all_is_put_away(
    start: Start, what: str, said: list[str], number: signal.Signals
) -> None:
    process = start(what)
    process.send_signal(number)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    *lines, message = [line for line in out.splitlines() if line != "ready"]
    assert lines == said
    assert "same command goes on" in message


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(start: Start, number: signal.Signals) -> None:
    process = start("never_ends")
    assert process.stdout is not None
    process.send_signal(number)
    assert process.stdout.readline() == "ignored\n"  # by code that would not stop
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == -number
