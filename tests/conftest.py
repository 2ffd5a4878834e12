"""Fixtures for every room."""

import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Read when torch is imported, here and in every command that a test starts. The tests run side by side, one a core, and
# a core's worth of threads each: threads that wait for each other on cores that others use take many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Modules that several tests share, and that a benchmark can run as a process too. Not this folder itself: it has
# folders named like the packages under test.
sys.path.insert(0, str(Path(__file__).parent / "support"))

from command import command, recgpt
from fake_server import FakeServer
from project import asked, project, shop
from written import table

__all__ = ["asked", "command", "project", "recgpt", "shop", "table"]

# What was started in the background ignores Ctrl-C, and so would every command that a test starts and stops.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    """A fake OpenAI-compatible server that serves "fake-model"; see fake_server.py for what it can be told to do."""
    server = FakeServer().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Callable[[], str]]:
    """A PostgreSQL server that runs until the tests end; a call makes a new database and gives its URL."""
    pytest.importorskip("psycopg", reason="pip install 'recgpt[postgres]'")
    import postgresql

    numbers = itertools.count(1)
    try:
        with postgresql.running() as host:

            def database() -> str:
                name = f"recgpt_{next(numbers)}"
                postgresql.execute(host, f"create database {name}")
                return f"postgresql+psycopg://recgpt@/{name}?host={host}"

            yield database
    except postgresql.MissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def postgres(postgres_server: Callable[[], str]) -> str:
    """The URL of an empty PostgreSQL database of this test's own."""
    return postgres_server()
