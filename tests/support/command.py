"""The command line in this process: what a call ends with, and what it says."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cli.app import main


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Recgpt = Callable[..., Done]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Recgpt:
    """`recgpt ARGUMENT ...` as it is. What is no RecgptError comes out as it would: a traceback."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["recgpt", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Done(code, said.out, said.err)

    return run


@pytest.fixture
def recgpt(project: Any, command: Recgpt) -> Recgpt:
    """`recgpt ARGUMENT ...` on the project."""
    return lambda *arguments: command(*arguments, "-c", str(project.folder))
