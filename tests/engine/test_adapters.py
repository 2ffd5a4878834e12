"""Adapters beside the engine's own weights: who is asked, and that nothing old is replayed."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_server import FakeServer
from sqlalchemy import Engine as Store

from recgpt.config import Config
from recgpt.engine.open import open_engine
from recgpt.engine.requests import Reply
from recgpt.errors import EngineError
from recgpt.serving import Adapter, Serving
from recgpt.words import Outcome


@pytest.fixture
def naming(prompt: Any) -> Any:
    return replace(prompt, task="interest_name")


@pytest.fixture
def judging(prompt: Any) -> Any:
    """A criterion: its task is what is judged."""
    return replace(prompt, task="interests", version="sha256:" + "2" * 64)


@pytest.fixture
def adapter(tmp_path: Path) -> Adapter:
    return Adapter("recgpt-aa", "sha256:aa", tmp_path / "adapters/aa")


def served(adapter: Adapter, task: str = "interests") -> Serving:
    return Serving().with_adapter(task, adapter)


def ask(config: Config, store: Store, serving: Serving, *asked: Any, **options: Any) -> list[Reply]:
    async def opened() -> list[Reply]:
        async with open_engine(config, store, served=serving, **options) as model:
            return [await model.ask(model.request(prompt, {"text": "shoes"})) for prompt in asked]

    return asyncio.run(opened())


def test_it_is_loaded_where_it_is_not_and_answers_its_task_alone(
    make_config: Callable[..., Config],
    store: Store,
    fake_server: FakeServer,
    adapter: Adapter,
    naming: Any,
    judging: Any,
) -> None:
    fake_server.adapters = {}
    tagging = replace(naming, task="interest_tags", version="sha256:" + "1" * 64)
    for _ in range(2):
        replies = ask(make_config(), store, served(adapter), naming, tagging, judging)
        assert all(reply.outcome is Outcome.OK for reply in replies)
    assert [(one.request.model, one.request.revision) for one in replies] == [
        ("recgpt-aa", "sha256:aa"), ("fake-model", "r1"), ("fake-model", "r1"),
    ]  # fmt: skip
    assert [body["model"] for body in fake_server.requests] == [
        "recgpt-aa",
        "fake-model",
        "fake-model",
    ]  # then replayed
    assert fake_server.adapters == {"recgpt-aa": str(adapter.folder.resolve())}
    assert fake_server.models == ["fake-model", "recgpt-aa"]  # loaded once


def test_another_version_is_asked_anew(
    make_config: Callable[..., Config], store: Store, fake_server: FakeServer, adapter: Adapter, naming: Any
) -> None:
    fake_server.models.append("recgpt-aa")
    newer = replace(adapter, version="sha256:bb")
    tried = [Serving(), served(adapter), Serving(), served(newer), served(adapter)]
    replies = [ask(make_config(), store, one, naming)[0].replayed for one in tried]
    assert replies == [False, False, True, False, True]


def test_a_judges_adapter_judges_and_does_not_write(
    make_config: Callable[..., Config],
    store: Store,
    fake_server: FakeServer,
    adapter: Adapter,
    naming: Any,
    judging: Any,
) -> None:
    fake_server.models.append("recgpt-aa")
    ask(make_config(), store, served(adapter, "judge.interests"), judging, naming)
    assert [body["model"] for body in fake_server.requests] == ["recgpt-aa", "fake-model"]


def test_a_server_that_takes_none_says_what_to_do(
    make_config: Callable[..., Config], store: Store, adapter: Adapter, naming: Any
) -> None:
    with pytest.raises(EngineError, match="--enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"):
        ask(make_config(), store, served(adapter), naming)


def test_a_dry_run_loads_nothing(
    make_config: Callable[..., Config], store: Store, fake_server: FakeServer, adapter: Adapter, naming: Any
) -> None:
    async def planned() -> str:
        async with open_engine(make_config(), store, contact=False, served=served(adapter)) as model:
            return model.request(naming, {"text": "shoes"}).model

    fake_server.adapters = {}
    assert asyncio.run(planned()) == "recgpt-aa"
    assert not fake_server.adapters
