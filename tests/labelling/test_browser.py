"""The page in a real headless Chromium: its keys, its script, and what it loads."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from labellers import ALL, GIVEN, Room, queued

pytest.importorskip("fastapi", reason="pip install 'recgpt[label]'")
pytest.importorskip("websockets", reason="pip install 'recgpt[dev]'")

import chromium
from chromium import Chromium, Tab

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"><b>bold</b>"
TOKEN = "correct horse battery"
Serve = Callable[..., str]

pytestmark = pytest.mark.skipif(
    chromium.installed() is None, reason="there is no Chromium here: apt-get install chromium"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium.running() as started:
        yield started


@pytest.fixture
def eva(browser: Chromium, serve: Serve) -> Tab:
    """Somebody at the page of a queue of two."""
    tab = browser.person()
    tab.open(serve(queued("stars", HOSTILE)))
    return tab


def test_keys_are_verdicts_that_are_stored_at_once(room: Room, eva: Tab) -> None:
    assert (eva.text("claim"), eva.text("given")) == ("stars", GIVEN)
    eva.moves_on("y")
    assert room.said() == [(1, "grounded", True)]
    assert "Kept: yes." in eva.text("said")
    eva.moves_on("N")
    assert room.said() == [(1, "grounded", True), (1, "specific", False)]
    eva.moves_on("u")
    assert room.said() == [(1, "grounded", True)]
    eva.moves_on("s")
    eva.moves_on("y")
    eva.moves_on("y")
    assert eva.text("claim") == "stars"  # the skipped one, last
    eva.moves_on("n")
    assert eva.text("end") == "There is nothing left to ask."
    assert room.said() == [(1, "grounded", True), (2, "grounded", True), (2, "specific", True), (1, "specific", False)]
    eva.moves_on("q")
    assert "3 yes, 1 no, 0 skipped" in eva.text("counts")


def test_a_text_of_the_logs_does_nothing_in_the_page(eva: Tab) -> None:
    eva.moves_on("y")
    eva.moves_on("y")
    assert eva.text("claim") == HOSTILE
    assert eva.script("document.title") == "interests: grounded - recgpt"
    assert eva.script("document.querySelectorAll('#claim *, img').length") == 0


def test_a_note_is_typed_without_its_letters_being_keys(room: Room, eva: Tab) -> None:
    eva.press("t")
    assert eva.script("document.activeElement.id") == "note"
    assert eva.script("document.activeElement.value") == ""
    eva.type("yes, no, squinty")
    eva.press("Enter")  # leaves the field, and sends nothing
    assert eva.script("document.activeElement.tagName") == "BODY"
    assert room.said() == []
    eva.moves_on("w")
    assert eva.script("document.getElementById('note').value") == "yes, no, squinty"
    eva.moves_on("n")
    (row,) = room.labels()
    assert (row.verdict, row.rationale) == (False, "yes, no, squinty")


def test_what_the_judges_said_is_shown_after_the_answer(room: Room, eva: Tab) -> None:
    room.judged(1, ALL["grounded"], False, p_yes=0.25, threshold=0.5)
    eva.moves_on("w")
    assert "those who judged it so far do not agree" in eva.text("why")
    assert "small@r1" not in eva.script("document.documentElement.outerHTML")
    eva.moves_on("y")
    eva.moves_on("w")
    assert "small@r1 said no, P(yes) 0.25 against 0.50" in eva.text("why")


def test_a_key_held_down_and_two_quick_clicks_answer_one_question(room: Room, eva: Tab) -> None:
    for _ in range(5):
        eva.press("y", repeat=True)
    assert room.said() == []
    eva.script("window.before = true; for (const _ of [1, 2]) document.querySelector('[data-key=y]').click()")
    eva.until("!window.before && document.readyState === 'complete'")
    assert room.said() == [(1, "grounded", True)]
    assert eva.text("said") == "Kept: yes."


def test_nothing_is_loaded_from_elsewhere_and_nothing_breaks_the_policy(eva: Tab) -> None:
    eva.moves_on("w")
    eva.moves_on("y")
    eva.moves_on("q")
    asked = [one["request"]["url"] for one in eva.said("Network.requestWillBeSent")]
    assert {urlsplit(url).path for url in asked} >= {"/", "/done", "/static/label.css", "/static/label.js"}
    assert len({urlsplit(url).netloc for url in asked}) == 1
    answers = {urlsplit(one["response"]["url"]).path: one["response"] for one in eva.said("Network.responseReceived")}
    assert {answer["status"] for answer in answers.values()} == {200}
    assert eva.said("Log.entryAdded") == []
    assert eva.said("Runtime.exceptionThrown") == []


def test_the_page_runs_no_inline_script(eva: Tab) -> None:
    eva.script("const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)")
    assert eva.script("window.ran") is None


@pytest.fixture
def elsewhere() -> Iterator[Callable[[str], str]]:
    """Another server on this machine, whose page a test writes; gives its URL."""
    pages: dict[str, bytes] = {}

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = pages.get(self.path)
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_: object) -> None:
            pass

    site = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=site.serve_forever, daemon=True)
    thread.start()

    def at(html: str) -> str:
        pages["/evil"] = f"<!doctype html><meta charset=utf-8>{html}".encode()
        return f"http://127.0.0.1:{site.server_port}/evil"

    yield at
    site.shutdown()
    site.server_close()


def test_another_sites_page_can_neither_frame_it_nor_send_its_form(
    room: Room, eva: Tab, elsewhere: Callable[[str], str]
) -> None:
    url, secret = eva.script("location.href"), eva.script("document.querySelector('[name=secret]').value")
    eva.open(elsewhere(f"<iframe src='{url}' onload='window.done = 1'></iframe>"))
    eva.until("window.done")
    (frame,) = eva.call("Page.getFrameTree")["frameTree"]["childFrames"]
    assert frame["frame"]["unreachableUrl"] == url
    # To a browser the two are one site, since ports do not count: the visitor's cookie comes along. Even with the
    # form's secret, which the other page can't know, nothing is done.
    fields = {"secret": secret, "key": "interests:1:grounded", "action": "yes"}
    inputs = "".join(f"<input type=hidden name={name} value='{value}'>" for name, value in fields.items())
    eva.open(elsewhere(f"<form id=form method=post action='{url}'>{inputs}</form>"))
    eva.script("document.getElementById('form').submit()")
    eva.until(f"location.href === '{url}' && document.body.innerText.includes('another site')")
    assert room.labels() == []
    eva.open(url)
    eva.moves_on("y")
    assert room.said() == [(1, "grounded", True)]


def test_everything_can_be_reached_and_the_page_fits_a_small_screen(eva: Tab) -> None:
    order = []
    for _ in range(7):
        eva.press("Tab")
        order.append(eva.script("document.activeElement.dataset.key ?? document.activeElement.id"))
    assert order == ["y", "n", "s", "u", "w", "q", "note"]
    beside = "document.getElementById('evidence').getBoundingClientRect().top"
    assert eva.script(f"Math.abs({beside} - document.getElementById('asked').getBoundingClientRect().top) < 2")
    eva.call("Emulation.setDeviceMetricsOverride", width=360, height=640, deviceScaleFactor=1, mobile=True)
    assert eva.script("document.documentElement.scrollWidth <= 360")


def test_people_with_a_token_label_side_by_side(room: Room, browser: Chromium, serve: Serve) -> None:
    url = serve(queued("stars"), token=TOKEN)
    tabs = {name: browser.person() for name in ("bob", "ann")}
    for name, tab in tabs.items():
        tab.open(url)
        assert tab.script("location.pathname") == "/enter"
        tab.script("document.getElementById('name').value = ''; document.getElementById('name').focus()")
        tab.type(name)
        tab.press("Tab")
        tab.type(TOKEN if name == "bob" else "not the token at all")
        tab.moves_on("Enter")
    assert "That is not the token." in tabs["ann"].text("said")
    tabs["ann"].script("document.getElementById('token').focus()")
    tabs["ann"].type(TOKEN)
    tabs["ann"].moves_on("Enter")
    tabs["bob"].moves_on("y")
    tabs["ann"].moves_on("n")
    tabs["bob"].moves_on("n")
    assert room.said("bob") == [(1, "grounded", True), (1, "specific", False)]
    assert room.said("ann") == [(1, "grounded", False)]
    tabs["ann"].moves_on("q")
    assert "human:bob" in tabs["ann"].script("document.querySelector('table').innerText")
