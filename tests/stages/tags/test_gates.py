"""The gates of tags on a shop small enough to work out by hand: three items whose vectors are the axes."""

from datetime import date
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recgpt.config import Config
from recgpt.errors import CheckpointError
from recgpt.settings import Environment, Tags
from recgpt.sources.logs import Catalogue, History
from recgpt.stages import towers
from recgpt.stages.answers import Refused
from recgpt.stages.tags.gates import Recent, TagGates, recent, untimely

SUMMER, AUTUMN = date(2026, 7, 1), date(2026, 10, 31)
AXES = np.eye(3, dtype=np.float32)
NOTHING = Recent((), ())


class Encoder:
    """A search for a rain jacket is the second axis, any other the first."""

    def encode(self, texts: Any) -> Any:
        return np.array([AXES[int(text == "rain jacket")] for text in texts], np.float32).reshape(-1, 3)


def night(day: date = AUTUMN, environment: dict[str, Any] | None = None, **tags: Any) -> Any:
    catalogue = Catalogue(
        ["i1", "i2", "i3"],
        ["Norvik Trail Shoes", "Rain Jacket", "Head Torch"],
        ["Sport"] * 3,
        ["Norvik", "Summit Line", ""],
        np.zeros(3, np.float32),
    )
    logs = SimpleNamespace(catalogue=catalogue, behaviours=("purchase", "view", "search"))
    settings = Config(tags=Tags(**tags), environment=Environment.model_validate(environment or {}))
    return SimpleNamespace(config=settings, day=day, logs=logs, vectors=AXES, encoder=Encoder())


@pytest.fixture(autouse=True)
def no_towers(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(night: Any, k: int) -> Any:
        raise CheckpointError("none are trained")

    monkeypatch.setattr(towers, "tag_finder", none)


def refused(call: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(Refused) as caught:
        call(*args, **options)
    return caught.value.gate


def vector(*values: float) -> Any:
    given = np.array([*values, 0, 0][:3], np.float32)
    return given / np.linalg.norm(given)


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("shoes", "form"),
        ("one two three four five six seven", "form"),
        ("trail shoes 42", "form"),
        (f"trail {'x' * 300}", "form"),  # a column has room for 255, and PostgreSQL means it
        ("smart trail shoes", "vague"),
        ("trail trail shoes", "stutter"),
        ("norvik trail shoes", "brand"),
        ("summit line jacket", "brand"),
        ("beach shoes", "season"),
    ],
)
def test_words_are_refused_by_the_gate_that_they_break(text: str, gate: str) -> None:
    assert refused(TagGates(night()).words, text) == gate


def test_words_that_pass_come_back_plain() -> None:
    assert TagGates(night()).words(" Light  trail shoes. ") == "light trail shoes"


@pytest.mark.parametrize(
    ("month", "hemisphere", "timely"),
    [
        (7, "north", {"summer", "autumn"}),
        (10, "north", {"autumn", "winter"}),
        (1, "north", {"winter", "spring"}),
        (7, "south", {"winter", "spring"}),
    ],
)
def test_a_seasons_things_fit_it_and_the_one_before(month: int, hemisphere: str, timely: set[str]) -> None:
    gates = TagGates(night(date(2026, month, 1), {"hemisphere": hemisphere}))
    for season, tag in (
        ("winter", "winter boots"),
        ("spring", "springtime wreath"),
        ("summer", "paddling pool cover"),
        ("autumn", "autumn jacket"),
    ):
        if season in timely:
            assert gates.words(tag) == tag
        else:
            assert refused(gates.words, tag) == "season"


def test_a_word_of_two_seasons_fits_both() -> None:
    words = {"summer": ["garden party"], "spring": ["garden party"]}
    assert "garden party" not in untimely(night(SUMMER, season_words=words).config, SUMMER)


def test_a_configured_event_that_is_far_off_is_out_of_season() -> None:
    christmas = {"events": [{"name": "Christmas", "begin": "12-24", "end": "12-26"}]}
    assert refused(TagGates(night(SUMMER, christmas)).words, "christmas tree lights") == "season"
    assert TagGates(night(date(2026, 12, 20), christmas)).words("christmas tree lights")
    assert TagGates(night(SUMMER)).words("christmas tree lights")  # no event of the config: nothing is known of it


def test_of_two_tags_that_mean_the_same_the_first_is_taken() -> None:
    user = TagGates(night()).of_user(NOTHING)
    user.meaning("trail shoes", vector(1), kept=False)
    assert refused(user.meaning, "trail footwear", vector(1, 0.3), kept=False) == "duplicate"  # cosine .958
    user.meaning("trail gaiters", vector(1, 0.5), kept=False)  # .894


def test_a_refused_tag_is_no_duplicate_of_a_later_one() -> None:
    user = TagGates(night()).of_user(Recent(("i2",), ()))
    assert refused(user.meaning, "rain coat", vector(0, 1), kept=False) == "not_fresh"
    assert refused(user.meaning, "rain jacket", vector(0, 1), kept=False) == "not_fresh"


def test_a_tag_needs_an_item_that_is_near() -> None:
    gates = TagGates(night(retrievable=0.7))
    gates.of_user(NOTHING).meaning("trail shoes", vector(1, 1), kept=False)  # .707 from two items
    assert (
        refused(gates.of_user(NOTHING).meaning, "odd thing", vector(1, 1, 1), kept=False) == "not_retrievable"
    )  # .577


def test_an_item_that_answers_must_be_among_those_that_the_towers_find(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def finder(night: Any, k: int) -> Any:
        def find(tag: str, vector: Any) -> Any:
            asked.append((tag, k))
            return np.array([0, 2])

        return find

    monkeypatch.setattr(towers, "tag_finder", finder)
    gates = TagGates(night())
    gates.of_user(NOTHING).meaning("trail shoes", vector(1), kept=False)
    assert refused(gates.of_user(NOTHING).meaning, "rain jacket", vector(0, 1), kept=False) == "not_retrievable"
    gates.of_user(NOTHING).meaning("rain jacket", vector(0, 1), kept=True)  # what is kept, a training does not take
    assert asked == [("trail shoes", Config().score.top_k), ("rain jacket", Config().score.top_k)]


def test_what_was_done_lately_is_not_proposed_again() -> None:
    gates = TagGates(night())
    assert (
        refused(gates.of_user(Recent(("i2",), ())).meaning, "rain coat", vector(0, 1, 0.5), kept=False) == "not_fresh"
    )
    assert (
        refused(gates.of_user(Recent((), ("rain jacket",))).meaning, "rain coat", vector(0, 1), kept=True)
        == "not_fresh"
    )
    gates.of_user(Recent(("i2", "gone"), ())).meaning("trail shoes", vector(1), kept=False)


def history(*events: tuple[str, str, int]) -> History:
    """Of (day, behaviour, item row; -1 is a search for "rain jacket")."""
    names = ["purchase", "view", "search"]
    return History(
        "u1",
        {},
        np.array([day for day, _, _ in events], "datetime64[s]"),
        np.array([names.index(name) for _, name, _ in events], np.int16),
        np.array([row for _, _, row in events], np.int32),
        ["Rain jacket\n" if row < 0 else None for _, _, row in events],
        np.full(len(events), np.nan, np.float32),
    )


def test_recent_is_counted_back_from_the_users_own_last_event() -> None:
    mine = history(
        ("2026-01-01", "purchase", 0),
        ("2026-02-20", "purchase", 1),
        ("2026-03-01", "search", -1),
        ("2026-03-02", "view", 2),
    )
    assert recent(night(), mine) == Recent(("i2",), ())  # 10 days before the last; not tonight's month, not the first
    assert recent(night(fresh_days=60), mine) == Recent(("i1", "i2"), ())
    everything = ("purchase", "view", "search")
    assert recent(night(fresh_behaviours=everything), mine) == Recent(("i2", "i3"), ("Rain jacket",))
    assert recent(night(), history()) == NOTHING
