"""What a database says when it can't go on, as a `StoreError` that names the remedy.

`translate` is hung on an engine once, where it is made. From then on every read and every write, in any room, raises
`StoreError` for a fault of the disk, the file, its rights, its locks or the connection. SQLite's faults are told apart
by its result codes, never by the words of a message. What only a bug can cause (a broken constraint, a value that a
column can't hold) stays the error that it is.
"""

import sqlite3
from typing import Final

from sqlalchemy import URL, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError

from recgpt.errors import StoreError

AGAIN: Final = "then run the same command again (every answer kept so far is replayed)"
_BUGS: Final = (DataError, IntegrityError, NotSupportedError, ProgrammingError)
_LOCKED: Final = f"another process holds it locked: end that process, {AGAIN}"
_RIGHTS: Final = f"it may not be written: give this user the right to write the file and its folder, {AGAIN}"
BROKEN: Final = (
    "the file is damaged or no SQLite database: restore it from a backup, or move it away with its -wal and -shm files "
    "to begin a new one"
)
_REMEDIES: Final = {
    sqlite3.SQLITE_FULL: f"the disk is full: make room, {AGAIN}",
    sqlite3.SQLITE_IOERR: f"the disk can't be read or written: check it, its room and this user's limits, {AGAIN}",
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _RIGHTS,
    sqlite3.SQLITE_PERM: _RIGHTS,
    sqlite3.SQLITE_CANTOPEN: f"it can't be opened: check store.url, its folder and this user's rights, {AGAIN}",
    sqlite3.SQLITE_CORRUPT: BROKEN,
    sqlite3.SQLITE_NOTADB: BROKEN,
    sqlite3.SQLITE_ERROR: "its tables are not those of recgpt: set store.url to a database of recgpt's own",
}


def translate(engine: Engine) -> None:
    """Make this engine raise `StoreError` for what is not a bug of ours."""
    url = engine.url

    def raise_store_error(context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if isinstance(error, DBAPIError) and not isinstance(error, _BUGS):
            raise _store_error(url, error.orig or error)

    event.listen(engine, "handle_error", raise_store_error)


def _store_error(url: URL, error: BaseException) -> StoreError:
    """The error for what a driver raised; for SQLite, an extended result code keeps the primary one in its low byte."""
    code = getattr(error, "sqlite_errorcode", None)
    remedy = None if code is None else _REMEDIES.get(code & 0xFF)
    said = " ".join(str(error).split())
    shown = url.render_as_string(hide_password=True)
    return StoreError(f"the store {shown} can't be used ({said}): {remedy or f'check store.url and it, {AGAIN}'}")
