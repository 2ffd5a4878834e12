"""Recommendations on a small shop: into SQL and Parquet, with filters; export; the weight of the two scores."""

import json
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sqlalchemy import update
from sqlalchemy.orm import Session

from recgpt.errors import CheckpointError, ConfigError, DataError
from recgpt.sources.prepare import prepare
from recgpt.stages import exporting, fusion, score
from recgpt.stages.night import Night
from recgpt.stages.scorer import Scorer
from recgpt.stages.towers import load_newest
from recgpt.store.tables import Recommendation, Tag
from recgpt.words import Stage, Training
from towers.export import load_export, read_manifest

COLUMNS = ["user_id", "item_id", "rank", "score", "user_score", "tag_score", "tag_id", "interest_id"]


@pytest.fixture
def scored(project: Any) -> Any:
    """A project whose users have tags and whose towers are trained."""
    project.run(Stage.INTERESTS, Stage.TAGS, Stage.TOWERS)
    return project


def night(project: Any, day: date | None = None) -> Night:
    return Night(project.config, project.store, prepare(project.config), day or project.night)


def change_items(project: Any, **columns: Any) -> None:
    path = project.folder / "data" / "items.parquet"
    table = pq.read_table(path)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values(table)))
    pq.write_table(table, path)


def test_parquet_holds_the_rows_of_the_database(scored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "BLOCK", 5)  # a row group a block of users
    out = scored.folder / "lists"
    scored.run(Stage.SCORE, score_out=out)
    rows = [{name: getattr(row, name) for name in COLUMNS} for row in scored.rows(Recommendation)]
    found = pq.read_table(out / score.FILE).to_pylist()
    assert len(found) == len(rows) > 0
    assert sorted(map(str, (one["user_id"] for one in found))) == sorted(one["user_id"] for one in rows)
    expected = {(one["user_id"], one["rank"]): one for one in rows}
    for one in found:
        assert one == pytest.approx(expected[one["user_id"], one["rank"]], abs=1e-6)
    manifest = read_manifest(out)
    assert manifest["rows"] == len(rows)
    assert manifest["night"] == "2026-10-31"
    assert manifest["towers"] == scored.rows(Recommendation)[0].model_version


def test_a_run_that_fails_leaves_the_former_folder(scored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = scored.folder / "lists"
    scored.run(Stage.SCORE, score_out=out)
    before = read_manifest(out)
    monkeypatch.setattr(score, "BLOCK", 5)
    recommend, calls = Scorer.recommend, []

    def fail_at_second(self: Scorer, block: Any) -> Any:
        calls.append(block)
        if len(calls) == 2:
            raise DataError("broken")
        return recommend(self, block)

    monkeypatch.setattr(Scorer, "recommend", fail_at_second)
    with pytest.raises(DataError):
        scored.run(Stage.SCORE, score_out=out)
    assert read_manifest(out) == before
    assert not (scored.folder / "lists.new").exists()


def test_a_folder_of_something_else_is_left_alone(scored: Any) -> None:
    with pytest.raises(ConfigError, match="name another folder"):
        scored.run(Stage.SCORE, score_out=scored.folder / "data")
    assert (scored.folder / "data" / "items.parquet").is_file()


def test_what_is_out_of_stock_or_of_other_categories_is_not_recommended(scored: Any) -> None:
    items = pq.read_table(scored.folder / "data" / "items.parquet").to_pylist()
    category = {one["item_id"]: one["category"] for one in items}
    top = max(set(category.values()), key=list(category.values()).count).split(" > ", maxsplit=1)[0]
    change_items(scored, pieces=lambda table: [n % 2 for n in range(len(table))])
    scored.configure(**{"data.columns.items": {"stock": "pieces"}, "score": {"categories": [top]}})
    scored.run(Stage.SCORE)
    sold = {one["item_id"] for one in items[1::2] if one["category"].startswith(f"{top} > ")}
    rows = scored.rows(Recommendation)
    assert rows
    assert {row.item_id for row in rows} <= sold


def test_a_catalogue_that_is_sold_out_recommends_nothing(scored: Any) -> None:
    change_items(scored, stock=lambda table: [0] * len(table))
    summary = scored.run(Stage.SCORE)
    assert summary.stages[0].counts["recommendations"] == 0
    assert summary.stages[0].counts["invalid"] == 12


def test_quotas_and_diversity_hold_for_every_user(scored: Any) -> None:
    categories = {
        one["item_id"]: one["category"] for one in pq.read_table(scored.folder / "data/items.parquet").to_pylist()
    }
    scored.configure(score={"per_category": 1, "diversity": 0.3, "per_tag": 20, "top_k": 5})
    scored.run(Stage.SCORE)
    by_user: dict[str, list[str]] = {}
    for row in scored.rows(Recommendation):
        by_user.setdefault(row.user_id, []).append(categories[row.item_id])
    assert by_user
    assert all(len(names) == len(set(names)) for names in by_user.values())


def test_a_tag_that_was_retired_by_then_brings_nothing(scored: Any) -> None:
    with Session(scored.store) as session:
        session.execute(update(Tag).values(retired_night=scored.night))
        session.commit()
    scored.run(Stage.SCORE)
    assert not scored.rows(Recommendation)


def test_what_the_user_had_before_is_scored_by_that(project: Any) -> None:
    project.configure(**{"towers.network": {"repeats": True}, "score": {"leave_out": [], "top_k": 30, "per_tag": 30}})
    project.run(Stage.INTERESTS, Stage.TAGS, Stage.TOWERS)
    tonight = night(project)
    _, model = load_newest(tonight)
    scorer = Scorer(tonight, model)
    assert model.repeats is not None
    with torch.no_grad():
        model.repeats.down.bias.fill_(0.7 / model.repeats.scale)  # so that whatever was had before gets this much
        model.repeats.down.weight.zero_()
    seen = 0
    for history in tonight.histories():
        had = {tonight.logs.catalogue.ids[row] for row in history.items if row >= 0}
        for row in scorer.recommend([history]).get(history.user_id, []):
            place = tonight.logs.catalogue.row_of(row["item_id"])
            plain = float(scorer.user_vectors([history], scorer.events([history]))[0] @ scorer.items[place])
            learnt = history.items[scorer._codes[history.behaviours] >= 0]
            seen += place in learnt
            assert row["user_score"] == pytest.approx(0.7 if place in learnt else plain, abs=1e-5)
            assert row["score"] == pytest.approx(0.5 * row["user_score"] + 0.5 * row["tag_score"], abs=1e-5)
        assert had
    assert seen


def test_a_prior_moves_scores_and_says_nothing_about_likeness(project: Any) -> None:
    project.configure(**{"towers.network": {"prior": True}, "score": {"diversity": 0.5, "leave_out": []}})
    project.run(Stage.INTERESTS, Stage.TAGS, Stage.TOWERS)
    tonight = night(project)
    _, model = load_newest(tonight)
    assert model.prior is not None
    torch.nn.init.zeros_(model.prior.weight)
    scorer, histories = Scorer(tonight, model), list(tonight.histories())
    without = scorer.recommend(histories)
    for vectors in (scorer.items, scorer._allowed):
        vectors[:, -1] = 0.25  # the same for all: each user's score gains it, and no two items are any more alike
    beta = tonight.config.score.beta
    assert without
    for user, rows in scorer.recommend(histories).items():
        assert [(row["item_id"], row["rank"], row["tag_score"]) for row in rows] == [
            (row["item_id"], row["rank"], row["tag_score"]) for row in without[user]
        ]
        for row, old in zip(rows, without[user], strict=True):
            assert row["user_score"] - old["user_score"] == pytest.approx(0.25, abs=1e-5)
            assert row["score"] - old["score"] == pytest.approx(0.25 * beta, abs=1e-5)


class TestExport:
    def test_all_items_and_users_are_there_and_it_is_checked(
        self, scored: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(score, "BLOCK", 5)
        told: list[Any] = []
        out, tonight = scored.folder / "export", replace(night(scored), progress=told.append)
        exporting.run(tonight, out, index=False, onnx=False)
        assert [(one.done, one.total) for one in told] == [(5, 12), (10, 12), (12, 12)]
        assert exporting.check(tonight, out)["users"]["rows"] == 12
        found = load_export(out)
        _, model = load_newest(tonight)
        scorer = Scorer(tonight, model)
        ids, items = found.vectors("items")
        assert ids == list(tonight.logs.catalogue.ids)
        assert np.array_equal(items, scorer.items.numpy())
        ids, users = found.vectors("users")
        histories = list(tonight.histories())
        assert ids == [history.user_id for history in histories]
        assert np.allclose(users, scorer.user_vectors(histories, scorer.events(histories)).numpy(), atol=1e-6)

    def test_a_changed_file_and_newer_towers_are_refused(self, scored: Any) -> None:
        out, tonight = scored.folder / "export", night(scored)
        exporting.run(tonight, out, index=False, onnx=False)
        scored.configure(**{"towers.training": {"seed": 5}})
        scored.run(Stage.TOWERS, training=Training.ANEW)
        with pytest.raises(CheckpointError, match="recgpt towers export"):
            exporting.check(night(scored), out)
        exporting.run(night(scored), out, index=False, onnx=False)
        exporting.check(night(scored), out)
        (out / "items.parquet").write_bytes(b"other")
        with pytest.raises(CheckpointError, match=r"items\.parquet"):
            exporting.check(night(scored), out)


class TestBeta:
    def test_is_measured_on_what_users_did_after_a_night(self, project: Any) -> None:
        day = date(2026, 9, 15)
        project.run(Stage.INTERESTS, Stage.TAGS, Stage.TOWERS, day=day)
        fit = fusion.measure(night(project, day), days=45)
        assert 0 < fit.users <= 12
        assert len(fit.ndcg) == 21
        assert max(value for _, value in fit.ndcg) == dict(fit.ndcg)[fit.beta]
        json.dumps(fit.as_dict())

    def test_says_so_where_nobody_did_anything(self, scored: Any) -> None:
        with pytest.raises(DataError, match="an earlier date"):
            fusion.measure(night(scored), days=14)
