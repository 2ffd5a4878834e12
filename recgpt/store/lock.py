"""One night at a time on a store.

Whatever makes something holds the store's lock while it runs; what only reads takes none. SQLite's is a flock on a file
beside the database, PostgreSQL's an advisory lock on a connection of its own. The kernel, or the server, frees it with
the process that held it, of kill -9 too, so a lock that is held has somebody at work behind it and nothing ever has to
be removed by hand.
"""

import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, text

from recgpt.errors import StoreError
from recgpt.store.tables import now

SUFFIX: Final = ".lock"  # of the file beside an SQLite database
APPLICATION_NAME_BYTES: Final = 63  # PostgreSQL cuts it there
_HOLDER: Final = """
    select application_name, backend_start from pg_stat_activity join pg_locks using (pid)
    where locktype = 'advisory' and granted and objsubid = 1
      and database = (select oid from pg_database where datname = current_database())
      and (classid::bigint << 32 | objid::bigint) = :key
"""


class LockedError(StoreError):
    """Another command is at work on the store."""


@contextmanager
def alone(store: Engine, command: str) -> Iterator[None]:
    """Hold the store's lock for a block.

    Args:
        command: what runs, as the message to another one names it: "recgpt nightly".

    Raises:
        LockedError: another process holds it; the message says who.
        StoreError: the lock's file can't be written.
    """
    database = store.url.database
    if store.dialect.name == "postgresql":
        with _advisory(store, command):
            yield
    elif database and database != ":memory:":  # one in memory is nobody else's
        with _file(Path(database).resolve(), command):
            yield
    else:
        yield


@contextmanager
def _file(database: Path, command: str) -> Iterator[None]:
    path = database.with_name(database.name + SUFFIX)
    try:
        lock = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"the lock {path} can't be written ({error.strerror}): give this user the right to") from None
    with lock:  # closed by exec too, so a child that outlives us does not hold it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise _locked(_read(lock.read())) from None
        lock.truncate(0)
        said = {"command": command, "pid": os.getpid(), "host": socket.gethostname(), "since": f"{now():%F %T} UTC"}
        lock.write(json.dumps(said))
        lock.flush()
        yield


def _read(said: str) -> str:
    try:
        holder = json.loads(said)
        return f"{holder['command']!r}, pid {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (ValueError, KeyError):
        return "a command that has just begun"


@contextmanager
def _advisory(store: Engine, command: str) -> Iterator[None]:
    with store.connect() as pooled:
        connection = pooled.execution_options(isolation_level="AUTOCOMMIT")
        connection.detach()  # closing it really closes it, and so frees the lock
        name = f"{command}, pid {os.getpid()} on {socket.gethostname()}"[:APPLICATION_NAME_BYTES]
        connection.execute(text("select set_config('application_name', :name, false)"), {"name": name})
        schema = connection.execute(text("select current_schema()")).scalar_one()
        # Two stores may share a database. 56 bits, so that the number is positive.
        key = {"key": int.from_bytes(hashlib.sha256(f"recgpt {schema}".encode()).digest()[:7])}
        if not connection.execute(text("select pg_try_advisory_lock(:key)"), key).scalar_one():
            holder = connection.execute(text(_HOLDER), key).first()
            raise _locked(
                f"{holder.application_name!r}, since {holder.backend_start.astimezone(UTC):%F %T} UTC"
                if holder and holder.application_name
                else "another user of the database (see pg_locks)"
            )
        yield


def _locked(holder: str) -> LockedError:
    return LockedError(
        f"the store is in use by {holder}: wait until that has ended, or stop it with 'kill PID' there; then run the "
        "same command again. The lock ends with its process, so there is nothing to remove"
    )
