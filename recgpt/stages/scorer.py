"""Candidates and lists for blocks of users, with the catalogue encoded once.

    score = beta * user.item + (1 - beta) * tag.item

so one exact top-k of beta * user + (1 - beta) * tag over the allowed items answers a (user, tag) pair. For what the
user had before r stands in the place of user.item, where the towers have learnt it (towers/repeats.py).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sqlalchemy import or_, select
from sqlalchemy.orm import Session
from torch import Tensor

from recgpt.sources.logs import History
from recgpt.stages.night import Night
from recgpt.stages.selection import Selection
from recgpt.stages.towers import behaviour_codes, items_of, users_of
from recgpt.store.tables import Tag
from towers.encoders.history import Events, events
from towers.features import item_features, text_features, user_features
from towers.model import ThreeTowers
from towers.repeats import Own, past, top_k_with
from towers.scoring import encode_items, encode_tags, encode_users
from towers.topk import top_k

Array = npt.NDArray[Any]


class Scorer:
    def __init__(self, night: Night, model: ThreeTowers) -> None:
        self.night, self.model = night, model
        features = item_features(items_of(night, model.config), model.config)
        self.items, self.habits = encode_items(model, features), features.habits  # (N, D), (N, HABITS)
        self._alike = self.items[:, : model.config.network.width].numpy()  # the part that says what an item is like
        self.selection = Selection(night.config.score, night.logs.catalogue, night.logs.behaviours, night.until)
        self._allowed = self.items[torch.from_numpy(self.selection.rows)]  # (A, D)
        self._codes = behaviour_codes(night)
        self._now = int(night.until.timestamp())

    def recommend(self, block: Sequence[History]) -> dict[str, list[dict[str, Any]]]:
        """The ranked rows of each user that has tags."""
        tags = self.tags(block)
        asked = [(place, tag) for place, history in enumerate(block) for tag in tags.get(history.user_id, ())]
        if not asked or not len(self._allowed):
            return {}
        places = torch.tensor([place for place, _ in asked])  # (Q,)
        past_events = self.events(block)
        users = self.user_vectors(block, past_events)[places]  # (Q, D)
        tag_vectors = self.tag_vectors([tag.tag for _, tag in asked])  # (Q, D)
        repeats = self.repeats(past_events, places)
        scores, rows = self._search(users, tag_vectors, block, places, repeats)
        had = {} if repeats is None else _by_pair(*repeats)
        ranked: dict[str, list[dict[str, Any]]] = {}
        starts = np.searchsorted(places.numpy(), np.arange(len(block) + 1))
        for place in np.flatnonzero(np.diff(starts)).tolist():
            mine = slice(starts[place], starts[place + 1])
            found = rows[mine] >= 0  # (T, k)
            queries = np.broadcast_to(np.arange(mine.start, mine.stop)[:, None], found.shape)[found]
            of_items, of_scores = rows[mine][found], scores[mine][found]
            chosen = self.selection.choose(of_scores, of_items, queries, self._alike)
            ranked[block[place].user_id] = [
                {
                    "item_id": self.night.logs.catalogue.ids[of_items[n]],
                    "rank": rank,
                    "score": float(of_scores[n]),
                    "user_score": had.get(
                        (queries[n], of_items[n]), float(users[queries[n]] @ self.items[of_items[n]])
                    ),
                    "tag_score": float(tag_vectors[queries[n]] @ self.items[of_items[n]]),
                    "tag_id": asked[queries[n]][1].id,
                    "interest_id": asked[queries[n]][1].interest_id,
                }
                for rank, n in enumerate(chosen, 1)
            ]
        return ranked

    def _search(
        self, users: Tensor, tags: Tensor, block: Sequence[History], places: Tensor, repeats: tuple[Own, Tensor] | None
    ) -> tuple[Array, Array]:
        """Scores and rows of the catalogue (Q, k), -1 for nothing, of the best allowed items of each query."""
        beta = self.night.config.score.beta
        queries = beta * users + (1 - beta) * tags  # (Q, D)
        left_out = [self.selection.places(self.selection.left_out(history)) for history in block]
        exclude = [left_out[place] for place in places.tolist()]
        if repeats is None:
            scores, found = top_k(queries, self._allowed, self.selection.pool, exclude=exclude)
        else:
            own, r = repeats
            at = torch.from_numpy(self.selection.places(own.items.numpy()))
            here = at >= 0
            own = Own(own.rows[here], at[here], own.features[here])
            by_tag = (tags[own.rows] * self._allowed[own.items]).sum(-1)  # (M,)
            mixed = beta * r[here] + (1 - beta) * by_tag
            scores, found = top_k_with(queries, self._allowed, self.selection.pool, own, mixed, exclude=exclude)
        rows = np.append(self.selection.rows, -1)[found.numpy()]  # place -1 is the last: -1 again
        return scores.numpy(), rows

    def events(self, block: Sequence[History]) -> Events:
        """What the towers learn from of the users' events."""
        parts = []
        for history in block:
            behaviours = self._codes[history.behaviours]
            mine = (behaviours >= 0) & (history.items >= 0)
            parts.append(
                (history.items[mine], behaviours[mine], history.times[mine].astype("datetime64[s]").astype(int))
            )
        return events(parts)

    def user_vectors(self, block: Sequence[History], past_events: Events) -> Tensor:
        """(B, D)."""
        config = self.model.config
        people = user_features(users_of([(one.user_id, one.features) for one in block], config), config)
        return encode_users(self.model, people, past_events, self.items, self._now)

    @torch.no_grad()
    def repeats(self, past_events: Events, users: Tensor) -> tuple[Own, Tensor] | None:
        """What each of these users (Q,) of the block had before, and r of it (M,)."""
        if self.model.repeats is None:
            return None
        own = past(past_events, len(self.model.config.inputs.behaviours)).latest(users, self._now)
        return own, self.model.repeats(own, self.habits)

    def tags(self, block: Sequence[History]) -> dict[str, list[Tag]]:
        """The tags of each user that hold on the night's day."""
        day = self.night.day
        query = select(Tag).where(
            Tag.user_id.in_([history.user_id for history in block]),
            Tag.since_night <= day,
            or_(Tag.retired_night.is_(None), Tag.retired_night > day),
        )
        tags: dict[str, list[Tag]] = defaultdict(list)
        with Session(self.night.store) as session:
            for tag in session.scalars(query.order_by(Tag.id)):
                tags[tag.user_id].append(tag)
        return tags

    def tag_vectors(self, texts: list[str]) -> Tensor:
        """(Q, D)."""
        return encode_tags(self.model, text_features(texts, self.model.config, self.night.encoder.encode(texts)))


def _by_pair(own: Own, r: Tensor) -> dict[tuple[int, int], float]:
    """r by (query, row of the catalogue)."""
    return dict(zip(zip(own.rows.tolist(), own.items.tolist(), strict=True), r.tolist(), strict=True))
