"""The command in this process: its exit code and streams, with the waits between tries made short."""

from typing import Any

import pytest
from command import Done, Recgpt
from fake_server import from_schema, schema_of


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between tries are for real servers; here they would only be waited for."""
    monkeypatch.setattr("recgpt.engine.asking.FIRST_WAIT_S", 0.01)


@pytest.fixture
def recgpt(reader: Any, command: Recgpt) -> Recgpt:
    """`recgpt COMMAND ...` on the project, on its night."""

    def run(name: str, *arguments: str) -> Done:
        night = [] if name == "doctor" else ["--date", str(reader.night)]
        return command(name, *arguments, "-c", str(reader.folder), *night)

    return run


@pytest.fixture
def reader(project: Any) -> Any:
    """A project whose users are read in one request each, by a model that finds nothing."""
    project.configure(interests={"strategy": "read"})
    project.server.answer = lambda body: from_schema(schema_of(body))
    return project
