"""Each row of "The store and the disk" in docs/reliability.md: half of the users are read, then the fault comes.

A case is a block that breaks something and mends it. In it, the commands of its row end as the row says, without a
traceback; after it the same command reads the other half, and asks nothing that was answered.
"""

import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from docs_table import table
from sqlalchemy import event
from sqlalchemy.pool import Pool

from recgpt.store.tables import Answer, Unit
from recgpt.words import Stage

ROWS = table("The store and the disk")
HOLD = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("PRAGMA busy_timeout = 10000")
for line in sys.stdin:
    held.execute(line)
    print("done", flush=True)
"""


def store_of(project: Any) -> Path:
    return Path(project.config.work_folder) / "recgpt.sqlite"


@contextmanager
def pragma(text: str) -> Iterator[None]:
    """Every connection made in the block is given this pragma; those that are open are made anew by the command."""

    def give(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA {text}")

    event.listen(Pool, "connect", give)
    try:
        yield
    finally:
        event.remove(Pool, "connect", give)


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file may be written beyond so many bytes: for a program, a disk that refuses it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def changed(file: Path, change: Callable[[Path], object]) -> Iterator[None]:
    """A change to the store's file, undone from a backup as a careful operator would."""
    _sql("pragma wal_checkpoint(truncate)")(file)  # all of it into this one file
    backup = file.with_suffix(".backup")
    shutil.copy(file, backup)
    change(file)
    yield
    for left in file.parent.glob(f"{file.name}*"):
        left.unlink()
    backup.rename(file)


class Holder:
    """Another process that has the store open."""

    def __init__(self, file: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def do(self, statement: str) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(statement + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def full(project: Any) -> AbstractContextManager[None]:
    return pragma("max_page_count = 1")  # it can't be made smaller than it is, so: no page more


def refused(project: Any) -> AbstractContextManager[None]:
    return file_limit(64 * 1024)


def read_only(project: Any) -> AbstractContextManager[None]:
    return pragma("query_only = 1")


@contextmanager
def locked(project: Any) -> Iterator[None]:
    holder = Holder(store_of(project))
    holder.do("BEGIN IMMEDIATE")
    yield
    holder.end()


@contextmanager
def locked_midway(project: Any) -> Iterator[None]:
    holder, usual = Holder(store_of(project)), project.server.answer
    seen = len(project.server.requests)

    def answer(body: Any) -> Any:
        if len(project.server.requests) == seen + 3:
            holder.do("BEGIN IMMEDIATE")
        return usual(body)

    project.server.answer = answer
    yield
    project.server.answer = usual
    holder.end()


def header(project: Any) -> AbstractContextManager[None]:
    return changed(store_of(project), lambda file: file.write_bytes(b"no database" * 1000))


def pages(project: Any) -> AbstractContextManager[None]:
    """Overwrite the pages in which the answers begin."""

    def change(file: Path) -> None:
        with sqlite3.connect(file) as connection:
            roots = connection.execute("select rootpage from sqlite_master where tbl_name = 'answers'").fetchall()
            (size,) = connection.execute("pragma page_size").fetchone()
        connection.close()
        with file.open("r+b") as raw:
            for (root,) in roots:
                raw.seek((root - 1) * size)
                raw.write(b"\xff" * size)

    return changed(store_of(project), change)


def cut(project: Any) -> AbstractContextManager[None]:
    return changed(store_of(project), lambda file: file.write_bytes(file.read_bytes()[: 5 * 4096]))


def newer(project: Any) -> AbstractContextManager[None]:
    return changed(store_of(project), _sql("update alembic_version set version_num = '9999'"))


def stranger(project: Any) -> AbstractContextManager[None]:
    def change(file: Path) -> None:
        file.unlink()
        _sql("create table units (id integer)")(file)

    return changed(store_of(project), change)


def _sql(statement: str) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        with sqlite3.connect(file) as connection:
            connection.execute(statement)
        connection.close()

    return change


@contextmanager
def folder(project: Any) -> Iterator[None]:
    work = Path(project.config.work_folder)
    aside = work.rename(work.with_name("aside"))
    work.write_text("not a folder")
    yield
    work.unlink()
    aside.rename(work)


@contextmanager
def logs(project: Any) -> Iterator[None]:
    """The lake has changed, and what is prepared from it finds no room."""
    items = project.folder / "data" / "items.parquet"
    items.touch()
    _sql("pragma wal_checkpoint(truncate)")(store_of(project))
    with file_limit(150_000):  # enough for the run's record, too little for the logs
        yield


@contextmanager
def vectors(project: Any) -> Iterator[None]:
    shared = Path(project.config.work_folder) / "vectors"
    shared.unlink()
    shared.mkdir()  # and empty
    _sql("pragma wal_checkpoint(truncate)")(store_of(project))
    with file_limit(150_000):
        yield


@contextmanager
def checkpoint(project: Any) -> Iterator[None]:
    project.run(Stage.TOWERS)  # so that every text is encoded
    _sql("pragma wal_checkpoint(truncate)")(store_of(project))
    with file_limit(150_000):
        yield


CASES: dict[str, Callable[[Any], AbstractContextManager[None]]] = {
    "full": full,
    "refused": refused,
    "read-only": read_only,
    "locked": locked,
    "locked-midway": locked_midway,
    "header": header,
    "pages": pages,
    "cut": cut,
    "newer": newer,
    "stranger": stranger,
    "folder": folder,
    "logs": logs,
    "vectors": vectors,
    "checkpoint": checkpoint,
}


def test_the_table_and_the_cases_agree() -> None:
    assert list(ROWS) == list(CASES)


@pytest.mark.parametrize("case", ROWS)
def test_a_fault_and_its_remedy(
    case: str, reader: Any, recgpt: Any, asked: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recgpt.store.session.BUSY_TIMEOUT_MS", 300)
    row = ROWS[case]
    assert recgpt("interests", "--users", "6").code == 0
    user = reader.rows(Unit)[0].key
    reader.store.dispose()
    asked()
    with CASES[case](reader):
        for command in row["commands"].split(", "):
            done = recgpt(*command.split(), *([user] if command == "show" else []))
            assert (command, done.code) == (command, 1)
            said = done.out if command == "doctor" else done.err
            assert row["remedy"].strip("`") in " ".join(said.split())
            assert "Traceback" not in done.err
    bought = asked()
    assert recgpt("interests").code == 0
    again = asked()
    assert {unit.outcome for unit in reader.rows(Unit)} == {"ok"}
    assert len(reader.rows(Answer)) == 12
    lost = bought + again - 6  # answers that no disk took
    assert 0 <= lost <= 2 * reader.config.engine.in_flight
    assert recgpt("doctor").out.count("NO ") == 0
