"""Each row of "The run" in docs/reliability.md: a server that is not there or goes away, a kill, a small disk."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docs_table import table
from fake_server import Answer, Fault, from_schema, schema_of, status
from scripted import Body, answer, last

from recgpt.engine.asking import GIVE_UP_AFTER
from recgpt.store.tables import Answer as AnswerRow
from recgpt.store.tables import Interest
from recgpt.store.tables import Request as RequestRow
from recgpt.words import Stage

ROWS = table("The run")
READ = {"strategy": "read"}


def test_the_table_and_the_tests_agree() -> None:
    assert {name.removeprefix("test_") for name in globals() if name.startswith("test_")} == {
        *ROWS, "the_table_and_the_tests_agree"
    }  # fmt: skip


@pytest.fixture(autouse=True)
def row(request: pytest.FixtureRequest) -> dict[str, str]:
    return ROWS.get(request.node.originalname.removeprefix("test_"), {})


def test_no_server(reader: Any, recgpt: Any, row: dict[str, str]) -> None:
    reader.server.stop()
    done = recgpt("interests")
    assert (str(done.code), "start it with 'recgpt engine serve'" in done.err) == (row["exit"], True)
    done = recgpt("doctor")
    assert (done.code, "NO  engine" in done.out) == (1, True)
    reader.server.start()


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "http://127.0.0.1:99999/v1"])
def test_no_address(reader: Any, recgpt: Any, row: dict[str, str], url: str) -> None:
    reader.configure(interests=READ, engine={"base_url": url})
    done = recgpt("interests")
    assert (str(done.code), "correct engine.base_url" in done.err) == (row["exit"], True)


def test_another_model_is_served(reader: Any, recgpt: Any, row: dict[str, str]) -> None:
    reader.server.models = ["adapter-7"]
    done = recgpt("interests")
    assert (str(done.code), "does not serve 'fake-model', only 'adapter-7'" in done.err) == (row["exit"], True)


def test_no_key(reader: Any, recgpt: Any, row: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    reader.server.key = "secret"
    reader.configure(interests=READ, engine={"api_key_env": "SHOP_KEY"})
    for key in (None, "", "half\nof a header"):
        monkeypatch.delenv("SHOP_KEY", raising=False)
        if key is not None:
            monkeypatch.setenv("SHOP_KEY", key)
        done = recgpt("interests")
        assert (str(done.code), "export" in done.err) == (row["exit"], True)
    monkeypatch.setenv("SHOP_KEY", "secret\n")  # read from a file
    assert recgpt("interests").code == 0


def test_server_dies_and_stays_away(reader: Any, recgpt: Any, asked: Callable[[], int], row: dict[str, str]) -> None:
    server = reader.server
    reader.configure(interests=READ, engine={"in_flight": 2})
    gone = threading.Event()

    def dying(body: Body) -> Any:
        if len(server.requests) < 6:
            return from_schema(schema_of(body))
        if not gone.is_set():
            gone.set()
            threading.Thread(target=server.stop).start()
        return Fault("close")

    server.answer = dying
    done = recgpt("interests")
    assert (str(done.code), "run the same command again" in done.err) == (row["exit"], True)
    assert gone.wait(10)
    while server._thread.is_alive():
        time.sleep(0.01)
    kept = len(reader.rows(AnswerRow))
    assert kept == 5
    asked()
    server.answer = lambda body: from_schema(schema_of(body))
    server.start()
    assert recgpt("interests").code == 0
    assert asked() == 12 - kept


def test_server_dies_and_comes_back(
    reader: Any, recgpt: Any, row: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recgpt.engine.asking.FIRST_WAIT_S", 0.5)
    server = reader.server
    reader.configure(interests=READ, engine={"retries": 5})
    back: list[threading.Thread] = []

    def restart() -> None:
        server.stop()
        time.sleep(0.3)
        server.start()

    def dying(body: Body) -> Any:
        if len(server.requests) >= 6 and not back:
            back.append(threading.Thread(target=restart))
            back[0].start()
        return Fault("close") if len(server.requests) == 6 else from_schema(schema_of(body))

    server.answer = dying
    assert str(recgpt("interests").code) == row["exit"]
    back[0].join()
    assert len(reader.rows(AnswerRow)) == 12


def test_no_answers_in_a_row(reader: Any, recgpt: Any, asked: Callable[[], int], row: dict[str, str]) -> None:
    reader.configure(engine={"retries": 0})  # named in groups: more requests than it takes to give up
    reader.server.answer = lambda body: status(500)
    done = recgpt("interests")
    assert (str(done.code), f"{GIVE_UP_AFTER} requests in a row" in done.err) == (row["exit"], True)
    assert GIVE_UP_AFTER <= asked() <= GIVE_UP_AFTER + reader.config.engine.in_flight
    reader.server.answer = answer
    assert recgpt("interests").code == 0


def test_no_more_connections(reader: Any, recgpt: Any, row: dict[str, str]) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def last_one(body: Body) -> Any:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        return Fault("close")  # and so a new connection is needed

    reader.configure(interests=READ, engine={"in_flight": 1, "base_url": "nowhere"})
    assert recgpt("interests").code == 1  # what prints an error is imported by now: there is no file left for that
    reader.configure(interests=READ, engine={"in_flight": 1})
    reader.server.answer = last_one
    try:
        done = recgpt("interests")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert (str(done.code), "lower engine.in_flight" in done.err) == (row["exit"], True)
    reader.server.answer = lambda body: from_schema(schema_of(body))
    assert recgpt("interests").code == 0


def test_many_users_without_an_answer(reader: Any, recgpt: Any, asked: Callable[[], int], row: dict[str, str]) -> None:
    unlucky: set[str] = set()

    def half(body: Body) -> Any:
        if len(reader.server.requests) % 2 == 0 or last(body) in unlucky:
            unlucky.add(last(body))
            return status(503)
        return from_schema(schema_of(body))

    reader.server.answer = half
    assert str(recgpt("interests").code) == row["exit"]
    asked()
    reader.server.answer = lambda body: from_schema(schema_of(body))
    assert recgpt("interests").code == 0
    assert asked() == len(unlucky) > 0


def made(project: Any) -> list[tuple[Any, ...]]:
    return sorted(
        (row.user_id, row.name, row.horizon, row.reason, row.version, row.state, str(row.evidence), row.first_seen)
        for row in project.rows(Interest)
    )


def test_killed_at_any_moment(project: Any) -> None:
    work = Path(project.config.work_folder)

    def afresh() -> None:
        for left in work.glob("recgpt.sqlite*"):
            left.unlink()
        project.server.requests.clear()

    project.run(Stage.INTERESTS)
    undisturbed, total = made(project), len(project.server.requests)
    assert total > 20
    project.server.answer = lambda body: Answer(answer(body), after=0.02)
    command = [sys.executable, "-m", "cli.app", "interests", "-c", str(project.folder), "--date", str(project.night)]
    for seed in range(5):
        dice = random.Random(seed)
        after = dice.randrange(total) if seed else 0
        afresh()
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while len(project.server.requests) < after and process.poll() is None:
            time.sleep(0.002)
        time.sleep(dice.uniform(0, 0.05) if after else 1.0)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.05)  # what is on its way in the server's thread
        stored = {row.body for row in project.rows(RequestRow)}
        seen = len(project.server.requests)
        project.run(Stage.INTERESTS)
        assert made(project) == undisturbed, f"seed {seed}"
        again = [body["messages"] for body in project.server.requests[seen:]]
        assert not [body for body in stored if json.loads(body)["messages"] in again]


def _can_mount() -> bool:
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return bool(shutil.which("unshare")) and not subprocess.run(command, check=False, capture_output=True).returncode


@pytest.mark.skipif(not _can_mount(), reason="this system lets nobody but root mount a disk of a chosen size")
@pytest.mark.parametrize(("size", "fills"), [("300k", "preparing the logs failed"), ("4m", "the disk is full")])
def test_a_small_disk_fills_up(
    reader: Any, asked: Callable[[], int], row: dict[str, str], size: str, fills: str
) -> None:
    """In a file system of that size, which is then made larger. It is seen by these processes alone."""
    reader.server.answer = lambda body: from_schema(schema_of(body)).ljust(500_000)
    night = f"{sys.executable} -m cli.app interests --json -c {reader.folder} --date {reader.night}"
    work = reader.config.work_folder
    steps = [f"mount -t tmpfs -o size={size} none {work}", night, "echo $? >&2", f"mount -o remount,size=1g {work}"]
    command = ["unshare", "-rm", "sh", "-c", "; ".join([*steps, f"exec {night}"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert fills in done.stderr
    assert f"\n{row['exit']}\n" in done.stderr
    assert "Traceback" not in done.stderr
    (stage,) = json.loads(done.stdout)["stages"]
    kept = 12 - stage["usage"]["asked"]
    assert (stage["ok"], kept > 0) == (12, size == "4m")
    assert 0 <= asked() - 12 <= 2 * reader.config.engine.in_flight  # answers that no disk took
