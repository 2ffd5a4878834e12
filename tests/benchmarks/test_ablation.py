"""The list of variants of the ablation, and what becomes of its results; trainings are measured, not tested."""

import ast
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from towers.config import FeatureSettings, Inputs, LossSettings, NetworkSettings, TrainingSettings
from towers.model import ThreeTowers

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
# What benchmarks/public_data.py reads of the two data sets: their inputs, items, and whether people buy things again.
BEAUTY = Inputs(("review",)), 12_101, False
JOURNEY = Inputs(("purchase", "coupon"), user_fields=("age", "income"), item_numbers=("price",)), 92_348, True


@pytest.fixture(autouse=True)
def _benchmarks() -> Iterator[None]:
    """Benchmarks import each other by name, as scripts do; not longer than a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield


@pytest.fixture
def listed() -> ModuleType:
    import ablation_variants

    return ablation_variants


@pytest.fixture
def records() -> ModuleType:
    import ablation_records

    return ablation_records


def made(listed: ModuleType, inputs: Inputs, items: int, repeats: bool) -> dict[str, Any]:
    """The settings of each variant that data have, by its key."""
    kept = [one for one in listed.VARIANTS if listed.possible(one, inputs, items, repeats=repeats)]
    return {one.key: listed.config_of(one, inputs, repeats=repeats) for one in kept}


def test_the_base_states_every_setting(listed: ModuleType) -> None:
    calls = [node for node in ast.walk(ast.parse(Path(listed.__file__).read_text())) if isinstance(node, ast.Call)]
    for kind in (FeatureSettings, NetworkSettings, LossSettings, TrainingSettings):
        (call,) = (one for one in calls if isinstance(one.func, ast.Name) and one.func.id == kind.__name__)
        assert {one.arg for one in call.keywords} == {one.name for one in fields(kind)}


@pytest.mark.parametrize("data", [BEAUTY, JOURNEY], ids=["beauty", "journey"])
def test_each_variant_is_another_network_that_can_be_made(listed: ModuleType, data: tuple[Inputs, int, bool]) -> None:
    configs = made(listed, *data)
    assert len(set(configs.values())) == len(configs)
    for config in configs.values():
        ThreeTowers(config.but(features={"table_rows": 64, "text_rows": 64}))


def test_names_are_unique_and_the_base_is_first(listed: ModuleType) -> None:
    keys = [one.key for one in listed.VARIANTS]
    assert len(set(keys)) == len(keys)
    assert listed.VARIANTS[0] == listed.BASE


def test_data_are_spared_what_they_do_not_have(listed: ModuleType) -> None:
    beauty, journey = made(listed, *BEAUTY), made(listed, *JOURNEY)
    assert set(journey) - set(beauty) == {
        *(f"features/price, {kind}" for kind in ("log", "sigmoids", "distribution", "periodic", "quantiles")),
        *("features/price, piecewise", "features/base features of users", "heads/repeats", "shipped/default, repeats"),
        *("heads/two tasks, shared bottom", "heads/two tasks, MoE", "heads/two tasks, MMoE"),
        "heads/chain of two tasks",
    }
    assert set(beauty) - set(journey) == {"losses/full softmax"}


def test_a_variant_is_its_base_with_the_changes(listed: ModuleType) -> None:
    inputs, _, _ = BEAUTY
    base = listed.config_of(listed.BASE, inputs, repeats=False)
    assert base.network == listed.NETWORK
    mean = listed.config_of(listed.Variant("", "", {"features": {"pools": ("mean",)}}), inputs, repeats=False)
    assert mean == base.but(features={"pools": ("mean",)})
    shipped = listed.config_of(listed.DEFAULT, inputs, repeats=True)
    assert shipped.network == NetworkSettings()
    assert shipped.training == TrainingSettings(seed=listed.TRAINING.seed, repeats=True)
    teacher = {one.name: listed.teacher_of(one, inputs, repeats=False) for one in listed.VARIANTS if one.teacher}
    assert teacher["distilled from a wider teacher"] == base.but(network={"dim": 128, "hidden": 256})
    assert listed.teacher_of(listed.BASE, inputs, repeats=False) is None


def test_groups_and_variants_are_chosen_by_name_beside_the_base(listed: ModuleType) -> None:
    assert [one.key for one in listed.chosen(["heads/MoE", "base/another seed"])] == [
        "base/base",
        "base/another seed",
        "heads/MoE",
    ]
    assert {one.group for one in listed.chosen(["history"])} == {"base", "history"}
    assert listed.chosen([]) == listed.VARIANTS
    assert listed.BASE in listed.chosen(listed.QUICK)
    with pytest.raises(ValueError, match=r"called heads/Moe$"):
        listed.chosen(["heads/MoE", "heads/Moe"])


def test_the_hash_knows_all_that_decides_a_result(listed: ModuleType, records: ModuleType) -> None:
    config = listed.config_of(listed.BASE, JOURNEY[0], repeats=True)
    other = config.but(training={"seed": 7})
    parts = ("journey", {"events": 3}, config, None)
    marks = [
        records.settings_hash(*parts),
        records.settings_hash("beauty", *parts[1:]),
        records.settings_hash("journey", {"events": 4}, config, None),
        records.settings_hash("journey", {"events": 3}, other, None),
        records.settings_hash("journey", {"events": 3}, config, other),
    ]
    assert len(set(marks)) == 5
    assert records.settings_hash(*parts) == marks[0]


def record(key: str, values: list[float], data: str = "beauty", base: str = "b", **more: Any) -> dict[str, Any]:
    mark = "b" if key == "base/base" and base == "b" else key + base
    made = {"data": data, "key": key, "hash": mark, "base": base, "sizes": {}, "seconds": 61.4}
    return made | {"validation": {"all": values}} | more


BASE_RECORD = record("base/base", [0.0, 0.5, 0.0, 0.1], test={"all": [0.2, 0.2, 0.2, 0.2]})


def test_results_are_kept_as_lines_and_half_a_line_is_passed_over(records: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "results" / "ablation.jsonl"
    assert records.finished(out) == []
    records.keep(out, BASE_RECORD)
    with out.open("a") as file:
        file.write(json.dumps(BASE_RECORD)[:40])
    mean = record("history/mean", [0.1, 0.5, 0.0, 0.1])
    records.keep(out, mean)
    assert records.finished(out) == [BASE_RECORD, mean]


def test_the_last_result_of_a_variant_counts_and_only_beside_its_own_base(records: ModuleType) -> None:
    old, new = record("history/mean", [0.0] * 4), record("history/mean", [0.3] * 4)
    stale = record("losses/gBCE", [0.0] * 4, base="an older base")
    found = records.by_data([BASE_RECORD, old, stale, new])
    assert found == {"beauty": {"base/base": BASE_RECORD, "history/mean": new}}
    with pytest.raises(ValueError, match=r"no base was measured on beauty"):
        records.by_data([old])


def test_the_table_has_a_row_for_each_variant_and_columns_for_each_data_set(records: ModuleType) -> None:
    up = record("history/mean", [0.1, 0.6, 0.1, 0.2], seconds=70.6)
    other = record("base/base", [0.25, 0.25, 0.25, 0.25], data="journey")
    same = record("history/aged", [0.2, 0.3, 0.2, 0.3], data="journey")
    shipped = record("shipped/default", [0.0, 0.0, 0.0, 0.0], test={"all": [0.3, 0.3, 0.3, 0.3]})
    assert records.markdown([up, BASE_RECORD, other, same, shipped]).splitlines() == [
        "| | beauty, all | seconds | journey, all | seconds |",
        "|---|---|---|---|---|",
        "| base: base | .1500 | 61 | .2500 | 61 |",
        "| shipped: default | -.1500 (-.3750 to +.0000) | 61 | - | - |",
        "| history: mean | **+.1000 (+.1000 to +.1000)** | 71 | - | - |",
        "| history: aged | - | - | +.0000 (-.0500 to +.0500) | 61 |",
        "",
        "On the test:",
        "",
        "- beauty, all, base/base: .2000",
        "- beauty, all, shipped/default: .3000, **+.1000 (+.1000 to +.1000)** from the base",
    ]


def test_the_figures_are_the_base_and_the_test_where_the_default_has_a_goal(records: ModuleType) -> None:
    up = record("history/mean", [0.1, 0.6, 0.1, 0.2])
    shipped = record("shipped/default", [0.0, 0.0, 0.0, 0.0], test={"all": [0.1, 0.1, 0.1, 0.1]})
    found = {one.name: one for one in records.figures_of([BASE_RECORD, up, shipped])}
    assert {name: round(one.value or 0, 6) for name, one in found.items()} == {
        "beauty all base": 0.15,
        "beauty all shipped/default - base, test, low end": -0.1,
    }
    assert [one.name for one in found.values() if not one.ok] == ["beauty all shipped/default - base, test, low end"]
    rows = records.rows([BASE_RECORD, up])
    assert rows["beauty"]["history/mean"] == {"seconds": 61.4, "all": pytest.approx([0.1, 0.1, 0.1])}
