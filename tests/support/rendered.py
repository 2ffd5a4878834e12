"""Catalogues and histories in a few words, and the profile texts that are rendered of them."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from recgpt.rendering.profile import Profile, render
from recgpt.settings import DEFAULT_BEHAVIOURS
from recgpt.sources.logs import Catalogue, History

NAMES = ("purchase", "add_to_cart", "rating", "favourite", "search", "view", "click", "impression", "wave")
NIGHT = datetime(2026, 11, 1, tzinfo=UTC)
ITEMS = [
    ("Bath thermometer", "Acme", "Baby > Baby care"),
    ("Wool socks 2-Pack", "", "Clothing > Socks"),
    ("Wool socks, 3 Pairs 500 g", "", "Clothing > Socks"),
    ("Wool socks (Pack of 6)", "", "Clothing > Socks"),
    ("", "Lumo", "Home > Lamps"),
    ("", "", ""),
]
Event = tuple[str, str, int | str] | tuple[str, str, int | str, float]


def catalogue(items: Sequence[tuple[str, str, str]] = ITEMS) -> Catalogue:
    titles, brands, categories = (list(column) for column in zip(*items, strict=True))
    return Catalogue([f"i{n}" for n in range(len(items))], titles, categories, brands, np.zeros(len(items), np.float32))


def history(events: Sequence[Event], features: dict[str, str] | None = None) -> History:
    ordered = sorted(events, key=lambda event: event[0])
    return History(
        "u1",
        features or {},
        np.array([event[0] for event in ordered], "datetime64[s]"),
        np.array([NAMES.index(event[1]) for event in ordered], np.int16),
        np.array([event[2] if isinstance(event[2], int) else -1 for event in ordered], np.int32),
        [None if isinstance(event[2], int) else event[2] for event in ordered],
        np.array([event[3] if len(event) == 4 else np.nan for event in ordered], np.float32),
    )


def quarter(text: str) -> int:
    return -(-len(text.encode()) // 4)


def rendered(
    events: Sequence[Event] | History,
    *,
    items: Catalogue | None = None,
    features: dict[str, str] | None = None,
    max_tokens: int = 8000,
    count_tokens: object = quarter,
) -> Profile:
    user = events if isinstance(events, History) else history(events, features)
    return render(
        user,
        items or catalogue(),
        DEFAULT_BEHAVIOURS,
        NAMES,
        night=NIGHT,
        max_tokens=max_tokens,
        count_tokens=count_tokens,  # type: ignore[arg-type]
        title_words=12,
    )


def shown_lines(profile: Profile) -> list[str]:
    return [line for line in profile.text.split("\n")[2:-1] if " | " in line]
