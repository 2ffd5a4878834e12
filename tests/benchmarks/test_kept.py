"""What a benchmark measured is not measured again, and comes back as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_what_is_kept_is_made_once_and_quick_runs_are_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from kept import Kept

    made: list[str] = []

    def make() -> dict[str, Any]:
        made.append("again")
        return {"ranking": np.arange(6).reshape(2, 3), "seconds": 1.5, "note": "9 epochs"}

    for quick in (False, True):
        for _ in range(2):
            found = Kept.at(tmp_path / "kept", quick=quick).or_made("EASE decay", make)
            assert found["ranking"].tolist() == [[0, 1, 2], [3, 4, 5]]
            assert (found["seconds"], found["note"]) == (1.5, "9 epochs")
    assert len(made) == 2
    for _ in range(2):
        Kept.at(None, quick=False).or_made("EASE decay", make)
    assert len(made) == 4
