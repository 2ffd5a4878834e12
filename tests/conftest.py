"""Fixtures for every room."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Modules that several tests share, and that a benchmark can run as a process too. Not this folder itself: it has
# folders named like the packages under test.
sys.path.insert(0, str(Path(__file__).parent / "support"))

from fake_server import FakeServer
from project import asked, project, shop

__all__ = ["asked", "project", "shop"]


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    """A fake OpenAI-compatible server that serves "fake-model"; see fake_server.py for what it can be told to do."""
    server = FakeServer().start()
    yield server
    server.stop()
