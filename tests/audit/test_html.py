"""The page: whole, escaped, and without anything from outside."""

from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from recgpt.audit.html import page
from recgpt.audit.passport import audit, report_of
from recgpt.settings import Judge
from recgpt.words import Task

EVIL = "small@<script>alert(1)</script>"
VOID = {"meta"}


class Page(HTMLParser):
    """Tags with their attributes, and whether all are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def text(desk: Any) -> str:
    criterion, person = "<b>specific", "human:<i>ann"
    for n in range(40):
        desk.label(person, [(n, n % 2 == 0)], criterion=criterion)
        desk.label("human:bob", [(n, n % 3 == 0)], criterion=criterion)
        desk.label(EVIL, [(n, n % 2 == 0)], criterion=criterion, p_yes=0.95 if n % 2 == 0 else 0.15)
    audit(desk.store, Task.TAGS, EVIL)
    desk.label(EVIL, [(n, n % 4 == 0) for n in range(40)], criterion=criterion, prompt_version="v2")
    reports = [report_of(audit(desk.store, Task.TAGS, EVIL))]
    desk.label(EVIL, [(n, True) for n in range(40)], criterion=criterion, p_yes=0.7, prompt_version="v3")
    desk.label(EVIL, [(40, True)], criterion=criterion, p_yes=0.3, prompt_version="v3")
    reports.append(report_of(audit(desk.store, Task.TAGS, EVIL)))
    return page(reports, Judge())


def test_names_from_the_store_are_text_and_no_markup(text: str) -> None:
    seen = Page(text)
    assert not seen.open
    assert {"script", "b", "i", "img", "link", "iframe"}.isdisjoint(tag for tag, _ in seen.tags)
    for name in (EVIL, "<b>specific", "human:<i>ann"):
        assert name in seen.text


def test_nothing_comes_from_outside(text: str) -> None:
    attributes = {name for _, attributes in Page(text).tags for name in attributes}
    assert attributes.isdisjoint({"src", "href", "srcset", "action", "data", "xlink:href", "onload", "onclick"})
    assert "url(" not in text
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert "default-src 'none'" in text


def test_it_holds_all_parts_of_a_passport(text: str) -> None:
    said = Page(text).text
    for part in (
        "specificity", "F1", "kappa", "ECE", "AUC", "tokens a verdict", "Krippendorff's alpha",
        "human:<i>ann and human:bob", "Since the last audit", "It always says yes",
        "no pair was judged", "1 more verdicts are left out",
    ):  # fmt: skip
        assert part in said, part


def test_the_plot_has_a_dot_where_the_bin_s_cases_lie(desk: Any) -> None:
    """Ten cases at .15, of which two are a yes, and thirty at .9, all of them: dots at (30, 160) and (180, 0)."""
    truth = {n: n < 2 or n >= 10 for n in range(40)}
    desk.label("human:ann", truth.items())
    for n in truth:
        desk.label("small@1", [(n, n >= 10)], p_yes=0.15 if n < 10 else 0.9)
    text = page([report_of(audit(desk.store, Task.TAGS, "small@1"))], Judge())
    svg = ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + len("</svg>")])
    dots = [(float(dot.get("cx", "nan")), float(dot.get("cy", "nan"))) for dot in svg.findall("circle")]
    assert dots == [(30.0, 160.0), (180.0, 0.0)]
    assert svg.findtext("circle/title") == "P(yes) 0.1 to 0.2: 10 cases, mean 0.150, 0.200 are a yes"
    assert float(svg.findall("circle")[0].get("r", "nan")) < float(svg.findall("circle")[1].get("r", "nan"))


def test_a_judge_without_probabilities_has_no_plot(desk: Any) -> None:
    desk.label("human:ann", [(n, n % 2 == 0) for n in range(40)])
    desk.label("small@1", [(n, n % 2 == 0) for n in range(40)])
    text = page([report_of(audit(desk.store, Task.TAGS, "small@1"))], Judge())
    assert "<svg" not in text
    assert "The judge gives no P(yes)." in text
    assert "Nothing speaks against it." in text
