"""A store with every table, a prompt, and a project that asks the fake server."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fake_server import FakeServer
from sqlalchemy import Engine as Store
from sqlalchemy import make_url

from recgpt.config import Config
from recgpt.settings import Engine
from recgpt.store import session
from recgpt.store.tables import Base

SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "interest": {"type": "string"}},
    "required": ["reason", "interest"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class FakePrompt:
    task: str = "interests"
    text: str = "the file"
    version: str = "sha256:" + "0" * 64
    max_tokens: int = 40
    schema: dict[str, Any] = field(default_factory=lambda: SCHEMA)

    def messages(self, **variables: str) -> list[dict[str, str]]:
        return [{"role": "system", "content": "Name it."}, {"role": "user", "content": variables["text"]}]


@pytest.fixture
def prompt() -> FakePrompt:
    return FakePrompt()


@pytest.fixture
def make_config(tmp_path: Path, fake_server: FakeServer) -> Callable[..., Config]:
    def make(**engine: Any) -> Config:
        settings: dict[str, Any] = {
            "kind": "server", "base_url": fake_server.base_url, "model": "fake-model", "revision": "r1",
            "timeout_s": 5.0, "retries": 3, **engine,
        }  # fmt: skip
        return Config(folder=tmp_path, engine=Engine(**settings))

    return make


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    engine = session.connect(make_url(f"sqlite:///{tmp_path}/store.sqlite"))
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between tries are for real servers; here they would only be waited for."""
    monkeypatch.setattr("recgpt.engine.asking.FIRST_WAIT_S", 0.01)
