from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from recgpt.errors import CheckpointError
from recgpt.sources import logs
from recgpt.sources.prepare import prepare
from recgpt.stages import towers
from recgpt.stages.night import Night
from recgpt.store.tables import ModelVersion
from recgpt.words import Stage, Training
from towers.checkpoint import load

RICH = {
    "data": {"base_features": ["age", "city"]},
    "towers": {"tags_from": ["words", "titles", "searches"]},
    "towers.features": {
        "base": True, "brand": True, "numbers": True, "popularity": True, "category_levels": 3, "semantic_levels": 2,
        "semantic_codes": 8,
    },
}  # fmt: skip


def night_of(project: Any) -> Night:
    return Night(project.config, project.store, prepare(project.config), project.night)


def test_what_the_settings_ask_for_is_read_from_the_logs(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    project.configure(**RICH)
    night = night_of(project)
    monkeypatch.setattr(logs, "EVENT_GROUP", 7)  # a user's events come in several parts
    config = towers.towers_config(night)
    assert (config.inputs.user_fields, config.inputs.item_numbers) == (("age", "city"), ("price",))
    data = towers.training_data(night, config)
    people = dict(night.logs.people())
    assert data.user_fields["city"] == [people[user].get("city", "") for user in data.user_ids]
    assert any(data.user_fields["city"])
    assert np.array_equal(data.item_numbers[:, 0], night.logs.catalogue.prices, equal_nan=True)
    counts = towers.items_of(night, config).counts
    pairs = {(user, item) for user, item in zip(data.users.tolist(), data.items.tolist(), strict=True)}
    assert counts.sum(axis=0).tolist() == [len(data.items), len(pairs)]
    assert any(len({item for whose, item in pairs if whose == user}) > 7 for user in set(data.users.tolist()))
    takers = np.bincount([item for _, item in pairs], minlength=len(counts))
    assert counts.tolist() == np.stack([np.bincount(data.items, minlength=len(counts)), takers], axis=1).tolist()
    texts = set(data.tag_texts)
    bought = data.items[data.behaviours == config.inputs.behaviours.index("purchase")]
    assert data.titles[bought[0]] in texts
    queries = {query for one in night.histories() for query in one.queries if query}
    assert queries & texts


def test_towers_that_read_everything_are_trained_and_score(project: Any) -> None:
    project.configure(**RICH)
    project.run(Stage.INTERESTS, Stage.TAGS, Stage.TOWERS, Stage.SCORE)
    version, model = towers.load_newest(night_of(project))
    assert model.codes is not None
    assert version.startswith("sha256:")


def test_larger_towers_teach(project: Any) -> None:
    quick = {"max_epochs": 2}
    project.configure(**{"towers.network": {"dim": 32}, "towers.training": quick})
    project.run(Stage.TOWERS)
    (larger,) = project.rows(ModelVersion)
    taught = {"towers": {"teacher": larger.path}, "towers.loss": {"distillation": 0.5}, "towers.training": quick}
    project.configure(**taught, **{"towers.network": {"dim": 8}})
    project.run(Stage.TOWERS, training=Training.ANEW)
    smaller = load(project.config.path(max(project.rows(ModelVersion), key=lambda row: row.created_at).path))
    assert (smaller.config.network.dim, smaller.config.loss.distillation) == (8, 0.5)
    project.configure(**taught, **{"data": {"base_features": ["age"]}, "towers.features": {"base": True}})
    with pytest.raises(CheckpointError, match="other inputs"):
        project.run(Stage.TOWERS, training=Training.ANEW)
    project.configure(**{"towers": {"teacher": "nowhere"}})
    with pytest.raises(CheckpointError, match=r"towers\.teacher"):
        project.run(Stage.TOWERS, training=Training.ANEW)


def test_training_goes_on_with_the_days_since(project: Any) -> None:
    with pytest.raises(CheckpointError, match="go on from"):
        project.run(Stage.TOWERS, training=Training.CONTINUE)
    early = project.night - timedelta(days=60)
    project.run(Stage.TOWERS, day=early)
    summary = project.run(Stage.TOWERS, training=Training.CONTINUE)
    first, second = sorted(project.rows(ModelVersion), key=lambda row: row.trained_until)
    assert second.parent == first.version
    assert summary.stages[0].counts["train_events"] < first.result["train_events"]
    assert load(project.config.path(second.path)).config == load(project.config.path(first.path)).config
    assert not list((project.config.work_folder / "training").glob("*"))
