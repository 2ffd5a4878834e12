"""The page over real HTTP, without a script: every rule is the server's."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from html import escape

import pytest
from labellers import ALL, GIVEN, Room, queued
from sqlalchemy import text

pytest.importorskip("fastapi", reason="pip install 'recgpt[label]'")

from label_page import Browser, Served

from recgpt.errors import ConfigError
from recgpt.labelling.guard import HEADERS
from recgpt.labelling.session import NOTE_CHARS
from recgpt.labelling.web import MOST_BYTES, listen

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}\x1b[2J\u202e"
TOKEN = "correct horse battery"
Serve = Callable[..., str]


def test_a_verdict_is_a_label_at_once_and_the_next_question_comes(room: Room, serve: Serve) -> None:
    eva = Browser(serve(queued("stars")))
    page = eva.get()
    assert (page.of("claim"), page.of("given")) == ("stars", GIVEN)
    assert ALL["grounded"].question in page.text
    assert page.hidden["key"] == "interests:1:grounded"
    page = eva.press("yes", note="  as told ")
    assert (page.of("said"), page.hidden["key"]) == ("Kept: yes.", "interests:1:specific")
    (row,) = room.labels()
    assert (row.judge, row.verdict, row.rationale) == ("human:eva", True, "as told")
    assert eva.get().of("said") == ""
    assert "There is nothing left to ask." in eva.press("no").text
    assert room.said("eva") == [(1, "grounded", True), (1, "specific", False)]


def test_skip_undo_and_the_end(room: Room, serve: Serve) -> None:
    eva = Browser(serve(queued("stars")))
    assert eva.press("skip").hidden["key"] == "interests:1:specific"
    assert eva.press("no").hidden["key"] == "interests:1:grounded"
    assert eva.press("yes").of("end") == "There is nothing left to ask."
    page = eva.press("undo")
    assert (page.of("said"), page.hidden["key"]) == ("Taken back; it is asked again.", "interests:1:grounded")
    eva.press("no")
    assert room.said() == [(1, "specific", False), (1, "grounded", False)]
    done = eva.get("/done").of("counts")
    assert done == "This sitting: 0 yes, 2 no, 0 skipped. In all: 2 labels of interests."


def test_why_keeps_the_note_and_tells_of_the_others_after_the_answer_only(room: Room, serve: Serve) -> None:
    room.judged(1, ALL["grounded"], False, p_yes=0.25, threshold=0.5, evidence=HOSTILE)
    eva = Browser(serve(queued("stars")))
    page = eva.press("why", note="half a thought")
    assert page.of("note") == "half a thought"
    assert "those who judged it so far do not agree" in page.of("why")
    assert "small@r1" not in page.text
    eva.press("yes")
    page = eva.press("why")
    assert "small@r1 said no, P(yes) 0.25 against 0.50" in page.of("why")
    assert HOSTILE.split("\x1b", maxsplit=1)[0] not in page.text
    assert eva.get().of("why") == ""
    assert "answer stands" in eva.press("undo").of("said")
    assert room.said("eva") == [(1, "grounded", True)]


def test_texts_of_the_logs_are_shown_and_never_markup(serve: Serve) -> None:
    page = Browser(serve(queued(HOSTILE))).get()
    shown = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert page.of("claim") == shown
    assert "<script>alert" not in page.text
    assert "<img" not in page.text
    assert escape(shown).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page.text


def test_a_form_without_the_visitors_secret_does_nothing(room: Room, serve: Serve) -> None:
    url = serve(queued("stars"))
    eva, other = Browser(url), Browser(url)
    fields = {**eva.get().hidden, "action": "yes"}
    for wrong in ("", "x", other.get().hidden["secret"]):
        assert eva.post(fields={**fields, "secret": wrong}).status in (403, 422)
    stranger = Browser(url)
    assert stranger.post(fields=fields).headers["location"] == "/"
    stranger.cookies = dict.fromkeys(eva.cookies, "guessed")
    assert stranger.post(fields=fields).headers["location"] == "/"
    assert room.labels() == []
    assert eva.post(fields=fields).status == 303
    assert len(room.labels()) == 1


@pytest.mark.parametrize(
    "fields",
    [{"action": "maybe"}, {}, {"action": "yes", "note": ["a", "b"]} | {"action": "drop"}],
)
def test_what_is_no_form_of_the_page_is_refused(room: Room, serve: Serve, fields: dict[str, str]) -> None:
    eva = Browser(serve(queued("stars")))
    page = eva.post(fields={"secret": eva.get().hidden["secret"], "key": "interests:1:grounded", **fields})
    assert (page.status, page.of("said")) == (422, "That is no form of these pages; nothing was done.")
    assert room.labels() == []


def test_a_note_that_is_too_long_is_given_back_and_a_huge_body_is_refused(room: Room, serve: Serve) -> None:
    eva = Browser(serve(queued("stars")))
    page = eva.press("yes", note="x" * (NOTE_CHARS + 1))
    assert "2,000 is the most. Nothing was kept." in page.of("said")
    assert page.of("note") == "x" * NOTE_CHARS
    assert eva.post(fields={**page.hidden, "action": "yes", "note": "x" * MOST_BYTES}).status == 413
    assert room.labels() == []


def test_a_question_of_an_old_window_is_not_answered_for_another(room: Room, serve: Serve) -> None:
    eva = Browser(serve(queued("stars")))
    old = eva.get().hidden
    eva.press("yes")
    eva.post(fields={**old, "action": "no"})
    assert "dealt with already" in eva.get().of("said")
    eva.post(fields={**old, "action": "skip"})
    assert room.said() == [(1, "grounded", True)]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "", "10.0.0.1"])
def test_another_name_for_this_machine_is_refused(room: Room, serve: Serve, host: str) -> None:
    url = serve(queued("stars"))
    eva = Browser(url)
    fields = {**eva.get().hidden, "action": "yes"}
    named = host.format(port=url.rpartition(":")[2])
    for page in (eva.get(Host=named), eva.post(fields=fields, Host=named), eva.get("/static/label.js", Host=named)):
        assert page.status == 421
        assert "stars" not in page.text
    assert room.labels() == []


def test_its_own_names_are_taken(serve: Serve) -> None:
    url = serve(queued("stars"))
    port = url.rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"):
        assert Browser(url).get(Host=host).status == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}]
)
def test_a_form_of_another_sites_page_does_nothing(room: Room, serve: Serve, headers: dict[str, str]) -> None:
    url = serve(queued("stars"))
    eva = Browser(url)
    fields = {**eva.get().hidden, "action": "yes"}
    assert eva.post(fields=fields, **headers).status == 403
    assert room.labels() == []
    assert eva.post(fields=fields, Origin=url, Sec_Fetch_Site="same-origin").status == 303


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/static/label.css", 200), ("/docs", 404), ("/%00", 404)])
def test_every_answer_has_the_headers(serve: Serve, path: str, status: int) -> None:
    eva = Browser(serve(queued("stars")))
    for page in (eva.get(path), eva.get(path, Host="evil.example")):
        assert page.status in (status, 421)
        assert {name: page.headers.get(name) for name in HEADERS} == HEADERS
        assert "server" not in page.headers


def test_the_policy_lets_nothing_in_from_elsewhere(serve: Serve) -> None:
    policy = Browser(serve(queued("stars"))).get().headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert set(rules.values()) == {"'none'", "'self'"}


def test_the_cookie_is_for_this_server_alone_and_no_script(serve: Serve) -> None:
    url = serve(queued("stars"))
    given = Browser(url).get().headers["set-cookie"]
    assert given.startswith(f"recgpt_label_{url.rpartition(':')[2]}=")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(given.split("; "))


@pytest.mark.parametrize("path", ["/static/../web.py", "/static/%2e%2e/web.py", "/static/..%2fweb.py"])
def test_no_other_file_is_served(serve: Serve, path: str) -> None:
    assert Browser(serve(queued("stars"))).get(path).status == 404


def test_with_a_token_nobody_gets_in_without_it(room: Room, serve: Serve) -> None:
    url = serve(queued("stars"), token=TOKEN)
    stranger = Browser(url)
    for path in ("/", "/done"):
        page = stranger.get(path)
        assert (page.status, page.headers["location"]) == (303, "/enter")
        assert "stars" not in page.text
    assert stranger.post(fields={"secret": "", "action": "yes", "key": "interests:1:grounded"}).status == 303
    for wrong in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\u00e9"):
        page = stranger.post("/enter", {"name": "eva", "token": wrong})
        assert page.status in (403, 422)
        assert TOKEN not in page.text
        assert "set-cookie" not in page.headers
    assert stranger.get().headers["location"] == "/enter"
    assert room.labels() == []


def test_with_a_token_each_visitor_says_who_they_are(room: Room, serve: Serve) -> None:
    url = serve(queued("stars"), token=TOKEN)
    assert 'value="eva"' in Browser(url).get("/enter").text
    for name in ("bob", " Ann  K. "):
        one = Browser(url)
        assert one.post("/enter", {"name": name, "token": TOKEN}).status == 303
        one.press("yes" if name == "bob" else "no")
    assert room.said("bob") == [(1, "grounded", True)]
    assert room.said("Ann K.") == [(1, "grounded", False)]
    refused = Browser(url).post("/enter", {"name": "<b>", "token": TOKEN})
    assert refused.status == 422
    assert "<b>" not in refused.text.partition("<body>")[2].replace("<body>", "")
    assert "set-cookie" not in refused.headers


def test_without_a_token_there_is_no_other_name_to_take(room: Room, serve: Serve) -> None:
    eva = Browser(serve(queued("stars")))
    assert eva.get("/enter").headers["location"] == "/"
    assert eva.post("/enter", {"name": "bob", "token": "x"}).headers["location"] == "/"
    eva.press("yes")
    assert [row.judge for row in room.labels()] == ["human:eva"]


def test_one_person_in_two_browsers_is_asked_nothing_twice(room: Room, serve: Serve) -> None:
    url = serve(queued("stars"))
    one, other = Browser(url), Browser(url)
    assert one.get().hidden["key"] == other.get().hidden["key"]
    one.press("yes")
    assert other.get().hidden["key"] == "interests:1:specific"
    other.press("no")
    assert one.get().of("end")
    assert room.said() == [(1, "grounded", True), (1, "specific", False)]


def test_several_people_at_once_each_have_every_label_of_their_own(room: Room, serve: Serve) -> None:
    claims = [f"interest {number}" for number in range(6)]
    url = serve(queued(*claims), token=TOKEN)
    names = ["eva", "bob", "ann"]

    def label(name: str) -> None:
        one = Browser(url)
        one.post("/enter", {"name": name, "token": TOKEN})
        page = one.get()
        while "key" in page.hidden:
            _, target, _ = page.hidden["key"].split(":")
            assert page.of("claim") == claims[int(target) - 1]
            page = one.press("yes" if int(target) % (2 + names.index(name)) == 0 else "no", note=name)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(label, names))
    for place, name in enumerate(names):
        expected = [(n, c, n % (2 + place) == 0) for n in range(1, 7) for c in ("grounded", "specific")]
        assert room.said(name) == expected
        assert {row.rationale for row in room.labels(name)} == {name}


def test_a_store_that_fails_is_said_on_the_page_and_labels_go_on_when_it_is_back(room: Room, serve: Serve) -> None:
    eva = Browser(serve(queued("stars")))
    fields = {**eva.get().hidden, "action": "yes"}
    with room.store.begin() as connection:
        connection.execute(text("alter table labels rename to away"))
    page = eva.post(fields=fields)
    assert page.status == 503
    assert "store.url" in page.text
    with room.store.begin() as connection:
        connection.execute(text("alter table away rename to labels"))
    assert eva.post(fields=fields).status == 303
    assert room.said() == [(1, "grounded", True)]


def test_a_port_that_is_taken_says_what_to_do(serve: Serve) -> None:
    port = int(serve(queued("stars")).rpartition(":")[2])
    with pytest.raises(ConfigError, match=r"--host or --port"):
        listen("127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"--host or --port"):
        listen("no such host.invalid", 0)


def test_it_is_reached_by_its_own_ipv6_address(room: Room) -> None:
    served = Served(lambda name: room.sit(queued("stars"), name), "eva", None, host="::1")
    try:
        assert Browser(served.url).get().of("claim") == "stars"
    finally:
        served.stop()
