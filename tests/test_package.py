"""The wheel holds the five packages and nothing else, and its command runs from anywhere in a clean environment."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Without isolation: setuptools is at hand, and a build must not depend on what a registry serves today.
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("recgpt-*.whl")
    return built


def test_top_level_is_the_five_packages(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"recgpt", "prompts", "judges", "towers", "cli"}


def test_every_module_and_text_file_is_in_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    floors = ("recgpt", "prompts", "judges", "towers", "cli")
    files = [
        path.relative_to(ROOT).as_posix()
        for floor in floors
        for path in (ROOT / floor).rglob("*")
        if path.suffix in {".py", ".md", ".typed", ".mako", ".html", ".css", ".js", ".svg"}
    ]
    assert set(files) <= names


def test_the_command_runs_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "env"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    # The dependencies are this environment's own; recgpt itself comes from the wheel alone.
    (site,) = (home / "lib").glob("python*/site-packages")
    here = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(here) + "\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = subprocess.run(
        [str(python), "-c", "import recgpt, cli; print(recgpt.__file__, cli.__file__)"],
        check=True, capture_output=True, text=True, cwd=elsewhere,
    )  # fmt: skip
    assert all(str(site) in path for path in where.stdout.split())
    made = subprocess.run(
        [str(home / "bin" / "recgpt"), "init", "shop"], check=True, capture_output=True, text=True, cwd=elsewhere
    )
    assert "recgpt.toml" in made.stdout
    assert (elsewhere / "shop" / "recgpt.toml").is_file()
