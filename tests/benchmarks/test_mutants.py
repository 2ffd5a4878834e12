"""What the mutation check changes of a file, and what it leaves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SOURCE = '''"""A docstring with 1 + 1."""

import os


class Settings:
    size: int = 3


def f(x: int | None, é=0.5) -> int:
    """Another: x < 2."""
    if not x > 1 and x is not None:
        raise ValueError("wrong" + str(7))
    x += 1
    print(x)
    for one in zip(x, x, strict=True):
        return max(
            x[-1],
            x - os * 2.0,
        )
'''


@pytest.fixture(autouse=True)
def _benchmarks() -> Iterator[None]:
    """Benchmarks import each other by name, as scripts do; not longer than a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield


def test_each_place_is_changed_by_itself() -> None:
    from mutants import mutants_of

    found = mutants_of(SOURCE)
    assert {(one.before, one.after) for one in found} == {
        ("def f(x: int | None, é=0.5) -> int:", "def f(x: int | None, é=-0.5) -> int:"),
        ("def f(x: int | None, é=0.5) -> int:", "def f(x: int | None, é=1.0) -> int:"),
        ("if not x > 1 and x is not None:", "if (x > 1) and x is not None:"),
        ("if not x > 1 and x is not None:", "if not x >= 1 and x is not None:"),
        ("if not x > 1 and x is not None:", "if not x > 2 and x is not None:"),
        ("if not x > 1 and x is not None:", "if not x > 0 and x is not None:"),
        ("if not x > 1 and x is not None:", "if not x > 1 or x is not None:"),
        ("if not x > 1 and x is not None:", "if not x > 1 and x is None:"),
        ("x += 1", "x -= 1"), ("x += 1", "x += 2"), ("x += 1", "x += 0"), ("x += 1", "pass"),
        ("print(x)", "pass"),
        ("return max(", "return min("),
        ("x[-1],", "x[-2],"), ("x[-1],", "x[0],"),
        ("x - os * 2.0,", "x + os * 2.0,"), ("x - os * 2.0,", "x - os / 2.0,"), ("x - os * 2.0,", "(x),"),
        ("x - os * 2.0,", "x - os * -2.0,"), ("x - os * 2.0,", "x - os * 4.0,"),
    }  # fmt: skip
    lines = SOURCE.split("\n")
    for one in found:
        changed = one.text.split("\n")
        assert (lines[one.line - 1].strip(), changed[one.line - 1].strip()) == (one.before, one.after)
        assert changed[: one.line - 1] + changed[one.line :] == lines[: one.line - 1] + lines[one.line :]


def test_every_file_that_is_measured_has_tests() -> None:
    import mutation

    found = mutation.chosen([""], None, False, 0)
    assert "towers/losses/gbce.py" in found
    assert [name for name in found if not mutation.tests_of(name)] == []


def test_every_line_said_to_be_the_same_is_one_that_is_measured() -> None:
    import mutation

    files = [mutation.ROOT / name for name in mutation.chosen([""], None, False, 0)]
    lines = {line.strip() for file in files for line in file.read_text("utf-8").splitlines()}
    assert [line for said in mutation.SAME.values() for line in said if line not in lines] == []
