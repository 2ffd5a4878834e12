"""The labelling page on loopback in a thread, and a small HTTP client that keeps cookies and follows nothing."""

import http.client
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urlencode, urlsplit

from recgpt.labelling.desk import Desk
from recgpt.labelling.guard import names_for
from recgpt.labelling.session import Sitting
from recgpt.labelling.web import listen, make_app, server

WAIT_S = 30.0


class Served:
    """A page that answers until it is stopped."""

    def __init__(self, sit: Callable[[str], Sitting], name: str, token: str | None, host: str = "127.0.0.1") -> None:
        bound = listen(host, 0)
        port = bound.getsockname()[1]
        names, addresses = names_for(host)
        app = make_app(Desk(sit, name, token), port=port, names=names, addresses=addresses)
        self.url = f"http://{host}:{port}"
        self._server = server(app)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [bound]}, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + WAIT_S
        while not self._server.started:
            assert self._thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()


@dataclass
class Page:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def hidden(self) -> dict[str, str]:
        """The form's hidden fields."""
        found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.text)
        return {name: unescape(value) for name, value in found}

    def of(self, id_: str) -> str:
        """The text of the element with an id, as a person reads it."""
        found = re.search(rf'<(\w+) id="{id_}"[^>]*>(.*?)</\1>', self.text, re.DOTALL)
        return "" if found is None else unescape(re.sub(r"<[^>]+>", "", found[2])).strip()


class Browser:
    """One visitor without a script: keeps the cookies it is given."""

    def __init__(self, url: str) -> None:
        self.place = urlsplit(url).netloc
        self.cookies: dict[str, str] = {}

    def get(self, path: str = "/", **headers: str) -> Page:
        return self._ask("GET", path, None, headers)

    def post(self, path: str = "/", fields: Mapping[str, Any] | None = None, **headers: str) -> Page:
        return self._ask("POST", path, urlencode(fields or {}), headers)

    def press(self, action: str, note: str = "") -> Page:
        """Open the page, press a button, and give the page that follows."""
        done = self.post(fields={**self.get().hidden, "action": action, "note": note})
        assert (done.status, done.headers.get("location")) == (303, "/"), done.text
        return self.get()

    def _ask(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> Page:
        connection = http.client.HTTPConnection(self.place, timeout=WAIT_S)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if body is not None:
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        for given in answer.headers.get_all("set-cookie") or ():
            name, _, value = given.partition(";")[0].partition("=")
            self.cookies[name] = value
        return Page(answer.status, {name.lower(): value for name, value in answer.headers.items()}, text)
