"""One person's sitting: what is asked, in which order, and what stands in SQL after each key."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from labellers import ALL, TWO, Room, queued
from sqlalchemy.orm import Session

from recgpt.errors import ConfigError
from recgpt.labelling.session import NOTE_CHARS, NotNow, Sitting, labeller_name
from recgpt.labels.queue import Queued
from recgpt.store.tables import PromptVersion


def asked(sitting: Sitting) -> str | None:
    question = sitting.current()
    return None if question is None else f"{question.target.claim} {question.criterion.name}"


def say(sitting: Sitting, *verdicts: bool, note: str = "") -> None:
    for verdict in verdicts:
        question = sitting.current()
        assert question is not None
        sitting.answer(question.key, verdict, note)


def skip(sitting: Sitting) -> None:
    question = sitting.current()
    assert question is not None
    sitting.skip(question.key)


def test_each_criterion_of_each_target_is_asked_in_the_queues_order(room: Room) -> None:
    sitting, order = room.sit(queued("stars", "tea")), []
    while (question := asked(sitting)) is not None:
        order.append(question)
        say(sitting, True)
    assert order == ["stars grounded", "stars specific", "tea grounded", "tea specific"]


def test_a_verdict_is_a_label_at_once_with_all_that_is_known_of_it(rooms: Room) -> None:
    sitting = rooms.sit(queued("stars", why="random"))
    say(sitting, False, note="  too wide ")
    (row,) = rooms.labels()
    assert (row.task, row.target_id, row.criterion, row.verdict) == ("interests", 1, "grounded", False)
    assert (row.kind, row.judge, row.prompt_version) == ("human", "human:eva", ALL["grounded"].version)
    assert (row.rationale, row.queued) == ("too wide", "random")
    assert (row.p_yes, row.threshold, row.request_hash, row.run_id) == (None, None, None, None)
    with Session(rooms.store) as session:
        assert session.get_one(PromptVersion, row.prompt_version).text == ALL["grounded"].text


def test_a_criterion_that_the_caller_leaves_out_is_not_asked(room: Room) -> None:
    sitting = room.sit(queued("stars", criteria=["grounded", "no such", "specific"]))
    say(sitting, True, True)
    assert sitting.current() is None
    assert [criterion for _, criterion, _ in room.said()] == ["grounded", "specific"]


def test_undo_takes_back_the_last_and_asks_it_again(room: Room) -> None:
    sitting = room.sit(queued("stars"))
    say(sitting, True, True)
    assert sitting.undo().criterion.name == "specific"
    assert asked(sitting) == "stars specific"
    sitting.undo()
    assert asked(sitting) == "stars grounded"
    assert room.said() == []
    assert len(room.labels(superseded=True)) == 2
    say(sitting, False, True)
    assert room.said() == [(1, "grounded", False), (1, "specific", True)]
    assert sitting.current() is None
    assert sitting.counts == {"yes": 1, "no": 1, "skipped": 0}


def test_there_is_an_end_to_taking_back(room: Room) -> None:
    say(room.sit(queued("stars")), True)
    with pytest.raises(NotNow, match="nothing to take back"):
        room.sit(queued("stars")).undo()
    assert len(room.said()) == 1


def test_a_skipped_one_comes_last_and_the_longest_skipped_first(room: Room) -> None:
    sitting = room.sit(queued("stars", "tea", criteria=["grounded", "specific"]))
    skip(sitting)
    skip(sitting)
    say(sitting, True)
    assert sitting.counts == {"yes": 1, "no": 0, "skipped": 2}
    say(sitting, True)
    assert asked(sitting) == "stars grounded"
    skip(sitting)
    assert asked(sitting) == "stars specific"
    say(sitting, True)
    assert asked(sitting) == "stars grounded"
    say(sitting, True)
    assert sitting.current() is None
    assert sitting.counts == {"yes": 4, "no": 0, "skipped": 0}


def test_a_skip_can_be_taken_back(room: Room) -> None:
    sitting = room.sit(queued("stars"))
    skip(sitting)
    assert asked(sitting) == "stars specific"
    sitting.undo()
    say(sitting, True, True)
    assert sitting.current() is None
    assert room.said() == [(1, "grounded", True), (1, "specific", True)]


def test_a_skip_is_taken_back_when_it_is_on_the_screen_again(room: Room) -> None:
    sitting = room.sit(queued("stars", criteria=["grounded"]))
    skip(sitting)
    assert asked(sitting) == "stars grounded"
    sitting.undo()
    say(sitting, True)
    assert sitting.current() is None
    assert len(room.said()) == 1


def test_a_later_sitting_goes_on_and_has_the_skipped_ones_last(rooms: Room) -> None:
    first = rooms.sit(queued("stars", "tea"))
    skip(first)
    say(first, True)
    skip(first)
    later, order = rooms.sit(queued("stars", "tea")), []
    while (question := asked(later)) is not None:
        order.append(question)
        say(later, True)
    assert order == ["tea specific", "stars grounded", "tea grounded"]
    assert rooms.sit(queued("stars", "tea")).current() is None


def test_what_one_skipped_and_then_answered_is_skipped_no_more(room: Room) -> None:
    first = room.sit(queued("stars"))
    skip(first)
    say(first, True, True)
    first.undo()  # "stars grounded", which came again
    again = room.sit(queued("stars"))
    assert asked(again) == "stars grounded"


def test_a_question_of_before_is_refused_and_changes_nothing(room: Room) -> None:
    sitting = room.sit(queued("stars"))
    question = sitting.current()
    assert question is not None
    sitting.answer(question.key, True)
    for late in (lambda: sitting.answer(question.key, False), lambda: sitting.skip(question.key)):
        with pytest.raises(NotNow, match="dealt with already"):
            late()
    assert room.said() == [(1, "grounded", True)]
    assert asked(sitting) == "stars specific"


def test_a_note_that_is_too_long_keeps_nothing(room: Room) -> None:
    sitting = room.sit(queued("stars"))
    with pytest.raises(NotNow, match=r"2,001 characters; 2,000"):
        say(sitting, True, note="x" * (NOTE_CHARS + 1))
    assert room.said() == []
    say(sitting, True, note="x" * NOTE_CHARS)
    assert asked(sitting) == "stars specific"


def test_the_limit_counts_verdicts_and_what_is_taken_back_does_not_count(room: Room) -> None:
    sitting = room.sit(queued("stars", "tea"), limit=2)
    skip(sitting)
    say(sitting, True, True)
    assert sitting.current() is None
    sitting.undo()
    assert asked(sitting) == "tea grounded"


def test_the_queue_is_read_no_further_than_it_is_asked(room: Room) -> None:
    read: list[int] = []

    def reading() -> Iterator[Queued]:
        for one in queued("stars", "tea", "rope"):
            read.append(one.target.id)
            yield one

    sitting = room.sit(reading())  # type: ignore[arg-type]
    say(sitting, True)
    assert read == [1]
    say(sitting, True)
    assert asked(sitting) == "tea grounded"
    assert read == [1, 2]


def test_why_says_what_the_others_said_only_of_what_is_answered(room: Room) -> None:
    room.judged(1, ALL["grounded"], False, p_yes=0.31, threshold=0.5, evidence="star chart")
    room.judged(1, ALL["specific"], True)
    sitting = room.sit(queued("stars"))
    before = sitting.why()
    assert (before.reason, before.answered, before.others) == ("those who judged it so far do not agree", None, ())
    say(sitting, True)
    after = sitting.why()
    assert after.answered is not None
    assert (after.answered.criterion.name, after.verdict) == ("grounded", "yes")
    assert [one.line() for one in after.others] == ['small@r1 said no, P(yes) 0.31 against 0.50, quoting "star chart"']


def test_other_people_are_among_the_others_and_oneself_is_not(room: Room) -> None:
    say(room.sit(queued("stars"), "bob"), False, note="two\nlines\x1b[2J")
    sitting = room.sit(queued("stars", why="unlabelled"))
    say(sitting, True)
    why = sitting.why()
    assert why.reason == "nobody has judged it yet"
    assert [one.line() for one in why.others] == ["human:bob said no: two\\nlines\\x1b[2J"]


def test_an_answer_stands_once_the_others_are_known(room: Room) -> None:
    room.judged(1, ALL["grounded"], False)
    sitting = room.sit(queued("stars"))
    say(sitting, True)
    sitting.why()
    with pytest.raises(NotNow, match="answer stands"):
        sitting.undo()
    assert room.said("eva") == [(1, "grounded", True)]
    say(sitting, True)
    sitting.undo()  # of this one nothing was told
    with pytest.raises(NotNow, match="answer stands"):
        sitting.undo()


def test_why_tells_nothing_of_what_was_skipped(room: Room) -> None:
    room.judged(1, ALL["grounded"], False)
    sitting = room.sit(queued("stars", "tea"))
    skip(sitting)
    assert sitting.why().answered is None
    sitting.undo()


def test_a_changed_criterion_is_asked_again(room: Room) -> None:
    say(room.sit(queued("stars")), True, True)
    changed = {**ALL, "grounded": replace(ALL["grounded"], version="sha256:other")}
    sitting = Sitting(room.store, room.sit([]).task, "eva", queued("stars"), changed)
    assert asked(sitting) == "stars grounded"
    say(sitting, False)
    assert sitting.current() is None
    assert len(room.labels("eva")) == 3


def test_what_is_labelled_in_another_window_is_not_asked_in_this_one(room: Room) -> None:
    here, there = room.sit(queued("stars", "tea")), room.sit(queued("stars", "tea"))
    assert asked(here) == "stars grounded"
    say(there, True, True)
    assert asked(here) == "tea grounded"
    with pytest.raises(NotNow):
        here.answer("interests:1:grounded", False)
    assert room.said() == [(1, "grounded", True), (1, "specific", True)]


def test_several_people_at_once_each_have_every_label_of_their_own(rooms: Room) -> None:
    claims = [f"interest {number}" for number in range(12)]
    names = ["eva", "bob", "ann", "kim"]
    together = threading.Barrier(len(names), timeout=60)

    def label(name: str) -> None:
        sitting = rooms.sit(queued(*claims), name)
        together.wait()
        while (question := sitting.current()) is not None:
            sitting.answer(question.key, question.target.id % (2 + names.index(name)) == 0, name)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(label, names))
    for place, name in enumerate(names):
        expected = [(one, c, one % (2 + place) == 0) for one in range(1, 13) for c in TWO]
        assert rooms.said(name) == expected
        assert {row.rationale for row in rooms.labels(name)} == {name}
    assert len(rooms.labels()) == len(names) * len(claims) * len(TWO)


def test_one_person_in_two_windows_at_once_has_one_label_that_holds(rooms: Room) -> None:
    queue = queued(*(f"interest {number}" for number in range(15)), criteria=["grounded"])
    together = threading.Barrier(2, timeout=60)

    def label(verdict: bool) -> int:
        sitting, kept = rooms.sit(queue), 0
        for one in queue:  # both at the same question at the same moment
            together.wait()
            try:
                sitting.answer(f"interests:{one.target.id}:grounded", verdict)
                kept += 1
            except NotNow:
                sitting.current()
        return kept

    with ThreadPoolExecutor(2) as pool:
        kept = sum(pool.map(label, (True, False)))
    assert sorted(row.target_id for row in rooms.labels()) == list(range(1, 16))
    assert len(rooms.labels()) + len(rooms.labels(superseded=True)) == kept


def test_the_summary_says_how_often_others_said_the_same(rooms: Room) -> None:
    say(rooms.sit(queued("stars", "tea"), "bob"), True, True, False)
    say(rooms.sit(queued("stars"), "ann"), False)
    rooms.judged(1, ALL["grounded"], True)  # no person
    sitting = rooms.sit(queued("stars", "tea"))
    say(sitting, True, False, False)
    skip(sitting)
    assert sitting.summary() == {
        "task": "interests",
        "judge": "human:eva",
        "yes": 1,
        "no": 2,
        "skipped": 1,
        "total": 3,
        "agreement": [
            {"judge": "human:ann", "common": 1, "same": 0},
            {"judge": "human:bob", "common": 3, "same": 2},
        ],
    }
    assert rooms.sit([]).summary()["total"] == 3


@pytest.mark.parametrize(
    ("given", "name"),
    [("eva", "eva"), ("  Eva   K. ", "Eva K."), ("jörg@shop-2.example", "jörg@shop-2.example"), ("ｅｖａ", "eva")],
)
def test_a_name_is_kept_in_one_spelling(given: str, name: str) -> None:
    assert labeller_name(given) == name


@pytest.mark.parametrize("given", ["", "   ", "a:b", "a/b", "<b>", "a\x1bb", "x" * 65, "e\u202eva"])
def test_a_name_that_could_be_mistaken_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="--as NAME"):
        labeller_name(given)
