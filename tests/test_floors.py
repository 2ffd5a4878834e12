"""Imports go down only: cli -> recgpt -> {prompts, judges, towers}."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "cli": {"cli", "recgpt"},
    "recgpt": {"recgpt", "prompts", "judges", "towers"},
    "prompts": {"prompts"},
    "judges": {"judges"},
    "towers": {"towers"},
}
MODULES = [path for floor in ALLOWED for path in sorted((ROOT / floor).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Top-level packages that a module imports, anywhere in it; a relative import stays in its own."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found & ALLOWED.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_downwards(path: Path) -> None:
    floor = path.relative_to(ROOT).parts[0]
    assert imported(path) <= ALLOWED[floor]


def test_every_floor_was_looked_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(ALLOWED)


def test_an_import_that_goes_up_is_seen(tmp_path: Path) -> None:
    module = tmp_path / "wrong.py"
    module.write_text("def late():\n    from cli.app import main\n    import recgpt.words\n    return main\n")
    assert imported(module) == {"cli", "recgpt"}
