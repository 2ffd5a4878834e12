from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import prompts
from recgpt.config import Config
from recgpt.errors import DataError
from recgpt.serving import PROMPTS, serving
from recgpt.store.session import open_store
from recgpt.store.tables import ModelVersion, Promotion, PromptVersion, now
from recgpt.tuning.promote import find, promote, rollback
from recgpt.words import Task

FIRST, SECOND = "sha256:" + "a1" * 32, "sha256:" + "a1" + "b2" * 31


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(folder=tmp_path)


@pytest.fixture
def store(config: Config) -> Iterator[Engine]:
    engine = open_store(config)
    yield engine
    engine.dispose()


def gate(promoted: bool = True, against: str | None = None) -> dict[str, Any]:
    return {"gate": {"promoted": promoted, "why": "all rises" if promoted else "no rise", "against": against}}


def tuned(store: Engine, text: str = "Other words. ", result: dict[str, Any] | None = None) -> str:
    """A prompt that tuning wrote."""
    packaged = prompts.load("interest_name")
    changed = prompts.parse("interest_name", packaged.text.replace("## system\n", f"## system\n{text}\n", 1))
    with Session(store) as session:
        session.add(
            PromptVersion(
                version=changed.version, task="interest_name", text=changed.text, parent=packaged.version, result=result
            )
        )
        session.commit()
    return changed.version


def adapter(store: Engine, version: str, result: dict[str, Any]) -> None:
    with Session(store) as session:
        session.add(
            ModelVersion(
                version=version, kind="adapter", name=f"recgpt-{version[7:15]}", path="work/adapters/x", parent=None,
                result={"task": "tags", **result}, trained_until=now(),
            )
        )  # fmt: skip
        session.commit()


def test_a_promoted_prompt_serves_and_a_rollback_puts_the_packaged_one_back(store: Engine, config: Config) -> None:
    packaged = prompts.load("interest_name")
    assert serving(store, config).prompt("interest_name") is packaged
    version = tuned(store, result=gate())
    assert serving(store, config).prompt("interest_name") is packaged  # made, and not promoted
    row = promote(store, version[7:15])
    assert (row.previous, row.forced, row.reason) == (None, False, "all rises")
    assert serving(store, config).prompt("interest_name").version == version
    assert serving(store, config).prompt("interest_tags") is prompts.load("interest_tags")
    back = rollback(store, "interest_name")
    assert (back.version, back.previous) == (None, version)
    assert serving(store, config).prompt("interest_name") is packaged
    assert rollback(store, "interest_name").version == version  # and forth
    assert serving(store, config).prompt("interest_name").version == version


def test_what_no_gate_passed_is_not_promoted_unless_forced(store: Engine) -> None:
    for text, result, why in (
        ("One. ", None, "no gate has seen it"),
        ("Two. ", gate(promoted=False), r"did not pass it \(no rise\)"),
        ("Three. ", gate(against=FIRST), "serves no more"),
    ):
        version = tuned(store, text, result)
        with pytest.raises(DataError, match=why):
            promote(store, version)
    row = promote(store, version, force=True)
    assert row.forced
    assert row.reason.startswith("forced: it was measured against")
    with pytest.raises(DataError, match="serves interest_name already"):
        promote(store, version, force=True)


def test_force_is_only_noted_where_it_was_needed(store: Engine) -> None:
    assert not promote(store, tuned(store, result=gate()), force=True).forced


def test_an_adapter_answers_the_prompts_of_its_task(store: Engine, config: Config) -> None:
    adapter(store, FIRST, gate())
    promote(store, FIRST)
    found = serving(store, config)
    for name in ("interest_tags", "tags_expert"):
        served = found.adapter(name)
        assert served is not None
        assert (served.version, served.folder) == (FIRST, config.path("work/adapters/x"))
    assert found.adapter("interest_name") is None
    assert found.adapter("tags") is None  # that is the judge of tags
    judging = found.with_adapter("judge.tags", served)
    assert judging.adapter("tags") is served
    assert judging.with_adapter("judge.tags", None).adapter("tags") is None


def test_a_version_is_named_by_the_beginning_of_its_hash(store: Engine) -> None:
    adapter(store, FIRST, {})
    adapter(store, SECOND, {})
    assert find(store, FIRST[:20]).version == FIRST
    assert find(store, "a1b2b2").version == SECOND
    with pytest.raises(DataError, match="too short"):
        find(store, "a1b2b")
    with pytest.raises(DataError, match="tune list"):
        find(store, "c3c3c3")
    with pytest.raises(DataError, match="tune list"):
        find(store, "%%%%%%")


def test_every_tasks_prompts_are_there() -> None:
    named = {name for names in PROMPTS.values() for name in names}
    assert named | {"reflection"} == {file.stem for file in Path(prompts.__file__).parent.glob("*.md")}
    assert set(PROMPTS) == set(Task)


def test_nothing_to_roll_back(store: Engine) -> None:
    with pytest.raises(DataError, match="as packaged"):
        rollback(store, "interest_name")
    promote(store, tuned(store, result=gate()))
    with pytest.raises(DataError, match="there is interest_name"):
        rollback(store, "tags")


def test_a_promoted_version_that_is_gone_stops_the_run(store: Engine, config: Config) -> None:
    with Session(store) as session:
        session.add(Promotion(task="interest_name", kind="prompt", version=FIRST))
        session.commit()
    with pytest.raises(DataError, match="recgpt rollback"):
        serving(store, config)
