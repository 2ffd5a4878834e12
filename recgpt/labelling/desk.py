"""Who is at the labelling page: its visitors, each known by a random cookie, and one sitting for each person."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from recgpt.labelling.session import Sitting, Why

MOST_VISITORS: Final = 256


@dataclass
class Visitor:
    """One browser, and what it is to be told with its next page."""

    name: str
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    said: str = ""
    note: str = ""  # typed with a form that was refused
    why: Why | None = None


class Desk:
    """Who is here, and each person's sitting.

    Args:
        sit: begins a sitting for a person's name.
        name: whose page it is where no token is asked for; else only proposed.
        token: what visitors must give, if anything.
    """

    def __init__(self, sit: Callable[[str], Sitting], name: str, token: str | None) -> None:
        self.name, self.token = name, token
        self._sit = sit
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()
        self._sittings: dict[str, Sitting] = {}
        self._lock = threading.Lock()

    def visitor(self, cookie: str | None) -> Visitor | None:
        with self._lock:
            found = None if cookie is None else self._visitors.get(cookie)
            if found is not None and cookie is not None:
                self._visitors.move_to_end(cookie)
            return found

    def admit(self, name: str) -> tuple[str, Visitor]:
        """A new visitor, and the cookie to know it by. The one who was not seen for longest may have to go."""
        cookie, visitor = secrets.token_urlsafe(32), Visitor(name)
        with self._lock:
            self._visitors[cookie] = visitor
            while len(self._visitors) > MOST_VISITORS:
                self._visitors.popitem(last=False)
        return cookie, visitor

    def sitting(self, name: str) -> Sitting:
        with self._lock:
            if name not in self._sittings:
                self._sittings[name] = self._sit(name)
            return self._sittings[name]
