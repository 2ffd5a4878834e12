"""What an interest must pass besides its name: enough evidence for its horizon, and nobody else's meaning.

As all gates they raise `Refused` with the rule's name.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final

import numpy as np

from recgpt.grouping import BURST_DAYS
from recgpt.settings import Interests
from recgpt.stages import gates
from recgpt.stages.answers import Refused
from recgpt.stages.interests.memory import Entry
from recgpt.vectors import Encoder
from recgpt.words import Horizon

SAME_MEANING: Final = 0.85  # cosine from which two names are taken to say the same


def enough(name: str, horizon: Horizon, evidence: Sequence[Entry], rules: Interests, day: date) -> None:
    """Whether the evidence carries an interest of this horizon on the night `day`.

    Raises:
        Refused: too_little_evidence (distinct things, distinct days), burst (all of it within one, as of a gift or a
            necessity), horizon (long-term but not spread over time; short-term but neither recent nor young).
    """
    things = {(entry.get("item_id"), entry.get("query")) for entry in evidence}
    days = sorted({datetime.fromisoformat(entry["timestamp"]).date() for entry in evidence})
    long = horizon == Horizon.LONG_TERM
    if len(things) < rules.min_items or (long and len(days) < rules.min_days):
        raise Refused("too_little_evidence", name, f"{len(things)} items on {len(days)} days")
    span = (days[-1] - days[0]).days
    if span < BURST_DAYS:
        raise Refused("burst", name, f"all within {span + 1} days")
    if long and span < rules.min_span_days:
        raise Refused("horizon", name, f"long_term, but all within {span + 1} days")
    age, ago = (day - days[0]).days, (day - days[-1]).days
    if not long and (ago > rules.short_term_days or age > 2 * rules.short_term_days):
        raise Refused("horizon", name, f"short_term, but first seen {age} and last seen {ago} days ago")


class Names:
    """The names of one user's interests: a new one must say something else, in words and in meaning."""

    def __init__(self, encoder: Encoder, names: Iterable[str] = ()) -> None:
        self.encoder = encoder
        self.names = list(names)

    def nearest(self, name: str) -> str | None:
        """The name that says the same, if one does."""
        same = next((other for other in self.names if gates.same_text(name, other)), None)
        if same is not None or not self.names:
            return same
        vectors: np.ndarray[Any, Any] = self.encoder.encode([name, *self.names])
        likeness = vectors[1:] @ vectors[0]
        best = int(likeness.argmax())
        return self.names[best] if likeness[best] >= SAME_MEANING else None

    def add(self, name: str) -> None:
        """Take a name. Raises Refused("duplicate") where another one says the same."""
        other = self.nearest(name)
        if other is not None:
            raise Refused("duplicate", name, f"says the same as {other!r}")
        self.names.append(name)
