"""A tuned judge is not measured on the users that it learnt from."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from judged import MOMENT, Judged
from learners import divided
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from recgpt.audit.passport import audit
from recgpt.config import Config
from recgpt.errors import ConfigError
from recgpt.labels import thresholds
from recgpt.labels.learnt import learnt
from recgpt.store.session import open_store
from recgpt.store.tables import ModelVersion
from recgpt.tuning.settings import Tuning
from recgpt.words import Task

VERSION = "sha256:" + "a" * 64
TUNED = f"judge-tags-aaaaaaaaaaaa@{VERSION}"
RULES = Tuning(seed=3, held_out=0.4)
LEARNERS, HELD = divided([f"u{number}" for number in range(40)], RULES)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    """A tuned judge, and a model that was not tuned, which both say of every row what people say."""
    engine = open_store(Config(folder=tmp_path))
    with Session(engine) as session:
        split = {"seed": RULES.seed, "held_out": RULES.held_out}
        session.add(
            ModelVersion(version=VERSION, kind="adapter", path="", trained_until=MOMENT,
                         result={"kind": "judge", "task": "judge.tags", "split": split})
        )  # fmt: skip
        session.commit()
    ann, tuned, other = Judged(engine), Judged(engine, TUNED, "model"), Judged(engine, "m@r", "model")
    for number, user in enumerate([*LEARNERS, *HELD], 1):
        grade = 0.9 if number % 2 else 0.2
        ann.tags(user, user, {f"tag {number}": grade})
        with Session(engine) as session:
            for judged in (tuned, other):
                judged._label(session, Task.TAGS, number, grade)
            session.commit()
    yield engine
    engine.dispose()


def test_the_rows_of_users_that_were_not_held_out_are_known(store: Engine) -> None:
    assert learnt(store, Task.TAGS, TUNED) == set(range(1, len(LEARNERS) + 1))
    assert learnt(store, Task.TAGS, TUNED + "#said") == learnt(store, Task.TAGS, TUNED)
    assert learnt(store, Task.TAGS, "m@r") == learnt(store, Task.TAGS, "human:ann") == frozenset()
    assert learnt(store, Task.EXPLANATIONS, TUNED) == frozenset()


def test_neither_its_passport_nor_its_thresholds_are_made_of_them(store: Engine) -> None:
    pytest.importorskip("sklearn", reason="needs the extra 'audit'")
    assert audit(store, Task.TAGS, TUNED, rounds=50).n == 2 * len(HELD)
    assert audit(store, Task.TAGS, "m@r", rounds=50).n == 2 * (len(HELD) + len(LEARNERS))
    fitted = {judge: thresholds.fit(store, Task.TAGS, judge).fitted for judge in (TUNED, "m@r")}
    assert {one.cases for name, one in fitted[TUNED].items() if name != "reviewer"} == {len(HELD)}
    assert fitted["m@r"]["valid"].cases == len(HELD) + len(LEARNERS)


def test_one_that_judged_nobody_else_says_so(tmp_path: Path) -> None:
    engine = open_store(Config(folder=tmp_path / "other"))
    with Session(engine) as session:
        split = {"seed": RULES.seed, "held_out": RULES.held_out}
        session.add(
            ModelVersion(version=VERSION, kind="adapter", path="", trained_until=MOMENT,
                         result={"kind": "judge", "task": "judge.tags", "split": split})
        )  # fmt: skip
        session.commit()
    Judged(engine).tags(LEARNERS[0], "q", {"tag": 0.9})
    with Session(engine) as session:
        Judged(engine, TUNED, "model")._label(session, Task.TAGS, 1, 0.9)
        session.commit()
    with pytest.raises(ConfigError, match="no labels on tags of held-out users"):
        audit(engine, Task.TAGS, TUNED, rounds=10)
    engine.dispose()
