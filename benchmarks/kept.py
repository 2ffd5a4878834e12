"""Results in a folder, by what they are of, so that a run that was cut short goes on where it was.

A file may hold a number for each user of a data set, so the folder stays out of the repository. It says nothing of the
settings or the program that made it: after a change of either, name another folder.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Kept:
    folder: Path | None  # None: nothing is kept

    @classmethod
    def at(cls, folder: Path | None, *, quick: bool) -> "Kept":
        """Of quick runs and of full ones apart."""
        return cls(folder and folder / ("quick" if quick else "full"))

    def or_made(self, name: str, make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Arrays, numbers and texts by name: those of the file, or those made now."""
        if self.folder is None:
            return make()
        file = self.folder / f"{name}.npz"
        if not file.exists():
            made = make()
            self.folder.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(file.with_suffix(".part.npz"), **made)
            file.with_suffix(".part.npz").rename(file)
        with np.load(file) as found:
            return {key: value if value.ndim else value.item() for key, value in found.items()}
