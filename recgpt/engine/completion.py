"""What comes back of a request to a server: a completion, or one of the ways in which there is none.

Apart from the chat model that raises them, whose library takes half a second to import.
"""

from dataclasses import dataclass
from typing import Any


class PassingError(Exception):
    """This try failed in a way that may pass. `retry_after` is what the server asked for, in seconds."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class UnreachableError(PassingError):
    """No connection could be made: nothing listens there."""


class RefusedError(Exception):
    """The server will not answer this request, however often it is asked."""


@dataclass(frozen=True, slots=True)
class Completion:
    content: str
    finish_reason: str
    logprobs: list[dict[str, Any]] | None
    tokens_in: int | None
    tokens_out: int | None
    tokens_cached: int | None
    seconds: float
