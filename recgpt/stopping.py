"""Stopping cleanly: SIGTERM and Ctrl-C end a block within seconds, and the next command goes on from there.

The first signal cancels what runs in the event loop, so that every answer received is still written. Code that keeps
the loop waiting (training, scoring, encoding, preparing the logs) gets a KeyboardInterrupt `GRACE_S` later; it keeps
nothing half done, because what it makes is committed whole or moved into place whole. Either way the block ends with
`Stopped`. The second signal ends the process at once, as the system does by default.
"""

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from recgpt.errors import Stopped

GRACE_S: Final = 1.0
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
T = TypeVar("T")


class Stopping:
    """Whether a signal has come, and the event loop that is to be told."""

    def __init__(self) -> None:
        self.asked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._told = False  # the task has been cancelled or interrupted; from then on it puts away in peace

    def run(self, work: Coroutine[Any, Any, T], runner: asyncio.Runner | None = None) -> T:
        """`asyncio.run`, or the run of an event loop that stays, but a signal cancels the work."""

        async def watched() -> T:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
            try:
                return await work
            except KeyboardInterrupt:  # a task that ends with one is reported as a fault by the loop that it stops
                raise asyncio.CancelledError from None
            finally:
                self._loop = None

        return asyncio.run(watched()) if runner is None else runner.run(watched())

    def signalled(self, *_: object) -> None:
        self.asked = True
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if self._loop is None:
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, self._too_late)
        signal.setitimer(signal.ITIMER_REAL, GRACE_S, GRACE_S)
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if not self._told and self._task is not None:
            self._told = True
            self._task.cancel()

    def _too_late(self, *_: object) -> None:
        # Another task than ours may be what keeps the loop; then the loop still comes to `_cancel`, or to the next one.
        if not self._told:
            self._told = self._loop is not None and asyncio.current_task(self._loop) is self._task
            raise KeyboardInterrupt


@contextmanager
def stoppable() -> Iterator[Stopping]:
    """Listen for signals in a block. Only the main thread can: in another one, stopping is the caller's business.

    Raises:
        Stopped: a signal came before the block was done.
    """
    stopping = Stopping()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    # A signal that is ignored (Ctrl-C under nohup) stays ignored.
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, stopping.signalled)
    try:
        yield stopping
    except BaseException as error:
        # Once a signal has come, any error is what became of it: a library may have wrapped the interrupt.
        if stopping.asked and not isinstance(error, GeneratorExit):
            raise Stopped("stopped; what is finished is kept, and the same command goes on from here") from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
