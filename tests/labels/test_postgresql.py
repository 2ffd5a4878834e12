"""Labels from the first to the passport with PostgreSQL as the store: what SQLite forgives shows here."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from judges import Criterion
from recgpt.audit import passport
from recgpt.audit.report import ALL
from recgpt.labelling.keeping import Keeper
from recgpt.labels import pairs, panel, thresholds
from recgpt.labels.queue import queue
from recgpt.labels.targets import load_targets
from recgpt.labels.transfer import export, read_file
from recgpt.store.tables import Label, Passport, Preference
from recgpt.words import Task

JUDGES = {"m@r": ["valid"], "other@r": ["valid"]}


@pytest.fixture
def there(shelf: Any, postgres: str, tmp_path: Path) -> Any:
    return type(shelf)(tmp_path / "there", postgres)


def test_labels_thresholds_panels_passports_and_files(
    there: Any, logs: Any, tags: dict[str, Criterion], tmp_path: Path
) -> None:
    valid, store = tags["valid"], there.store
    interest = there.interest()
    ids = [there.tag(interest, f"warm tag {number}") for number in range(10)]
    there.label("human:eva", valid, [(number, place >= 5) for place, number in enumerate(ids)], queued="random")
    for judge, slope in (("m@r", 50), ("other@r", 40)):
        for place, number in enumerate(ids):
            there.label(judge, valid, [(number, False)], p_yes=place / slope, threshold=0.5, tokens=7)
    fitting = thresholds.fit(store, Task.TAGS, "m@r")
    assert (fitting.fitted["valid"].value, fitting.changed) == (pytest.approx(0.09), 5)
    assert panel.sit(store, Task.TAGS, JUDGES, {"valid": valid.version}, "mean", ids) == 10
    kept = passport.audit(store, Task.TAGS, "m@r")
    # One of the upper rows is below a threshold that was fitted without it.
    assert (kept.kappa, kept.specificity, kept.n) == (pytest.approx(0.8), pytest.approx(0.8), 10)
    assert passport.audit(store, Task.TAGS, "m@r").id == kept.id
    assert passport.report_of(kept).groups[ALL].figures["tokens"].value == 7
    assert passport.trusted(store, "m@r", Task.TAGS, there.config.judge) is None
    with Session(store) as session:
        assert session.scalars(select(Passport.created_at)).one().utcoffset() == timedelta(0)

    # A person is asked first what the two judges disagree on, which now are the upper five.
    asked = list(queue(store, logs, there.config, Task.TAGS, "tom", {"valid": valid}, random_share=0.0))
    assert {one.target.id for one in asked[:5]} == set(ids[5:])
    assert [one.why for one in asked].count("disagreement") == 5
    (target,) = load_targets(store, logs, there.config, Task.TAGS, ids[:1])
    keeper = Keeper(store, "human:tom")
    keeper.skip(target, valid)
    first = keeper.keep(target, valid, True, "a note", "disagreement")
    keeper.take_back(first)
    keeper.keep(target, valid, False, "", "disagreement")
    assert [row.verdict for row in there.labels(Label.judge == "human:tom", ~Label.superseded)] == [False]

    night: Any = SimpleNamespace(store=store, config=there.config, logs=logs)
    assert len(pairs.draw(night, Task.TAGS, 2, seed=0)) == 2
    file = tmp_path / "labels.csv"
    count = export(store, [Task.TAGS], file)
    assert count == 10 + 10 + 10 + 10 + 1
    found = read_file(store, logs, there.config, file)
    assert (found.added, found.known, found.bad) == (30, 11, [])  # models' and panels' come in as import:NAME


def test_a_pair_is_stored_as_it_was_judged(there: Any, tags: dict[str, Criterion]) -> None:
    there.put(
        Preference(
            task=Task.TAGS, criterion="valid", input_hash="sha256:0", left="ünï", right="x" * 5_000, judge="m@r",
            first="left", second="tie", winner=None, prompt_version=tags["valid"].version,
        )
    )  # fmt: skip
    with Session(there.store) as session:
        row = session.scalars(select(Preference)).one()
        assert (row.left, len(row.right), row.winner, row.created_at.utcoffset()) == ("ünï", 5_000, None, timedelta(0))
