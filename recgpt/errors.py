"""What can stop a whole run. A single record's fault is never one of these: it is stored with its reason instead.

Every message names the remedy; the command line prints it without a traceback and exits with `exit_code`.
"""

from typing import ClassVar


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


class CheckpointError(RecgptError):
    """A towers checkpoint is absent, half written, or was made for other features."""


class Stopped(RecgptError):
    """A person or a signal ended the run. What is finished is kept, and the same command goes on."""


class BudgetSpent(Stopped):
    """The run has used up the tokens that it was given."""

    exit_code = 3
