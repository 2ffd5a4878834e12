"""What a judge is tuned on: the very questions it is asked, people's answers to them, and how many of which."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from judged import CATALOGUE, MOMENT, Judged
from learners import divided
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from tiny_llama import SOURCE, tiny_llama

from judges import is_quoted, load_criteria, read_verdict
from recgpt.config import Config
from recgpt.errors import DataError
from recgpt.labels.store import add
from recgpt.store.session import open_store
from recgpt.store.tables import Label, Tag
from recgpt.tuning.base import Source
from recgpt.tuning.dataset import Dataset, Row
from recgpt.tuning.judge_model import Case, build, cases, example, levelled, thinned
from recgpt.tuning.settings import Judging, Lora, Tuning
from recgpt.tuning.training import train
from recgpt.words import Task

__all__ = ["tiny_llama"]

RULES = Tuning()
LEARNERS, HELD = divided([f"u{number}" for number in range(60)], RULES)
LOGS: Any = SimpleNamespace(catalogue=CATALOGUE)
(VALID,) = load_criteria("tags", ["valid"])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    engine = open_store(Config(folder=tmp_path))
    yield engine
    engine.dispose()


def found(store: Engine, **options: Any) -> list[Case]:
    return cases(store, LOGS, Config(), Task.TAGS, **options)[0]


def say(store: Engine, target: int, criterion: str, verdict: bool, judge: str = "human:ann", **columns: Any) -> None:
    with Session(store) as session:
        row = {"kind": judge.partition(":")[0] if ":" in judge else "model", "prompt_version": "sha256:c", **columns}
        add(
            session,
            [Label(task="tags", target_id=target, criterion=criterion, verdict=verdict, judge=judge, **row)],
        )
        session.commit()


def case(number: int, *, verdict: bool, days: float = 0.0, key: str = LEARNERS[0]) -> Case:
    return Case(VALID, "hiking", f"warm socks {number}", verdict, at=MOMENT - timedelta(days=days), key=key,
                source={"target": number})  # fmt: skip


def test_an_example_is_the_question_that_is_sent_and_an_answer_that_is_read_as_the_verdict(store: Engine) -> None:
    Judged(store).tags(LEARNERS[0], "q", {"warm socks": None})
    say(store, 1, "valid", False, evidence="warm")
    [one] = found(store)
    row = example(one)
    assert row is not None
    assert list(row.messages) == VALID.messages(given="hiking", claim="warm socks")
    verdict = read_verdict(row.completion, None, texts=("hiking", "warm socks"))
    assert (verdict.verdict, verdict.evidence) == (False, "warm")
    assert one.source == {
        "task": "tags", "target": 1, "criterion": "valid", "user": LEARNERS[0], "judges": ["human:ann"],
        "at": one.at.isoformat(timespec="seconds"),
    }  # fmt: skip


@pytest.mark.parametrize("evidence", ["", "a hat"])
def test_without_a_quote_that_stands_there_the_claim_is_quoted(evidence: str) -> None:
    row = example(replace(case(1, verdict=True), evidence=evidence))
    assert row is not None
    assert json.loads(row.completion) == {"evidence": "warm socks 1", "verdict": "yes"}
    long = example(replace(case(1, verdict=True), claim="very " * 100 + "warm socks"))
    assert long is not None
    assert is_quoted(json.loads(long.completion)["evidence"], ["very " * 100])
    assert len(json.loads(long.completion)["evidence"]) <= 200
    assert example(replace(case(1, verdict=True), claim="?")) is None


def test_people_are_learnt_from_by_majority_and_models_never(store: Engine) -> None:
    Judged(store).tags(LEARNERS[0], "q", {"warm socks": None, "light tent": None, "wool hat": None})
    for name, verdict in (("ann", True), ("bob", True), ("eve", False)):
        say(store, 1, "valid", verdict, f"human:{name}")
    for name, verdict in (("ann", True), ("bob", False)):
        say(store, 2, "valid", verdict, f"human:{name}")
    say(store, 3, "valid", True, "m@r")
    [one] = found(store)
    assert (one.claim, one.verdict, one.source["judges"]) == ("warm socks", True, ["human:ann", "human:bob"])


def test_imported_labels_want_a_passport_above_the_bar(store: Engine) -> None:
    judged = Judged(store, "import:gold", "import")
    judged.tags(LEARNERS[0], "q", {"warm socks": None})
    say(store, 1, "valid", True, "import:gold")
    listed, refused = cases(store, LOGS, Config(), Task.TAGS)
    assert (listed, "import:gold" in refused[0], "--force" in refused[0]) == ([], True, True)
    with pytest.raises(DataError, match="import:gold"):
        build(listed, RULES, refused)
    assert len(found(store, force=True)) == 1
    judged.passport(Task.TAGS, kappa=0.5, specificity=0.7)
    assert len(found(store)) == 1


def test_a_criterion_that_asks_for_the_season_is_shown_it(store: Engine) -> None:
    Judged(store).tags(LEARNERS[0], "q", {"warm socks": None})
    say(store, 1, "timely", True)
    [one] = found(store)
    assert one.given == "hiking. Season: autumn"


def test_the_rarer_answer_is_repeated_and_the_commoner_thinned_until_they_are_even() -> None:
    listed = [*(case(n, verdict=True) for n in range(40)), *(case(100 + n, verdict=False) for n in range(10))]
    got = levelled(listed, Judging(), 0)
    assert Counter(one.verdict for one in got) == {True: 20, False: 20}
    repeated = Counter(one.claim for one in got if not one.verdict)
    assert repeated == {f"warm socks {100 + n}": 2 for n in range(10)}
    assert len({one.claim for one in got if one.verdict}) == 20
    # Never more than four times; then the rest is thinned away.
    rare = levelled([*listed[:40], listed[40]], Judging(), 0)
    assert Counter(one.verdict for one in rare) == {True: 4, False: 4}
    assert Counter(one.verdict for one in levelled(listed, Judging(minority=0.25), 0)) == {True: 30, False: 10}
    assert levelled(listed, Judging(minority=0.2), 0) == levelled(listed, Judging(minority=0.0), 0) == listed


def test_the_commoner_answer_is_thinned_by_age_and_the_rarer_is_kept_however_old() -> None:
    listed = [case(n, verdict=True, days=0.0 if n % 2 else 90.0) for n in range(2000)]
    kept = thinned(listed, 300, 90.0, 0)
    new = sum(one.at == MOMENT for one in kept)
    assert 0.6 < new / len(kept) < 0.73  # two of three
    assert thinned(listed, 300, 90.0, 0) == kept != thinned(listed, 300, 90.0, 1)
    assert thinned(listed, 2000, 90.0, 0) == listed
    ancient = [*listed[:40], *(case(5000 + n, verdict=False, days=10_000) for n in range(10))]
    assert sum(not one.verdict for one in levelled(ancient, Judging(), 0)) == 20


def test_the_split_is_by_user_and_a_question_of_a_held_out_one_is_not_learnt() -> None:
    listed = [
        *(case(n, verdict=n % 2 == 0, key=LEARNERS[n]) for n in range(12)),
        *(case(n, verdict=n % 2 == 0, key=HELD[n]) for n in range(2)),  # the same words as of the first two
    ]
    data = build(listed, RULES)
    assert {row.source["target"] for row in data.train} == set(range(2, 12))
    assert {row.source["target"] for row in data.held_out} == {0, 1}
    assert data.counts["shared_with_held_out"] == 2
    kept = build(listed, Tuning(shared="keep"))
    assert ({row.source["target"] for row in kept.train}, kept.held_out) == (set(range(12)), ())
    assert data.hash == build(list(reversed(listed)), RULES).hash != kept.hash


def test_a_criterion_with_one_answer_alone_is_left_out_and_says_why() -> None:
    listed = [*(case(n, verdict=True) for n in range(9)), *(case(50 + n, verdict=False) for n in range(2))]
    with pytest.raises(DataError, match=r"tags\.valid: 9 yes and 2 no"):
        build(listed, RULES)
    other = load_criteria("tags", ["relevant"])[0]
    more = [replace(case(70 + n, verdict=n % 2 == 0), criterion=other) for n in range(8)]
    data = build([*listed, *more], RULES)
    assert data.counts["criteria_left_out"] == {"tags.valid": "9 yes and 2 no: 3 of either are needed"}
    assert data.counts["by_criterion"] == {"tags.relevant": {"yes": 4, "no": 4, "rows_yes": 4, "rows_no": 4}}
    assert data.counts["rows"] == 8


def test_only_the_answer_is_learnt_and_it_is_learnt(tiny_llama: Path, tmp_path: Path) -> None:
    """A tiny model learns to answer the word that the question ends with; nothing is learnt of the question."""
    rows = [
        Row(({"role": "user", "content": f"{number} {word}"},), {"n": number}, json.dumps({"verdict": word}))
        for number, word in enumerate(("yes", "no") * 12)
    ]
    rules = Tuning(
        lora=Lora(rank=8, alpha=32, dropout=0.0),
        judge=Judging(epochs=4, learning_rate=2e-2, batch_size=4, checkpoint_steps=100),
        max_tokens=256,
    )
    data = Dataset(tuple(rows[:20]), tuple(rows[20:]))
    stored = train("judge", Task.TAGS, data, Source(SOURCE, tiny_llama), rules, tmp_path / "run")
    loss = stored.facts["figures"]["held_out"]["loss"]
    assert loss["after"] < 0.3 < loss["before"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["adapter", "data"]
    assert stored.facts["data"] == data.hash
    again = train("judge", Task.TAGS, data, Source(SOURCE, tiny_llama), rules, tmp_path / "run")
    assert again == stored  # it is there already
    with pytest.raises(DataError, match="name another folder"):
        train("judge", Task.TAGS, Dataset(tuple(rows[:10]), ()), Source(SOURCE, tiny_llama), rules, tmp_path / "run")


def test_labels_of_rows_that_are_gone_are_passed_over(store: Engine) -> None:
    Judged(store).tags(LEARNERS[0], "q", {"warm socks": None, "light tent": None})
    for target in (1, 2):
        say(store, target, "valid", True)
    with Session(store) as session:
        session.delete(session.scalars(select(Tag).where(Tag.id == 1)).one())
        session.commit()
    assert [one.claim for one in found(store)] == ["light tent"]
