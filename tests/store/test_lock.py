"""The store's lock, held by real processes, on both databases."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recgpt.config import Config
from recgpt.settings import Store
from recgpt.store.lock import LockedError, alone
from recgpt.store.session import open_store

HOLDER = """
import sys, time
from pathlib import Path
from recgpt.config import Config
from recgpt.settings import Store
from recgpt.store.lock import alone
from recgpt.store.session import open_store
with alone(open_store(Config(folder=Path(sys.argv[1]), store=Store(url=sys.argv[2]))), "recgpt nightly"):
    print("held", flush=True)
    time.sleep(600)
"""
SQLITE = Store().url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    return SQLITE if request.param == "sqlite" else str(request.getfixturevalue("postgres"))


@pytest.fixture
def holder(tmp_path: Path, url: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock."""
    open_store(Config(folder=tmp_path, store=Store(url=url)))
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path), url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_and_told_who_holds_it(
    holder: "subprocess.Popen[str]", tmp_path: Path, url: str
) -> None:
    store = open_store(Config(folder=tmp_path, store=Store(url=url)))
    with pytest.raises(LockedError) as caught, alone(store, "recgpt tags"):
        pass
    message = str(caught.value)
    assert caught.value.exit_code == 1
    said = (
        "recgpt nightly",
        f"pid {holder.pid}",
        socket.gethostname(),
        "since 20",
        " UTC: wait",
        "run the same command",
    )
    for part in said:
        assert part in message


def test_a_killed_holder_leaves_no_lock(holder: "subprocess.Popen[str]", tmp_path: Path, url: str) -> None:
    holder.kill()
    holder.wait()
    store = open_store(Config(folder=tmp_path, store=Store(url=url)))
    deadline = time.monotonic() + 20
    while True:  # a server takes a moment to see that its client is gone
        try:
            with alone(store, "recgpt tags"):
                return
        except LockedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_it_is_free_again_after_the_block(tmp_path: Path, url: str) -> None:
    store = open_store(Config(folder=tmp_path, store=Store(url=url)))
    for _ in range(2):
        with alone(store, "recgpt tags"), pytest.raises(LockedError), alone(store, "recgpt nightly"):
            pass


def test_another_name_for_the_same_file_is_the_same_store(tmp_path: Path) -> None:
    store = open_store(Config(folder=tmp_path))
    (tmp_path / "elsewhere").symlink_to(tmp_path / "work")
    other = open_store(Config(folder=tmp_path, store=Store(url="sqlite:///elsewhere/recgpt.sqlite")))
    with alone(store, "recgpt tags"), pytest.raises(LockedError), alone(other, "recgpt nightly"):
        pass


def test_a_store_in_memory_is_nobody_elses(tmp_path: Path) -> None:
    store = open_store(Config(folder=tmp_path, store=Store(url="sqlite://")))
    with alone(store, "recgpt tags"), alone(store, "recgpt tags"):
        pass
