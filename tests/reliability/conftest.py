"""The command in this process: its exit code and streams, with the waits between tries made short."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fake_server import from_schema, schema_of

from cli.app import main


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Recgpt = Callable[..., Done]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between tries are for real servers; here they would only be waited for."""
    monkeypatch.setattr("recgpt.engine.asking.FIRST_WAIT_S", 0.01)


@pytest.fixture
def recgpt(reader: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Recgpt:
    """`recgpt COMMAND ...` on the project, on its night. What is no RecgptError comes out as it would: a traceback."""

    def run(command: str, *arguments: str) -> Done:
        where = ["-c", str(reader.folder)]
        night = [] if command == "doctor" else ["--date", str(reader.night)]
        monkeypatch.setattr(sys, "argv", ["recgpt", command, *arguments, *where, *night])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Done(code, said.out, said.err)

    return run


@pytest.fixture
def reader(project: Any) -> Any:
    """A project whose users are read in one request each, by a model that finds nothing."""
    project.configure(interests={"strategy": "read"})
    project.server.answer = lambda body: from_schema(schema_of(body))
    return project
