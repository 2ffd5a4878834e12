"""Gold rows: the right answers that they come with, and that a test has nothing of what was learnt."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from judges import load_criteria
from recgpt.labels.store import labels
from recgpt.labels.targets import Target, load_targets
from recgpt.sources.shop import CATEGORIES
from recgpt.tuning import judge_model
from recgpt.words import Task

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
EACH = 8
DAYS = re.compile(r"\d{4}-\d\d-\d\d")


@pytest.fixture(scope="module")
def gold() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import gold

        yield gold


@pytest.fixture(scope="module")
def shop(gold: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    seen, _ = gold.categories(1)
    return gold.shop(tmp_path_factory.mktemp("gold"), seed=1, users=80, leaves=seen, half=0, each=EACH)


def shown(shop: Any, task: Task) -> dict[int, Target]:
    ids = {one.target_id for one in shop.answers if one.task == task}
    return {one.id: one for one in load_targets(shop.store, shop.logs, shop.config, task, ids)}


def test_every_criterion_has_its_right_and_its_wrong_rows(shop: Any) -> None:
    counts = Counter((one.task, one.criterion, one.verdict) for one in shop.answers)
    for task in Task:
        for criterion in load_criteria(task):
            assert counts[task, criterion.name, False] == EACH
            assert 0 < counts[task, criterion.name, True] <= EACH
    wrong = [(one.task, one.target_id) for one in shop.answers if not one.verdict]
    assert len(set(wrong)) == len(wrong)  # one defect a row
    assert not set(wrong) & {(one.task, one.target_id) for one in shop.answers if one.verdict}


def test_the_answers_are_a_persons_labels(shop: Any, gold: ModuleType) -> None:
    for task in Task:
        held = {(row.target_id, row.criterion): row.verdict for row in labels(shop.store, task, judges=[gold.LABELLER])}
        assert held == {(one.target_id, one.criterion): one.verdict for one in shop.answers if one.task == task}


def test_rows_are_what_their_answers_say(shop: Any, gold: ModuleType) -> None:
    interests, tags, lines = (shown(shop, task) for task in Task)
    of = {(one.task, one.criterion, one.verdict): one.target_id for one in shop.answers}
    right = interests[of[Task.INTERESTS, "grounded", True]]
    leaf = right.given.removeprefix("- ").partition(":")[0]
    names = {name.lower(): [name.lower(), words[0]] for name, words in gold.said.CATEGORIES.items()}
    assert right.claim in names[leaf]
    stolen = interests[of[Task.INTERESTS, "grounded", False]]
    assert stolen.claim not in names[stolen.given.removeprefix("- ").partition(":")[0]]
    # A necessity is over within days; an interest came back.
    begin, end = (
        date.fromisoformat(day) for day in DAYS.findall(interests[of[Task.INTERESTS, "willing", False]].course)
    )
    assert end - begin <= gold.NECESSITY
    assert len(DAYS.findall(right.course)) == 2
    assert tags[of[Task.TAGS, "timely", False]].season
    assert "{}" not in "".join(one.claim for one in (*interests.values(), *tags.values(), *lines.values()))
    assert Counter(lines[of[Task.EXPLANATIONS, "relevant", True]].claim)["."] == 1


def test_what_is_tested_on_was_not_learnt(gold: ModuleType) -> None:
    seen, unseen = gold.categories(1)
    assert not set(seen) & set(unseen)
    assert {*seen, *unseen} == {one.path.split(" > ")[-1] for one in CATEGORIES}
    assert gold.categories(2)[1] != unseen
    halves = [gold.said.VAGUE_NAMES, gold.said.REACHES, gold.said.VAGUE_TAGS, gold.said.ABSURD, gold.said.INVENTED,
              gold.said.EMPTY, gold.said.SLOGANS, gold.said.HURTFUL]  # fmt: skip
    for learnt, kept in halves:
        assert not set(learnt) & set(kept)
    for learnt, kept in (gold.said.SEASONED, gold.said.OCCASIONS):
        assert set(learnt) == set(kept) == set(gold.SEASONS)
        assert not {one for said in learnt.values() for one in said} & {one for said in kept.values() for one in said}


def test_what_fits_a_judges_thresholds_does_not_tune_it(shop: Any, gold: ModuleType) -> None:
    import judge_truth

    config = shop.config.model_copy(update={"tuning": judge_truth.RULES})
    for task in Task:
        found, refused = judge_model.cases(shop.store, shop.logs, config, task)
        assert (len(found), refused) == (sum(one.task == task for one in shop.answers), [])
        data = judge_model.build(found, judge_truth.RULES)
        tuned = {(row.source["target"], row.source["criterion"]) for row in data.train}
        fitting = {(one.target_id, one.criterion) for one in judge_truth.calibrating(shop, task)}
        assert tuned
        assert fitting
        assert not tuned & fitting
