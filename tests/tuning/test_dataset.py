"""What is learnt from which answers, what is held out, and where every example comes from."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judged import CATALOGUE, Judged
from learners import divided
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from judges import REVIEWER
from recgpt.config import Config
from recgpt.errors import ConfigError, DataError
from recgpt.store.session import open_store
from recgpt.store.tables import JudgeThreshold, Rejection
from recgpt.tuning.dataset import TRAIN, Dataset, Kind, balanced, build, read
from recgpt.tuning.graded import answers
from recgpt.tuning.settings import Dpo, Tuning
from recgpt.tuning.split import held_out, key_of
from recgpt.words import Task

RULES = Tuning(balance=0.0)
LEARNERS, HELD = divided([f"u{number}" for number in range(60)], RULES)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    engine = open_store(Config(folder=tmp_path))
    yield engine
    engine.dispose()


@pytest.fixture
def judged(store: Engine) -> Judged:
    return Judged(store)


def data(
    store: Engine,
    kind: Kind = "sft",
    rules: Tuning = RULES,
    task: Task = Task.TAGS,
    *,
    force: bool = False,
    **rest: Any,
) -> Dataset:
    found = answers(store, CATALOGUE, task, rules, Config().judge, force=force)
    return build(found, kind, rules, **rest)


def said(dataset: Dataset) -> list[str]:
    return sorted(row.completion for row in dataset.train)


def test_good_answers_are_learnt_word_for_word_and_others_are_not(store: Engine, judged: Judged) -> None:
    good = judged.tags(LEARNERS[0], "Interest: hiking", {"warm socks": 0.9, "light tent": 0.8})
    fixed = {"properties": {"tags": {"type": "array", "prefixItems": [{}, {}]}}}
    judged.tags(LEARNERS[1], "Interest: chess", {"chess clock": 0.9, "garden hose": 0.1}, schema=fixed)
    judged.tags(LEARNERS[2], "Interest: tea", {"clay teapot": None})
    found = data(store)
    assert said(found) == ['{"tags": ["warm socks", "light tent"]}']
    [row] = found.train
    assert row.messages == ({"role": "user", "content": "Interest: hiking"},)
    assert row.source["request"] == good
    assert row.source["user"] == LEARNERS[0]
    assert (row.source["grade"], row.source["score"], len(row.source["targets"])) == ("A", 0.85, 2)


def test_bad_refused_and_unjudged_entries_are_left_out_of_a_list_of_any_length(store: Engine, judged: Judged) -> None:
    judged.tags(
        LEARNERS[0], "Interest: hiking", {"warm socks": 0.9, "garden hose": 0.2, "some thing": None}, refused=["hat"]
    )
    assert said(data(store)) == ['{"tags": ["warm socks"]}']


def test_a_list_with_given_places_is_learnt_whole_or_not_at_all(store: Engine, judged: Judged) -> None:
    fixed = {"properties": {"tags": {"type": "array", "prefixItems": [{}, {}]}}}
    judged.tags(LEARNERS[0], "a", {"warm socks": 0.9, "garden hose": 0.2}, schema=fixed)
    judged.tags(LEARNERS[1], "b", {"warm socks": 0.9, "light tent": None}, schema=fixed)
    judged.tags(LEARNERS[2], "c", {"warm socks": 0.9}, refused=["hat"], schema=fixed)
    judged.tags(LEARNERS[3], "d", {"warm socks": 0.9, "one": None, "two": None}, schema=fixed)
    assert said(data(store)) == ['{"tags": ["warm socks", "light tent"]}']  # one good and none bad is enough of two


def test_of_lists_with_given_places_none_of_which_is_good_one_is_put_together(store: Engine, judged: Judged) -> None:
    fixed = {"properties": {"tags": {"type": "array", "prefixItems": [{}, {}]}}}
    first = judged.tags(LEARNERS[0], "a", {"warm socks": 0.8, "garden hose": 0.1}, schema=fixed)
    other = judged.tags(LEARNERS[0], "a", {"red car": 0.2, "light tent": 0.9}, schema=fixed, seed=1)
    judged.tags(LEARNERS[0], "a", {"wool hat": 0.7, "blue door": 0.3}, schema=fixed, seed=2)
    judged.tags(LEARNERS[1], "b", {"warm socks": 0.9, "garden hose": 0.1}, schema=fixed)
    judged.tags(LEARNERS[1], "b", {"cold soup": 0.1, "warm socks": 0.9}, schema=fixed, seed=1)  # the same twice
    judged.tags(LEARNERS[2], "c", {"grey mouse": 0.1, "light tent": 0.9}, schema=fixed)
    judged.tags(LEARNERS[2], "c", {"wool hat": 0.7, "red rope": 0.8}, schema=fixed, seed=1)  # good as it is
    [put, whole] = sorted(data(store).train, key=lambda row: row.messages[0]["content"])
    assert put.completion == '{"tags": ["warm socks", "light tent"]}'
    assert put.source["places"] == [first, other]
    assert (put.source["grade"], put.source["score"], len(put.source["targets"])) == ("A", 0.85, 4)
    assert whole.completion == '{"tags": ["wool hat", "red rope"]}'
    assert "places" not in whole.source


def test_what_the_user_has_already_is_no_fault_of_the_answers(store: Engine, judged: Judged) -> None:
    fixed = {"properties": {"tags": {"type": "array", "prefixItems": [{}, {}]}}}
    judged.tags(LEARNERS[0], "a", {"warm socks": 0.9}, refused=["light tent"], gate="duplicate", schema=fixed)
    assert said(data(store)) == ['{"tags": ["warm socks", "light tent"]}']


def test_the_reviewers_threshold_tells_s_from_a_and_s_comes_first(store: Engine, judged: Judged) -> None:
    judged.tags(LEARNERS[0], "Interest: hiking", {"warm socks": 0.7})
    judged.tags(LEARNERS[1], "Interest: chess", {"chess clock": 0.95})
    assert {row.source["grade"] for row in data(store).train} == {"A"}
    with Session(store) as session:
        session.add(
            JudgeThreshold(
                judge="human:ann", prompt_version="v", task="tags", criterion=REVIEWER, value=0.9, auc=1.0,
                sensitivity=1.0, specificity=1.0, cases=9, fitted_on="x",
            )
        )  # fmt: skip
        session.commit()
    found = data(store)
    assert {row.source["grade"]: row.completion for row in found.train} == {
        "S": '{"tags": ["chess clock"]}', "A": '{"tags": ["warm socks"]}'
    }  # fmt: skip
    assert found.counts["by_grade"] == {"A": 1, "S": 1}


def test_nothing_of_a_held_out_user_is_learnt(store: Engine, judged: Judged) -> None:
    for number, user in enumerate([*LEARNERS, *HELD]):
        judged.tags(user, f"Interest: {number}", {f"warm socks {number}": 0.9})
    found = data(store)
    assert {row.source["user"] for row in found.train} == set(LEARNERS)
    assert {row.source["user"] for row in found.held_out} == set(HELD)
    assert not any(held_out(row.source["user"], RULES) for row in found.train)


def test_a_question_that_a_held_out_user_was_asked_in_the_same_words_is_dropped_or_kept(
    store: Engine, judged: Judged
) -> None:
    judged.tags(LEARNERS[0], "Interest: hiking", {"warm socks": 0.9})
    judged.tags(LEARNERS[1], "Interest: chess", {"chess clock": 0.9})
    judged.tags(HELD[0], "Interest: hiking", {"light tent": 0.9})
    judged.tags(HELD[1], "Interest: tea", {"clay teapot": 0.9})
    judged.tags(HELD[2], "Interest: chess", {"chess board": None})  # not judged, and will be asked all the same
    judged.tags(LEARNERS[2], "Interest: jazz", {"jazz record": 0.9})
    dropped, kept = data(store), data(store, rules=Tuning(balance=0.0, shared="keep"))
    assert said(dropped) == ['{"tags": ["jazz record"]}']
    assert len(dropped.held_out) == 2
    assert said(kept) == [f'{{"tags": ["{tag}"]}}' for tag in ("chess clock", "jazz record", "warm socks")]
    assert [row.completion for row in kept.held_out] == ['{"tags": ["clay teapot"]}']
    assert dropped.counts["shared_with_held_out"] == kept.counts["shared_with_held_out"] == 2


def test_a_request_shared_by_a_learner_and_a_held_out_user_is_graded_by_the_learners_rows_alone(
    store: Engine, judged: Judged
) -> None:
    request = judged.tags(LEARNERS[0], "Interest: hiking", {"warm socks": 0.9})
    with Session(store) as session:
        from recgpt.store.tables import Tag

        other = judged.interest(HELD[0])
        session.add(
            Tag(
                user_id=HELD[0], interest_id=other, tag="warm socks", state="active", request_hash=request,
                since_night=session.get_one(Tag, 1).since_night,
            )
        )  # fmt: skip
        session.commit()
    with pytest.raises(DataError, match="shared = 'keep'"):
        data(store)
    assert said(data(store, rules=Tuning(balance=0.0, shared="keep"))) == ['{"tags": ["warm socks"]}']


def test_explanations_are_divided_by_the_interest_they_are_for(store: Engine, judged: Judged) -> None:
    names = [f"interest {number}" for number in range(40)]
    for name in names:
        judged.line(name, f"Interest: {name}", f"Good for {name}.", 0.9)
    found = data(store, task=Task.EXPLANATIONS)
    learnt = {row.messages[0]["content"].removeprefix("Interest: ") for row in found.train}
    assert learnt == {name for name in names if not held_out(key_of(None, name), RULES)}
    assert len(found.held_out) == len(names) - len(learnt) > 0
    assert found.train[0].source["user"] is None


def test_a_pair_is_a_good_and_a_bad_answer_to_the_same_question(store: Engine, judged: Judged) -> None:
    good = judged.tags(LEARNERS[0], "Interest: hiking", {"warm socks": 0.9})
    bad = judged.tags(LEARNERS[0], "Interest: hiking", {"garden hose": 0.2}, seed=1)
    judged.tags(LEARNERS[1], "Interest: chess", {"chess clock": 0.9})
    judged.tags(LEARNERS[1], "Interest: tea", {"red car": 0.1})
    [row] = data(store, "dpo").train
    assert (row.chosen, row.rejected) == ('{"tags": ["warm socks"]}', '{"tags": ["garden hose"]}')
    assert (row.source["chosen"]["request"], row.source["rejected"]["request"]) == (good, bad)
    assert row.source["margin"] == 0.7


def test_what_a_gate_refused_is_the_worse_answer(store: Engine, judged: Judged) -> None:
    judged.tags(LEARNERS[0], "Interest: hiking", {"warm socks": 0.9})
    judged.tags(LEARNERS[0], "Interest: hiking", {"wool hat": 0.9}, refused=["best smart set"], seed=1)
    [row] = data(store, "dpo").train
    assert row.rejected == '{"tags": ["wool hat", "best smart set"]}'
    assert row.source["margin"] == pytest.approx(0.45)


def test_an_answer_that_a_gate_refused_as_a_whole_is_worse_than_the_next_try(store: Engine, judged: Judged) -> None:
    names = [f"interest {number}" for number in range(40)]
    learnt, held = ([one for one in names if held_out(key_of(None, one), RULES) is held] for held in (False, True))
    for name, refused in ((learnt[0], "Best of all!"), (learnt[1], ""), (held[0], "Simply the best!")):
        judged.line(name, f"Interest: {name}", f"Good for {name}.", 0.9)
        if refused:
            bad = judged.request(f"Interest: {name}", {"explanation": refused}, task="explanation_short", seed=1)
            with Session(store) as session:
                session.add(Rejection(stage="explain", key="k", gate="slogan", text=refused, request_hash=bad))
                session.commit()
    [row] = data(store, "dpo", task=Task.EXPLANATIONS).train
    assert (json.loads(row.chosen)["explanation"], json.loads(row.rejected)["explanation"]) == (
        f"Good for {learnt[0]}.", "Best of all!"
    )  # fmt: skip
    assert (row.source["rejected"]["gates"], row.source["margin"]) == (["slogan"], 0.9)
    assert len(data(store, task=Task.EXPLANATIONS).train) == 2  # SFT learns what it learnt before


@pytest.mark.parametrize(("margin", "pairs"), [(0.3, 1), (0.31, 0)])
def test_the_margin_is_in_mean_p_yes(store: Engine, judged: Judged, margin: float, pairs: int) -> None:
    judged.tags(LEARNERS[0], "Interest: hiking", {"warm socks": 0.75})
    judged.tags(LEARNERS[0], "Interest: hiking", {"garden hose": 0.45}, seed=1)
    rules = Tuning(balance=0.0, dpo=Dpo(margin=margin))
    if pairs:
        assert len(data(store, "dpo", rules).train) == pairs
    else:
        with pytest.raises(DataError, match=r"tuning\.dpo\.margin"):
            data(store, "dpo", rules)


def test_nearly_equal_answers_are_no_pair(store: Engine, judged: Judged) -> None:
    judged.tags(LEARNERS[0], "Interest: hiking", {"very warm merino hiking socks": 0.9})
    judged.tags(LEARNERS[0], "Interest: hiking", {"very warm merino Hiking socks": 0.1}, seed=1)
    judged.tags(LEARNERS[0], "Interest: hiking", {"red garden hose": 0.2}, seed=2)
    [row] = data(store, "dpo").train
    assert "hose" in row.rejected
    twice = data(store, "dpo", Tuning(balance=0.0, dpo=Dpo(alike=1.0)))
    assert [row.rejected for row in twice.train] == ['{"tags": ["red garden hose"]}']  # alike to the letter


def test_one_question_gives_few_pairs_and_no_answer_is_in_two(store: Engine, judged: Judged) -> None:
    for seed in range(4):
        judged.tags(LEARNERS[0], "Interest: hiking", {f"good {'abcd'[seed]} thing {seed}": 0.9}, seed=seed)
        judged.tags(LEARNERS[0], "Interest: hiking", {f"bad {'wxyz'[seed]} stuff {seed}": 0.1}, seed=9 + seed)
    rows = data(store, "dpo").train
    assert len(rows) == 2
    assert len({text for row in rows for text in (row.chosen, row.rejected)}) == 4


def test_no_category_has_more_than_its_share_and_good_ones_stay(store: Engine, judged: Judged) -> None:
    for number, user in enumerate(LEARNERS[:12]):
        items = ("i3",) if number < 2 else ("i1", "i2")
        interest = judged.interest(user, items=items)
        judged.tags(user, f"Interest: {number}", {f"warm socks {number}": 0.9}, interest=interest)
    found = data(store, rules=Tuning(balance=0.5))
    # 2 of camping, 10 of running: half of the median, 6, is 3 of each at most.
    assert len(found.train) == 5
    assert found.counts["unbalanced_left_out"] == 7
    letters = balanced(list("aaaaaaaabbc"), str, Tuning(balance=2.0))
    assert Counter(letters) == {"a": 4, "b": 2, "c": 1}


def test_labels_below_the_bar_are_refused_unless_forced(store: Engine) -> None:
    judged = Judged(store, "m@r", "model")
    judged.tags(LEARNERS[0], "Interest: hiking", {"warm socks": 0.9})
    with pytest.raises(DataError, match=r"the labels of m@r on tags are refused.*--force"):
        data(store)
    assert len(data(store, force=True).train) == 1
    judged.passport(Task.TAGS, kappa=0.5, specificity=0.7)
    assert len(data(store).train) == 1
    judged.passport(Task.TAGS, kappa=0.39, specificity=0.7)
    with pytest.raises(DataError, match=r"0\.39"):
        data(store)


def test_people_are_believed_before_models_and_a_tie_says_nothing(store: Engine) -> None:
    judged = Judged(store, "m@r", "model")
    judged.passport(Task.TAGS, 0.9, 0.9)
    judged.tags(LEARNERS[0], "Interest: hiking", {"warm socks": 0.9})
    judged.tags(LEARNERS[1], "Interest: chess", {"chess clock": 0.9})
    ann, bob = Judged(store), Judged(store, "human:bob")
    with Session(store) as session:
        ann._label(session, Task.TAGS, 1, 0.0)
        ann._label(session, Task.TAGS, 2, 0.0)
        bob._label(session, Task.TAGS, 2, 1.0)
        session.commit()
    found = answers(store, CATALOGUE, Task.TAGS, RULES, Config().judge)
    assert [(one.grade, one.content) for one in found.listed] == [("B", '{"tags": ["warm socks"]}')]


def test_general_instructions_are_mixed_in_at_their_share(store: Engine, judged: Judged, tmp_path: Path) -> None:
    for number, user in enumerate(LEARNERS[:6]):
        judged.tags(user, f"Interest: {number}", {f"warm socks {number}": 0.9})
    file = tmp_path / "general.jsonl"
    lines: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"}]}
        for n in range(9)
    ]
    lines += [{"prompt": "p", "completion": "c"}, {"prompt": "p", "chosen": "x", "rejected": "y"}]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    found = data(store, rules=Tuning(balance=0.0, general_share=0.4), general=file)
    mixed = [row for row in found.train if "general" in row.source]
    assert len(mixed) == 4
    assert all(row.source["general"] == "general.jsonl" and row.source["line"] >= 1 for row in mixed)
    assert found.counts["general_share"] == 0.4
    assert not any("general" in row.source for row in found.held_out)
    assert data(store, rules=Tuning(balance=0.0, general_share=0.9), general=file).counts["general"] == 10

    file.write_text('{"messages": [{"role": "user", "content": "q"}]}\n')
    with pytest.raises(ConfigError, match=r"line 1 of .*general\.jsonl"):
        data(store, general=file)
    with pytest.raises(ConfigError, match="can't be read"):
        data(store, general=tmp_path / "absent.jsonl")


def test_the_hash_is_of_every_row_and_the_files_are_read_back_whole_or_not_at_all(
    store: Engine, judged: Judged, tmp_path: Path
) -> None:
    for number, user in enumerate([*LEARNERS[:4], *HELD[:2]]):
        judged.tags(user, f"Interest: {number}", {f"warm socks {number}": 0.9})
    found = data(store)
    assert data(store).hash == found.hash
    assert data(store, rules=Tuning(balance=0.0, seed=5)).hash != found.hash
    found.write(tmp_path / "data")
    assert read(tmp_path / "data") == found
    file = tmp_path / "data" / TRAIN
    file.write_text(file.read_text().replace("warm socks 0", "warm socks 9"))
    assert read(tmp_path / "data") is None
    assert read(tmp_path / "nothing") is None


def test_with_nothing_to_learn_from_it_says_what_there_is(store: Engine, judged: Judged) -> None:
    judged.tags(LEARNERS[0], "Interest: hiking", {"garden hose": 0.1})
    with pytest.raises(DataError, match=r"of 1 graded answers \(\{'B': 1\}\).*recgpt judge run"):
        data(store)
