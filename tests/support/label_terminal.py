"""A sitting at a real terminal (a pty), driven key by key; run as a script it is the process behind that terminal."""

import os
import pty
import re
import select
import sys
import time
from pathlib import Path

SETTINGS = re.compile(r"\x1b\[[\d;]*[mHJ]")  # colours, and clearing the screen
WAIT_S = 60.0


class Terminal:
    """The process, and what it has written."""

    def __init__(self, folder: Path, *claims: str) -> None:
        self.written = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "132", "LINES": "40"}
            os.execve(sys.executable, [sys.executable, __file__, str(folder), *claims], environment)

    def until(self, *texts: str) -> str:
        """Read on until all of these are written, in that order; gives what was written since the last call."""
        begin, place, deadline = len(self.written), len(self.written), time.monotonic() + WAIT_S
        for text in texts:
            while (found := self.written.find(text, place)) < 0:
                assert time.monotonic() < deadline, f"no {text!r} in {self.written[begin:]!r}"
                if select.select([self._fd], [], [], 0.1)[0]:
                    try:
                        self.written += os.read(self._fd, 65_536).decode()
                    except OSError:  # its end
                        deadline = 0.0
            place = found + len(text)
        return self.written[begin:place]

    def press(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def end(self) -> int:
        """Wait for the process; its exit status."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(status)


def plain(text: str) -> str:
    return SETTINGS.sub("", text)


if __name__ == "__main__":
    from labellers import Room, queued

    from recgpt.config import Config
    from recgpt.labelling.terminal import console, run
    from recgpt.store.session import open_store

    room = Room(open_store(Config(folder=Path(sys.argv[1]))), Path(sys.argv[1]))
    sitting = room.sit(queued(*sys.argv[2:]))
    run(sitting, console(sys.stdout))
    print(f"ended {sitting.counts}")
