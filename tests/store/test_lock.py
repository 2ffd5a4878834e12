"""The store's lock, held by real processes, on both databases."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recgpt.config import Config, Store
from recgpt.store.lock import LockedError, alone
from recgpt.store.session import open_store

HOLDER = """
import sys, time
from pathlib import Path
from recgpt.config import Config, Store
from recgpt.store.lock import alone
from recgpt.store.session import open_store
with alone(open_store(Config(folder=Path(sys.argv[1]), store=Store(url=sys.argv[2]))), "recgpt nightly"):
    print("held", flush=True)
    time.sleep(600)
"""
SQLITE = Store().url


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of this test's own, as a user that is not root."""
    pytest.importorskip("psycopg", reason="pip install 'recgpt[postgres]'")
    if not (shutil.which("initdb") and shutil.which("postgres")):
        pytest.skip("PostgreSQL's initdb and postgres are not on the path")
    folder = Path("/tmp", f"recgpt-pg-{os.getpid()}")  # short: a socket's path may have 107 bytes
    folder.mkdir(mode=0o777)
    who = {"user": "nobody"} if os.getuid() == 0 else {}
    if who:
        shutil.chown(folder, "nobody")
    data, port = folder / "data", free_port()
    subprocess.run(["initdb", "-D", data, "-U", "recgpt", "-A", "trust"], check=True, capture_output=True, **who)
    server = subprocess.Popen(
        ["postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-c", "fsync=off"],
        stderr=subprocess.DEVNULL,
        **who,
    )
    try:
        for _ in range(200):
            ready = subprocess.run(["pg_isready", "-h", "127.0.0.1", "-p", str(port)], check=False, capture_output=True)
            if ready.returncode == 0:
                break
            time.sleep(0.1)
        yield f"postgresql+psycopg://recgpt@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
    for part in ("recgpt nightly", f"pid {holder.pid}", socket.gethostname(), "since 20", "run the same command again"):
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
