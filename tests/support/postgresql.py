"""A PostgreSQL server of the tests' own, from the programs that this machine has.

It listens on a socket in a folder of its own and nowhere else, runs as a user that is not root, and its clock is set to
another zone than UTC, because a time must come back right all the same.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

WAIT_S = 60.0
# Nothing here outlives the tests, so nothing has to reach the disk.
SETTINGS = (
    "listen_addresses=", "unix_socket_permissions=0700", "timezone=Asia/Kathmandu", "fsync=off", "shared_buffers=16MB",
)  # fmt: skip


class MissingError(Exception):
    """There is no PostgreSQL that could be run here."""


@contextmanager
def running() -> Iterator[Path]:
    """Start a server; gives the folder of its socket, which is its `host`. Its user is "recgpt".

    Raises:
        MissingError: none is installed, or this user may not run it.
    """
    # PostgreSQL refuses to run as root.
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    initdb, postgres = _program("initdb", user), _program("postgres", user)
    folder = Path(tempfile.mkdtemp(prefix="recgpt-pg-", dir="/tmp"))  # short: a socket's path may have 107 bytes
    if user:
        shutil.chown(folder, user["user"], user["group"])
    try:
        make = [initdb, "-D", folder / "data", "-U", "recgpt", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run(make, check=True, capture_output=True, cwd=folder, **user)
        options = [part for setting in SETTINGS for part in ("-c", setting)]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [postgres, "-D", folder / "data", "-k", folder, *options], stderr=log, cwd=folder, **user
            )
        try:
            _await(server, folder)
            yield folder
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait(WAIT_S)
    finally:
        shutil.rmtree(folder)


def execute(host: Path, statement: str, database: str = "postgres") -> None:
    """Run one statement, in no transaction."""
    with psycopg.connect(host=str(host), user="recgpt", dbname=database, autocommit=True) as connection:
        connection.execute(statement.encode())


def _program(name: str, user: dict[str, Any]) -> str:
    places = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)  # Debian's, which are on no path
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *places]))
    if found is None:
        raise MissingError(f"no PostgreSQL: install it, or put {name} on the path")
    try:
        subprocess.run([found, "--version"], check=True, capture_output=True, cwd="/", **user)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingError(f"{found} can't be run as {user.get('user', 'this user')}: {error}") from None
    return found


def _await(server: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return execute(folder, "select 1")
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "log").read_text()) from None
            time.sleep(0.05)
