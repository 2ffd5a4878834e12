"""What stands in front of the labelling page, for every request: who may ask, and from where.

- The `Host` header must name this server. A page of somebody else's whose name is pointed at this machine (DNS
  rebinding) sends its own name. An address as such can't be rebound, so where the server listens for others, addresses
  and this machine's own names are taken.
- A `POST` must come from this server's own pages: its `Origin`, if the browser sends one, is held against `Host`. (The
  form's own secret, in `recgpt.labelling.web`, is held against the visitor's cookie besides.)
- Every answer, a refusal too, tells the browser to load nothing from anywhere else, to run no inline script, to let
  nobody frame it and to keep no copy.
"""

import ipaddress
import secrets
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from recgpt.errors import ConfigError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_ENV: Final = "RECGPT_LABEL_TOKEN"  # noqa: S105 (the name of a variable, not a secret)
SHORTEST_TOKEN: Final = 16
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """The checks as ASGI middleware.

    Args:
        names: the hosts by which the server may be called.
        addresses: whether any address will do as well.
    """

    def __init__(self, app: "ASGIApp", names: frozenset[str], addresses: bool) -> None:
        self._app, self._names, self._addresses = app, names, addresses

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: "Message") -> None:
            if message["type"] == "http.response.start":
                named = {name for name, _ in message["headers"]}
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *(one for one in ours if one[0] not in named)]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        why_not = self._refused(scope["method"], headers)
        if why_not is None:
            await self._app(scope, receive, guarded)
            return
        status, said = why_not
        plain = (b"content-type", b"text/plain; charset=utf-8")
        await guarded({"type": "http.response.start", "status": status, "headers": [plain]})
        await guarded({"type": "http.response.body", "body": said.encode()})

    def _refused(self, method: str, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._is_ours(hostname(host)):
            return 421, "This server is not called that. Open it by the address that it printed.\n"
        if method in ("GET", "HEAD"):
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        if (origin is not None and urlsplit(origin).netloc != host) or site not in ("same-origin", "none"):
            return 403, "That was sent from another site's page. Nothing was done.\n"
        return None

    def _is_ours(self, name: str) -> bool:
        return name in self._names or (self._addresses and _address(name) is not None)


def hostname(host: str) -> str:
    """The name or address in a `Host` header, lower-case, without the port; "" where it is none."""
    try:
        found = urlsplit(f"//{host}")
        plain = found.netloc == host and found.port != 0 and "@" not in host
        return (found.hostname or "") if plain else ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a server bound to it is reached from this machine only."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def names_for(host: str, called: str | None = None) -> tuple[frozenset[str], bool]:
    """By which names a server bound to `host` may be called, and whether by any address as well.

    Args:
        called: a name that a proxy in front of it is called by.
    """
    names = LOOPBACK | {host.lower()} | ({called.lower()} if called else set())
    if is_loopback(host):
        return names, False
    return names | {socket.gethostname().lower(), socket.getfqdn().lower()}, True


def token_for(host: str, environment: Mapping[str, str], called: str | None = None) -> tuple[str | None, bool]:
    """The token that visitors must give, and whether it was made here just now (and so has to be printed).

    One in the environment is always asked for; else there is none where the page is for this machine only, and a random
    one elsewhere. Arguments as for `names_for`.

    Raises:
        ConfigError: the one in the environment is too short to be one.
    """
    given = environment.get(TOKEN_ENV, "")
    if given and len(given) < SHORTEST_TOKEN:
        raise ConfigError(f"the token in {TOKEN_ENV} has {len(given)} characters; give it at least {SHORTEST_TOKEN}")
    if given or (is_loopback(host) and not called):
        return given or None, False
    return secrets.token_urlsafe(24), True


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
