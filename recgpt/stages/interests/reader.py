"""The `read` strategy: a real model reads text, and says what the interests are and by which lines it knows.

A full reading shows the whole profile text; what is found is held against the memory by name, by meaning and by
evidence. Later nights show the memory as numbered units and, in the same form as the profile, only the events since;
beside them stand earlier events like those which no unit holds, for an interest that shows itself one event a month
would else never be seen. The model answers with operations. What is made of the answers is in
recgpt.stages.interests.operations.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import numpy as np

from recgpt.engine.asking import LanguageModel
from recgpt.rendering.clean import clean
from recgpt.rendering.environment import environment
from recgpt.rendering.profile import Profile, render
from recgpt.sources.logs import History
from recgpt.stages.answers import read_list
from recgpt.stages.interests.memory import MemoryUnit, Proposal, Propose, Reading
from recgpt.stages.interests.operations import all_found, all_operations
from recgpt.stages.night import Night
from recgpt.stages.texts import evidence_rows, product
from recgpt.stages.work import Question

SHOWN: Final = 3  # things of a unit's evidence that the model is told
LOOSE_DAYS: Final = 365  # how far back an event that no unit holds is shown again
LOOSE_EVENTS: Final = 60  # of them at most, the latest


class Reader:
    def __init__(self, night: Night, model: LanguageModel) -> None:
        self.night, self.model = night, model
        self.full, self.update = night.serving.prompt("interests_read"), night.serving.prompt("interests_update")
        self.versions: tuple[str, ...] = (self.full.version, self.update.version, night.encoder.version)
        self.environment = environment(night.config, night.day)
        self.count_tokens = night.count_tokens

    def prepare(self, histories: Sequence[History]) -> None:
        """Nothing: only what is new, and not much of it, is ever encoded here."""

    def ask(self, reading: Reading) -> tuple[list[Question], Propose]:
        reliable = np.flatnonzero(self.night.weights[reading.history.behaviours] > 0)
        shown = reliable if reading.full else self._since(reading, reliable)
        if not len(shown):
            return [], lambda settled: Proposal()
        profile = self._render(reading.history, shown)
        lines = {line.number: shown[[*line.events]].tolist() for line in profile.lines}
        if reading.full:
            variables = {"environment": self.environment, "profile": profile.text}
            request = self.model.request(self.full, variables)
            return [Question((request,), partial(read_list, name="interests"))], partial(all_found, reading, lines)
        remembered = "\n".join(self._line(number, unit) for number, unit in enumerate(reading.units, 1))
        variables = {
            "environment": self.environment,
            "memory": remembered or "Nothing is known yet.",
            "events": profile.text,
        }
        request = self.model.request(self.update, variables)
        return [Question((request,), partial(read_list, name="operations"))], partial(all_operations, reading, lines)

    def _since(self, reading: Reading, reliable: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The reliable events since, and the loose ones like them: earlier, of things that no unit holds."""
        history = reading.history
        new, old = reliable[reliable >= reading.since], reliable[reliable < reading.since]
        if not len(new):
            return new
        held = {entry.get("item_id", entry.get("query")) for unit in reading.units for entry in unit.evidence}
        recent = history.times[old] >= history.times[-1] - np.timedelta64(LOOSE_DAYS, "D")
        loose = [event for event in old[recent].tolist() if self._thing(history, event) not in held][-LOOSE_EVENTS:]
        if not loose:
            return new
        likeness = self._vectors(history, loose) @ self._vectors(history, new.tolist()).T
        like = likeness.max(1) >= self.night.config.interests.similarity
        return np.concatenate([np.array(loose)[like], new])

    def _thing(self, history: History, event: int) -> str:
        row = int(history.items[event])
        return self.night.logs.catalogue.ids[row] if row >= 0 else history.queries[event] or ""

    def _vectors(self, history: History, events: Sequence[int]) -> np.ndarray[Any, Any]:
        """(len(events), D) unit vectors of what the events are about."""
        rows = history.items[events]
        vectors = self.night.vectors[np.maximum(rows, 0)]
        searches = np.flatnonzero(rows < 0).tolist()
        vectors[searches] = self.night.encoder.encode([history.queries[events[place]] or "" for place in searches])
        return vectors

    def _render(self, history: History, shown: np.ndarray[Any, Any]) -> Profile:
        """The text of these events, as of the user's own last one: what is asked does not depend on the day."""
        config, logs = self.night.config, self.night.logs
        part = replace(
            history,
            times=history.times[shown],
            behaviours=history.behaviours[shown],
            items=history.items[shown],
            queries=[history.queries[event] for event in shown.tolist()],
            values=history.values[shown],
        )
        return render(
            part,
            logs.catalogue,
            config.behaviours,
            logs.behaviours,
            night=part.times[-1].astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC),
            max_tokens=config.rendering.max_tokens,
            count_tokens=self.count_tokens,
            title_words=config.rendering.title_words,
        )

    def _line(self, number: int, unit: MemoryUnit) -> str:
        """`M1 trail running (long_term, 2025-05-03 to 2026-10-02, 23 events on 14 days): trail shoes; running vest`."""
        catalogue = self.night.logs.catalogue
        rows = evidence_rows(catalogue, unit.evidence)
        things = [*dict.fromkeys(product(catalogue, row) for row in rows)] or [
            clean(entry["query"], 60) for entry in reversed(unit.evidence) if "query" in entry
        ]
        days = len({entry["timestamp"][:10] for entry in unit.evidence})
        return (
            f"M{number} {clean(unit.name, 60)} ({unit.horizon}, {unit.first_seen:%Y-%m-%d} to "
            f"{unit.last_confirmed:%Y-%m-%d}, {len(unit.evidence)} events on {days} days): {'; '.join(things[:SHOWN])}"
        )
