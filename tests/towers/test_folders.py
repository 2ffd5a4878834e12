from pathlib import Path

import pytest

from towers.folders import replaced


def names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def test_what_is_written_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "kept"
    for text in ("first", "second"):
        with replaced(folder) as fresh:
            assert not folder.exists() or (folder / "said").read_text() == "first"
            (fresh / "said").write_text(text)
            (fresh / text).touch()
        assert ((folder / "said").read_text(), names(folder)) == (text, {"said", text})
        assert names(folder.parent) == {"kept"}


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "said").write_text("first")

    def fail() -> None:
        with replaced(folder) as fresh:
            (fresh / "said").write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk"):
        fail()
    assert ((folder / "said").read_text(), names(tmp_path)) == ("first", {"kept"})


def test_what_a_killed_process_left_is_not_mixed_in(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    for leftover in ("kept.new", "kept.old"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "stale").touch()
    with replaced(folder) as fresh:
        (fresh / "said").touch()
    assert (names(folder), names(tmp_path)) == ({"said"}, {"kept"})
