"""What a tag must pass before it is kept. Each gate refuses by its own name, which is what is stored.

First on the words alone: form, stutter, vague, brand, season. Then by meaning, within the tags of one user and in the
order in which they come: duplicate, not_retrievable, not_fresh.

Gates run again, on answers that are in the ledger, whenever a unit's inputs have changed; that costs nothing. What they
read of the whole catalogue (brands, vectors, towers) is no input of a unit, though: one new item or one training would
have every user gone through anew.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Final

import numpy as np

from recgpt.config import Config
from recgpt.errors import CheckpointError
from recgpt.rendering.clean import clean
from recgpt.rendering.environment import SEASONS, occasions, season
from recgpt.sources.logs import History
from recgpt.stages import gates
from recgpt.stages.answers import Refused
from recgpt.stages.night import Night
from recgpt.stages.tags.brands import TagBrands
from recgpt.vectors import Vectors

LONGEST: Final = 120  # characters; more than any prompt's schema lets a tag have
REMEMBERED: Final = 100_000  # tags whose nearest item is known; many users share a tag

Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Recent:
    """What a user did of `tags.fresh_behaviours` in the last `tags.fresh_days`: items by id, and searches."""

    items: tuple[str, ...]
    queries: tuple[str, ...]


def recent(night: Night, history: History) -> Recent:
    """Counted back from the user's own last event, not from tonight: else the calendar alone would change the tags, and
    with them the recommendations, of somebody who did nothing new."""
    if not len(history):
        return Recent((), ())
    rules, ids = night.config.tags, night.logs.catalogue.ids
    chosen = [code for code, name in enumerate(night.logs.behaviours) if name in rules.fresh_behaviours]
    since = history.times[-1] - np.timedelta64(rules.fresh_days, "D")
    mine = np.flatnonzero(np.isin(history.behaviours, chosen) & (history.times >= since)).tolist()
    items = {ids[row] for row in history.items[mine].tolist() if row >= 0}
    queries = {clean(query) for query in (history.queries[event] for event in mine) if query}
    return Recent(tuple(sorted(items)), tuple(sorted(queries - {""})))


def untimely(config: Config, day: date) -> tuple[str, ...]:
    """Words that name another season, and the configured events that are not near.

    A season's things are timely in it and in the one before, when shops sell them; not when it is past.
    """
    now = SEASONS.index(season(day, config.environment.hemisphere))
    words, timely = config.tags.season_words, (SEASONS[now], SEASONS[(now + 1) % 4])
    fitting = {word for name in timely for word in words.get(name, ())}
    others = {word for name in SEASONS if name not in timely for word in words.get(name, ())} - fitting
    return tuple(sorted(others | {name for name, near in occasions(config, day).items() if not near}))


def form(tag: str, banned: Collection[str]) -> str:
    """Modifier + core word: 2 to 6 words in at most `LONGEST` characters, none twice, no vague word, no bare number;
    trimmed, in lower case."""
    tag = " ".join(tag.split()).strip(" .\"'").lower()
    parts = gates.words(tag)
    if not 2 <= len(parts) <= 6 or len(tag) > LONGEST or any(part.isdigit() for part in parts):
        raise Refused("form", tag, f"a tag is modifier + core word, 2 to 6 words and at most {LONGEST} characters")
    if gates.stutters(tag):
        raise Refused("stutter", tag, "a word stands in it twice")
    vague = next((part for part in parts if part in banned), None)
    if vague:
        raise Refused("vague", tag, vague)
    return tag


class TagGates:
    """The gates of one night; made once a run. Brands and towers are read when the first tag asks for them."""

    def __init__(self, night: Night) -> None:
        self.night, self.rules = night, night.config.tags
        self.untimely = untimely(night.config, night.day)
        self._nearest: dict[str, tuple[float, float]] = {}

    def words(self, text: str) -> str:
        """The tag in its plain form. Raises Refused."""
        tag = form(text, self.rules.banned)
        brand = self._brands.named_in(tag)
        if brand:
            raise Refused("brand", tag, brand)
        past = next((word for word in self.untimely if gates.contains(tag, word)), None)
        if past:
            raise Refused("season", tag, past)
        return tag

    def of_user(self, done: Recent) -> "UserGates":
        return UserGates(self, done)

    def retrievable(self, tag: str, vector: Vectors, *, kept: bool) -> None:
        """Some item answers the tag, and the towers find one that does. Raises Refused.

        Whether an item answers is for the sentence encoder to say: the towers' own likeness does not tell a kind of
        product that the shop has from one that it lacks (AUC .75 against the encoder's .99 on a demo shop). But it is
        the towers that the night retrieves by, so where there are towers of an earlier night, an item that answers must
        be among their `score.top_k` for the tag. A tag that is kept already isn't held against towers again: each
        training would else change the recommendations of users with whom nothing happened.
        """
        anywhere, found = self._likeness(tag, vector)
        if anywhere < self.rules.retrievable:
            raise Refused("not_retrievable", tag, f"the nearest item is at {anywhere:.2f}")
        if not kept and found < self.rules.retrievable:
            raise Refused("not_retrievable", tag, f"the nearest item that the towers find is at {found:.2f}")

    def _likeness(self, tag: str, vector: Vectors) -> tuple[float, float]:
        """The nearest item's likeness: of all items, and of those that the towers find."""
        if tag not in self._nearest:
            if len(self._nearest) >= REMEMBERED:
                self._nearest.clear()
            likeness = self.night.vectors @ vector  # (N,)
            rows = self._find(tag, vector) if self._find is not None else slice(None)
            self._nearest[tag] = float(likeness.max(initial=-1.0)), float(likeness[rows].max(initial=-1.0))
        return self._nearest[tag]

    @cached_property
    def _brands(self) -> TagBrands:
        return TagBrands(self.night.logs.catalogue)

    @cached_property
    def _find(self) -> Callable[[str, Vectors], Rows] | None:
        """The rows (K,) that the newest towers find for a tag; None where there are none that can be used."""
        from recgpt.stages import towers  # noqa: PLC0415 (torch takes seconds to import, and most nights know their tags)

        try:
            return towers.tag_finder(self.night, self.night.config.score.top_k)
        except CheckpointError:
            return None  # none yet, or made for other features: tonight's training makes new ones


class UserGates:
    """The gates that weigh one user's tags against each other and against what the user did."""

    def __init__(self, shared: TagGates, done: Recent) -> None:
        self.shared, self.rules = shared, shared.rules
        night = shared.night
        rows = [row for row in map(night.logs.catalogue.row_of, done.items) if row is not None]
        self.done = np.concatenate([night.vectors[rows], night.encoder.encode(done.queries)])  # (R, D)
        self.taken: list[Vectors] = []

    def meaning(self, tag: str, vector: Vectors, *, kept: bool) -> None:
        """Hold a tag in its plain form against those taken before it, the catalogue, and what was done; then take it.

        Args:
            kept: the user has this tag of this interest already. Raises Refused.
        """
        if self.taken and float(np.max(np.stack(self.taken) @ vector)) >= self.rules.duplicate:
            raise Refused("duplicate", tag, "another tag of this user says the same")
        self.shared.retrievable(tag, vector, kept=kept)
        if len(self.done) and float(np.max(self.done @ vector)) >= self.rules.same_as_done:
            raise Refused("not_fresh", tag, f"names what was done in the last {self.rules.fresh_days} days")
        self.taken.append(vector)
