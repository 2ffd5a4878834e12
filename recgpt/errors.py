"""What can stop a whole run. A single record's fault is never one of these: it is stored with its reason instead.

Every message names the remedy; the command line prints it without a traceback and exits with `exit_code`.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Final

_REMEDIES: Final = {
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "this user's share of the disk is full: make room",
    errno.EFBIG: "a file may not grow as far: see 'ulimit -f'",
    errno.EMFILE: "too many files are open: raise 'ulimit -n'",
    errno.EACCES: "give this user the right to it",
    errno.EPERM: "give this user the right to it",
    errno.EROFS: "the disk is mounted to be read only",
    errno.EIO: "the disk gives errors: check it",
}


class RecgptError(Exception):
    exit_code: ClassVar[int] = 1


class ConfigError(RecgptError):
    """The project file, or the call, is wrong."""

    exit_code = 2


class DataError(RecgptError):
    """A table can't be read, or has more bad rows than the config allows."""


class EngineError(RecgptError):
    """The model can't be asked at all: no server, no such model, no weights, no permission."""


class StoreError(RecgptError):
    """The database is missing, older than the code, locked for too long, or the disk is full."""


class DiskError(RecgptError):
    """A file of recgpt's own, or the folder for it, can't be written or read."""


class CheckpointError(RecgptError):
    """A towers checkpoint is absent, half written, or was made for other features."""


class Stopped(RecgptError):
    """A person or a signal ended the run. What is finished is kept, and the same command goes on."""


class BudgetSpent(Stopped):
    """The run has used up the tokens that it was given."""

    exit_code = 3


@contextmanager
def disk_faults() -> Iterator[None]:
    """Raise `DiskError`, with the remedy, for whatever the operating system refuses in a block (or in a function)."""
    try:
        yield
    except (ConnectionError, TimeoutError):  # of a network, where they are of any use to say
        raise
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "check the disk and this user's rights")
        where = f" {error.filename}" if error.filename else ""
        raise DiskError(
            f"a file can't be used ({error.strerror or error}{where}): {remedy}, then run the same command again"
        ) from error
