"""A real Chromium without a window, driven over its DevTools protocol: it types keys, and says what it loaded.

It runs with a profile of its own and with its networking in the background turned off. Whatever a page asks for is
recorded, so that a test can hold it to one address.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from websockets.sync.client import ClientConnection, connect

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
WAIT_S: Final = 60.0
FLAGS: Final = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--disable-dev-shm-usage", "--remote-debugging-port=0", "--window-size=1024,768",
)  # fmt: skip


def installed() -> str | None:
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def running() -> Iterator["Chromium"]:
    """Start one; it ends with the block."""
    program = installed()
    assert program is not None
    folder = Path(tempfile.mkdtemp(prefix="recgpt-chromium-"))
    # Chromium refuses to run as root with its sandbox.
    flags = [*FLAGS, *(["--no-sandbox"] if os.getuid() == 0 else []), f"--user-data-dir={folder / 'profile'}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, *flags, "about:blank"], stdout=log, stderr=log)
    try:
        with connect(_address(folder, process), max_size=None) as socket:
            yield Chromium(socket)
    finally:
        process.terminate()
        process.wait(WAIT_S)
        shutil.rmtree(folder, ignore_errors=True)


def _address(folder: Path, process: "subprocess.Popen[bytes]") -> str:
    told, deadline = folder / "profile" / "DevToolsActivePort", time.monotonic() + WAIT_S
    while True:
        lines = told.read_text().splitlines() if told.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((folder / "log").read_text(errors="replace"))
        time.sleep(0.05)


class Chromium:
    """The connection; pages are told apart by their session."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def person(self) -> "Tab":
        """A tab of somebody who shares nothing with the others: no cookie, no cache."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        return Tab(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        asked = {"id": number, "method": method, "params": params}
        self._socket.send(json.dumps(asked if session is None else {**asked, "sessionId": session}))
        while True:
            message = json.loads(self._socket.recv(timeout=WAIT_S))
            if message.get("id") == number:
                assert "error" not in message, (method, message["error"])
                return dict(message["result"])
            self.events.append(message)


class Tab:
    """One page, looked at and typed into."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    def script(self, expression: str) -> Any:
        """What an expression is in the page; the page's own policy does not hold for it."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def until(self, condition: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                if self.script(f"Boolean({condition})"):
                    return
            except AssertionError:  # between two pages there is nothing to ask
                pass
            assert time.monotonic() < deadline, f"{condition}: {self.script('document.body.innerText')}"
            time.sleep(0.02)

    def text(self, id_: str) -> str:
        return str(self.script(f"document.getElementById({json.dumps(id_)})?.innerText ?? ''")).strip()

    def press(self, key: str, repeat: bool = False) -> None:
        """One key, down and up, as from a keyboard; with `repeat`, as from one that is held down."""
        named = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, "")}
        code, text = named.get(key, (ord(key[0].upper()), key))
        event = {"key": key, "windowsVirtualKeyCode": code, "autoRepeat": repeat}
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def type(self, text: str) -> None:
        for char in text:
            self.press(char)

    def moves_on(self, key: str, **options: bool) -> None:
        """Press a key that leads to another page, and wait for that."""
        self.script("window.before = true")
        self.press(key, **options)
        self.until("!window.before && document.readyState === 'complete'")

    def said(self, method: str) -> list[dict[str, Any]]:
        """The parameters of this tab's events of one kind so far."""
        self.script("0")  # what was sent before the answer to this has been read by then
        return [
            event["params"]
            for event in self._browser.events
            if event.get("sessionId") == self._session and event["method"] == method
        ]

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **params)
