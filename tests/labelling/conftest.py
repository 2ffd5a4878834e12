"""The rooms in which people label: a store each, and the page over it."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from labellers import Room

from recgpt.config import Config
from recgpt.labels.queue import Queued
from recgpt.settings import Store
from recgpt.store.session import open_store


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(open_store(Config(folder=tmp_path)), tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def rooms(request: pytest.FixtureRequest, tmp_path: Path) -> Room:
    """The room on each database."""
    url = Store().url if request.param == "sqlite" else str(request.getfixturevalue("postgres"))
    return Room(open_store(Config(folder=tmp_path, store=Store(url=url))), tmp_path)


@pytest.fixture
def serve(room: Room) -> Iterator[Callable[..., str]]:
    """Start the page over a queue, on a free port of loopback; gives its URL."""
    if importlib.util.find_spec("fastapi") is None:
        pytest.skip("the page needs: pip install 'recgpt[label]'")
    from label_page import Served

    running: list[Served] = []

    def start(queue: list[Queued], name: str = "eva", token: str | None = None) -> str:
        running.append(Served(lambda who: room.sit(queue, who), name, token))
        return running[-1].url

    yield start
    for one in running:
        one.stop()
