"""The sitting as a local web page: the same questions, keys and rules as in the terminal, for one or several people.

Pages are made here and hold no text that is not escaped; the one script only turns keys into clicks, so that the page
works without it. Each person has one sitting, whichever windows they have open; a form carries the visitor's secret and
the question that it answers. Where a token is asked for, nobody gets further than the page that asks for it. What
stands in front of every request is in `recgpt.labelling.guard`.
"""

import hmac
import logging
import socket
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import python_multipart  # noqa: F401 (FastAPI reads forms with it, and would miss it only later)
import uvicorn
from fastapi import Depends, FastAPI, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from recgpt.errors import ConfigError, RecgptError
from recgpt.labelling.desk import Desk, Visitor
from recgpt.labelling.guard import Guard
from recgpt.labelling.session import NAME_CHARS, NOTE_CHARS, NotNow, Sitting, labeller_name
from recgpt.labelling.visible import one_line, visible

FOLDER: Final = Path(__file__).parent
MOST_BYTES: Final = 65_536
# FastAPI would send reports of its own to where the environment says.
_NO_TELEMETRY: Final[Any] = {"auto_configure": False, "tracing": False, "metrics": False, "logs": False}
Action = Literal["yes", "no", "skip", "undo", "why"]


class Enter(Exception):
    """The visitor has to say first who they are."""


class Pages:
    """The templates, and whom a page is for."""

    def __init__(self, desk: Desk, port: int) -> None:
        self.desk = desk
        self._cookie = f"recgpt_label_{port}"  # a browser keeps cookies by host alone
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._templates.filters |= {"visible": visible, "one_line": one_line}

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        return HTMLResponse(self._templates.get_template(template).render(values), status)

    def visitor(self, request: Request) -> Visitor | None:
        return self.desk.visitor(request.cookies.get(self._cookie))

    def known(self, request: Request) -> Visitor:
        visitor = self.visitor(request)
        if visitor is None:
            raise Enter
        return visitor

    def let_in(self, response: Response, cookie: str) -> Response:
        response.set_cookie(self._cookie, cookie, httponly=True, samesite="strict", path="/")
        return response

    def question(self, visitor: Visitor) -> HTMLResponse:
        sitting = self.desk.sitting(visitor.name)
        said, note, why = visitor.said, visitor.note, visitor.why
        visitor.said, visitor.note, visitor.why = "", "", None
        return self.page(
            "question.html", question=sitting.current(), sitting=sitting, counts=sitting.counts, said=said, note=note,
            why=why, secret=visitor.secret, most=NOTE_CHARS, shared=self.desk.token is not None,
        )  # fmt: skip

    def enter(self, name: str, said: str = "", status: int = 200) -> HTMLResponse:
        return self.page("enter.html", status, name=name, most=NAME_CHARS, said=said)


def make_app(desk: Desk, *, port: int, names: frozenset[str], addresses: bool) -> FastAPI:
    """The application, which listens on `port` and may be called by `names` and `addresses` (see `Guard`)."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, telemetry=_NO_TELEMETRY)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=MOST_BYTES)
    app.add_middleware(Guard, names=names, addresses=addresses)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    pages = Pages(desk, port)
    _questions(app, pages)
    _door(app, pages)
    _faults(app, pages)
    return app


def _questions(app: FastAPI, pages: Pages) -> None:
    @app.get("/")
    def question(request: Request) -> Response:
        visitor = pages.visitor(request)
        if visitor is not None:
            return pages.question(visitor)
        if pages.desk.token is not None:
            raise Enter
        cookie, visitor = pages.desk.admit(pages.desk.name)
        return pages.let_in(pages.question(visitor), cookie)

    @app.post("/")
    def act(
        visitor: Annotated[Visitor, Depends(pages.known)],
        secret: Annotated[str, Form()],
        action: Annotated[Action, Form()],
        key: Annotated[str, Form()] = "",
        note: Annotated[str, Form()] = "",
    ) -> Response:
        if not _same(secret, visitor.secret):
            raise HTTPException(403, "This form is not from this visit; nothing was done.")
        try:
            visitor.said = _do(pages.desk.sitting(visitor.name), visitor, action, key, note)
        except NotNow as refused:
            visitor.said, visitor.note = str(refused), note[:NOTE_CHARS]
        return RedirectResponse("/", 303)

    @app.get("/done")
    def done(visitor: Annotated[Visitor, Depends(pages.known)]) -> Response:
        return pages.page("done.html", **pages.desk.sitting(visitor.name).summary())


def _do(sitting: Sitting, visitor: Visitor, action: Action, key: str, note: str) -> str:
    if action == "why":
        visitor.why, visitor.note = sitting.why(), note[:NOTE_CHARS]
        return ""
    if action == "undo":
        sitting.undo()
        return "Taken back; it is asked again."
    if action == "skip":
        sitting.skip(key)
        return "Skipped; it comes last."
    sitting.answer(key, action == "yes", note)
    return f"Kept: {action}."


def _door(app: FastAPI, pages: Pages) -> None:
    desk = pages.desk

    @app.get("/enter")
    def enter() -> Response:
        if desk.token is None:
            raise Enter
        return pages.enter(desk.name)

    @app.post("/enter")
    def entered(name: Annotated[str, Form()], token: Annotated[str, Form()]) -> Response:
        if desk.token is None:
            raise Enter
        if not _same(token, desk.token):
            return pages.enter(name, "That is not the token.", 403)
        try:
            cookie, _ = desk.admit(labeller_name(name))
        except ConfigError as error:
            return pages.enter(name, str(error), 422)
        return pages.let_in(RedirectResponse("/", 303), cookie)

    @app.exception_handler(Enter)
    def to_the_door(request: Request, _: Exception) -> Response:
        # Without a token everybody is let in at "/" itself.
        return RedirectResponse("/enter" if desk.token is not None else "/", 303)


def _faults(app: FastAPI, pages: Pages) -> None:
    @app.exception_handler(RequestValidationError)
    def no_form(request: Request, _: Exception) -> Response:
        return pages.page("message.html", 422, said="That is no form of these pages; nothing was done.")

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> Response:
        return pages.page("message.html", error.status_code, said=error.detail)

    @app.exception_handler(RecgptError)
    def broken(request: Request, error: RecgptError) -> Response:
        logging.getLogger(__name__).error("%s", error)
        return pages.page("message.html", 503, said=str(error))


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at the host's first address; port 0 is any that is free.

    Raises:
        ConfigError: the host has no address here, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()  # so that whoever is told the address can call at once
    except OSError as error:
        raise ConfigError(
            f"can't listen on {host} port {port} ({error.strerror}): give another --host or --port"
        ) from None
    return bound


def server(app: FastAPI) -> uvicorn.Server:
    """What answers at a socket: `server(app).run(sockets=[bound])`, until it is told to stop."""
    return uvicorn.Server(
        uvicorn.Config(
            app, ws="none", log_level="warning", access_log=False, server_header=False, proxy_headers=False,
            timeout_graceful_shutdown=3,
        )
    )  # fmt: skip


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())
