from typing import Any

import pytest
from diary import Diary, interest, numbers

LASTING = [300, 250, 200, 150, 100, 50]


@pytest.fixture
def diary(project: Any) -> Diary:
    """A user who bakes, and a model that finds it on the night 30 days before NIGHT."""
    diary = Diary(project)
    diary.did(LASTING, "Baking")
    diary.found = lambda text: [interest("home baking", numbers(text, "Baking"))]
    return diary


@pytest.fixture
def baker(diary: Diary) -> Diary:
    diary.run(30)
    return diary
