"""Rewards that are products of gates, and a model that learns from them."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from scripted import instead
from tiny_llama import SOURCE, tiny_base, tiny_llama
from versions import by_category
from written import Table

from judges import Verdict
from recgpt.engine.open import open_engine
from recgpt.errors import ConfigError
from recgpt.labels.targets import Target
from recgpt.sources.prepare import prepare
from recgpt.stages.night import Night, Progress
from recgpt.store.tables import Tag
from recgpt.tuning import adapter, grpo
from recgpt.tuning.base import Source, load
from recgpt.tuning.dataset import Dataset, Row
from recgpt.tuning.lora import Plan, last_checkpoint
from recgpt.tuning.rewards import Rewards, puzzles
from recgpt.tuning.settings import Grpo, Lora, Tuning
from recgpt.tuning.split import held_out, key_of
from recgpt.tuning.trial import inputs
from recgpt.words import Stage, Task

__all__ = ["tiny_base", "tiny_llama"]


def judged(targets: Sequence[Target]) -> list[Mapping[str, Verdict]]:
    """Says of a tag what its first word says."""
    verdicts: dict[str, dict[str, Verdict]] = {
        "good": {"valid": Verdict(True, 0.9, 0.5), "relevant": Verdict(True, 0.7, 0.5)},
        "meh": {"valid": Verdict(True, 0.9, 0.5), "relevant": Verdict(False, 0.4, 0.5)},
        "half": {"valid": Verdict(True, 0.9, 0.5)},
        "Keeps": {"valid": Verdict(True, 0.9, 0.5), "relevant": Verdict(True, 0.7, 0.5)},
    }
    return [verdicts[one.claim.split()[0]] for one in targets]


@contextmanager
def opened(project: Any, task: Task) -> Iterator[Rewards]:
    """The questions of a task about learners."""
    night = Night(project.config, project.store, prepare(project.config), project.night)
    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        model = runner.run(
            stack.enter_async_context(open_engine(night.config, night.store, served=night.serving, contact=False))
        )
        with puzzles(night, inputs(night, task, 100, held=False), model) as (tried, found):
            yield Rewards(tried, task, ["relevant", "valid"], judged, found)
        runner.run(stack.aclose())


@pytest.fixture
def rewards(project: Any) -> Iterator[Rewards]:
    """The questions for tags of a night's interests."""
    project.configure(
        tuning={"held_out": 0.3},
        tags={"retrievable": 0.0, "duplicate": 1.0, "same_as_done": 1.0, "per_interest": 4},
        interests={"min_items": 2, "min_days": 2, "min_span_days": 7},
    )
    project.server.answer = instead(by_category)
    project.run(Stage.INTERESTS)
    with opened(project, Task.TAGS) as found:
        yield found


def worth(rewards: Rewards, *tags: str) -> float:
    [reward] = rewards([next(iter(rewards.puzzles))], [json.dumps({"tags": tags})])
    return round(reward, 6)


FOUR = ("good kite bags", "good rope bags", "good iron pegs", "good bell hats")


def test_an_answer_is_worth_the_judges_confidence_behind_open_gates_alone(rewards: Rewards, project: Any) -> None:
    assert worth(rewards, *FOUR) == 0.8
    # A judge's defect, a word that the stage's gates refuse, and a verdict that is missing: worth nothing each.
    assert worth(rewards, "meh kite bags", *FOUR[1:]) == worth(rewards, "best kite bags", *FOUR[1:]) == 0.6
    assert worth(rewards, "half kite bags", *FOUR[1:]) == 0.6
    assert worth(rewards, *(tag.replace("good", "meh") for tag in FOUR)) == 0.0
    assert worth(rewards, *FOUR[:1]) == 0.2  # leaving out is no way to be right
    assert worth(rewards) == 0.0
    first = next(iter(rewards.puzzles))
    said = json.dumps({"tags": FOUR})
    assert rewards([first] * 4, ["", "{}", said[:-1], f"Gladly! {said}"]) == [0.0] * 4  # the format
    assert rewards([first, first], [said, "no"]) == [pytest.approx(0.8), 0.0]
    assert rewards.met == {"passed": 6, "judges": 1, "empty": 1, "json": 4, "schema": 1}
    assert not project.rows(Tag)


def test_its_questions_are_those_that_the_stage_sends_about_learners(rewards: Rewards, project: Any) -> None:
    given = inputs(Night(project.config, project.store, rewards.night.logs, project.night), Task.TAGS, 100, held=False)
    names = {row.name for rows in given.rows.values() for row in rows}
    data = rewards.data()
    assert {row.messages[-1]["content"].removeprefix("Interest: ") for row in data.train} == names
    assert {row.source["unit"] for row in data.train} <= set(given.keys)
    assert data.train == rewards.data().train


def test_interests_and_lines_are_worth_something_too(project: Any, table: Table) -> None:
    project.configure(
        tuning={"held_out": 0.3}, interests={"min_items": 2, "min_days": 2, "min_span_days": 7}
    )  # fmt: skip
    name = next(one for one in ("camping", "sailing", "chess") if not held_out(key_of(None, one), Tuning(held_out=0.3)))
    table.recommend("u0000001", name, *table.items[:2])
    line = "Keeps going on days when the weather turns and the light fails."
    for task, key, good, bad in (
        (Task.INTERESTS, "interest", "good kites", "a name with far too many words to be one, all in all, is it"),
        (Task.EXPLANATIONS, "explanation", line, "Too short"),
    ):
        with opened(project, task) as found:
            first = next(iter(found.puzzles))
            said = [json.dumps({key: text}) for text in (good, bad)]
            assert found([first, first], said) == [pytest.approx(0.8), 0.0]
    assert len(found.puzzles) == 2
    project.configure(explain={"strategy": "full"}, tuning={"held_out": 0.3})
    with pytest.raises(ConfigError, match="one after the other"), opened(project, Task.EXPLANATIONS):
        pass


METHOD = Grpo(epochs=1, learning_rate=5e-2, batch_size=8, micro_batch=8, answers=8, beta=0.0, checkpoint_steps=4)


def questions(number: int) -> Dataset:
    rows = [Row(({"role": "user", "content": f"q{n}"},), {"request": f"r{n}"}) for n in range(number)]
    return Dataset(tuple(rows), ())


def letters(requests: Sequence[str], answers: Sequence[str]) -> list[float]:
    assert all(name.startswith("r") for name in requests)
    return [sum(character.isascii() and character.isalpha() for character in text) / 8 for text in answers]


def test_what_is_worth_more_becomes_likelier(tiny_base: Any, tmp_path: Path) -> None:
    plan = Plan(METHOD, Lora(rank=4, alpha=16, dropout=0.0), 3, 64, tmp_path / "run")
    trained = grpo.train(tiny_base, questions(20), plan, letters, max_tokens=8)
    assert trained.figures["steps"] == 20
    assert trained.figures["questions"] == 20
    reward = trained.figures["reward"]
    assert reward["last"] > reward["first"] + 0.1
    stored = adapter.save(tmp_path / "adapter", trained.model, "tiny@r1", {"figures": trained.figures})
    assert adapter.read(tmp_path / "adapter") == stored


def test_a_training_that_was_cut_short_ends_with_the_same_bytes(tiny_llama: Path, tmp_path: Path) -> None:
    method = METHOD.model_copy(update={"beta": 0.02, "checkpoint_steps": 2})

    def cut(step: Progress) -> None:
        if step.done == 3:
            raise KeyboardInterrupt

    def version(name: str, progress: Any = lambda _: None) -> str:
        plan = Plan(method, Lora(rank=2, alpha=8, dropout=0.1), 3, 64, tmp_path / name, progress=progress)
        base = load(Source(SOURCE, tiny_llama))
        trained = grpo.train(base, questions(5), plan, letters, max_tokens=4)
        return adapter.save(tmp_path / f"{name}-adapter", trained.model, SOURCE, dict(trained.figures)).version

    with pytest.raises(KeyboardInterrupt):
        version("cut", cut)
    assert last_checkpoint(tmp_path / "cut") == tmp_path / "cut" / "checkpoint-2"
    assert version("cut") == version("whole")


def test_groups_that_do_not_fill_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="no multiple of answers"):
        Grpo(batch_size=12, answers=8)
