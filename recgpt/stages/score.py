"""Tags -> items: the night's recommendations, each with the tag and the interest that brought it.

    score = beta * user.item + (1 - beta) * tag.item = (beta * user + (1 - beta) * tag) . item

so one exact top-k over the catalogue answers a (user, tag) pair. A user's tags then share the places: best score
first, each item once with its best tag, no tag more than `score.per_tag`. A user without tags gets no recommendation.
Nothing is asked of a model here, so the stage simply writes the night's rows again when it is run again.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from recgpt.sources.logs import History
from recgpt.stages.night import Night, Progress
from recgpt.stages.towers import behaviour_codes, load_newest
from recgpt.stages.work import digest
from recgpt.store.tables import Recommendation, Tag, Unit, now
from recgpt.words import Outcome, Stage, State
from towers.encoders.history import events
from towers.features import item_features, text_features, user_rows
from towers.model import ThreeTowers
from towers.scoring import encode_items, encode_tags, encode_users
from towers.topk import top_k

BLOCK = 256  # users scored at a time
Array = npt.NDArray[Any]


def run(night: Night, run_id: int) -> dict[str, Any]:
    """Write the night's recommendations. Returns the counts for the run's record.

    Raises:
        CheckpointError: there are no towers for this night.
    """
    version, model = load_newest(night)
    catalogue = night.logs.catalogue
    features = item_features(catalogue.ids, catalogue.titles, catalogue.categories, model.config, night.vectors)
    scorer = _Scorer(night, model, encode_items(model, features))
    outcomes: Counter[str] = Counter()
    kept = 0
    histories = night.histories()
    for block in _blocks(histories):
        rows = scorer.recommend(block)
        kept += _write(night, run_id, version, block, rows, outcomes)
        night.progress(Progress(Stage.SCORE, sum(outcomes.values()), night.n_users))
    return {
        "units": sum(outcomes.values()),
        **{outcome.value: outcomes[outcome] for outcome in Outcome},
        "coverage": None,  # no model is asked: a user without tags is counted as invalid, with the reason
        "recommendations": kept,
        "towers": version,
    }


def _blocks(histories: Iterator[History]) -> Iterator[list[History]]:
    block: list[History] = []
    for history in histories:
        block.append(history)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


class _Scorer:
    """Recommends for blocks of users, with the catalogue encoded once."""

    def __init__(self, night: Night, model: ThreeTowers, items: torch.Tensor) -> None:
        self.night, self.model, self.items = night, model, items  # items (N, D)
        self.codes = behaviour_codes(night)
        names = night.logs.behaviours
        self.left_out = [code for code, name in enumerate(names) if name in night.config.score.leave_out]
        self.now = int(night.until.timestamp())
        since = night.until - timedelta(days=night.config.score.leave_out_days)
        self.left_out_since = np.datetime64(since.replace(tzinfo=None), "s")

    def recommend(self, block: Sequence[History]) -> dict[str, list[dict[str, Any]]]:
        """The ranked rows of each user that has tags."""
        rules, tags = self.night.config.score, self._tags(block)
        asked = [(place, tag) for place, history in enumerate(block) for tag in tags.get(history.user_id, ())]
        if not asked:
            return {}
        user_vectors = encode_users(
            self.model,
            user_rows([history.user_id for history in block], self.model.config),
            events([self._learnt(history) for history in block]),
            self.items,
            self.now,
        )[torch.tensor([place for place, _ in asked])]  # (Q, D)
        tag_vectors = self._encode_tags([tag.tag for _, tag in asked])  # (Q, D)
        fused = rules.beta * user_vectors + (1 - rules.beta) * tag_vectors
        exclude = [self._excluded(history) for history in block]
        scores, found = top_k(fused, self.items, rules.top_k, exclude=[exclude[place] for place, _ in asked])
        by_user: dict[str, list[tuple[float, int, int]]] = defaultdict(list)  # (score, item row, place in asked)
        for query, (place, _) in enumerate(asked):
            pairs = zip(scores[query].tolist(), found[query].tolist(), strict=True)
            by_user[block[place].user_id] += [(score, row, query) for score, row in pairs if row >= 0]
        ranked = {}
        for user_id, candidates in by_user.items():
            ranked[user_id] = [
                self._row(rank, score, row, asked[query][1], user_vectors[query], tag_vectors[query])
                for rank, (score, row, query) in enumerate(self._share(candidates), 1)
            ]
        return ranked

    def _share(self, candidates: list[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
        """Best first; each item once, each tag (a query of the user's) at most per_tag times."""
        rules = self.night.config.score
        taken: set[int] = set()
        by_tag: Counter[int] = Counter()
        chosen = []
        for candidate in sorted(candidates, key=lambda one: (-one[0], one[1], one[2])):
            _, row, query = candidate
            if row in taken or by_tag[query] == rules.per_tag:
                continue
            taken.add(row)
            by_tag[query] += 1
            chosen.append(candidate)
            if len(chosen) == rules.top_k:
                break
        return chosen

    def _row(
        self, rank: int, score: float, row: int, tag: Tag, user_vector: torch.Tensor, tag_vector: torch.Tensor
    ) -> dict[str, Any]:
        return {
            "item_id": self.night.logs.catalogue.ids[row],
            "rank": rank,
            "score": score,
            "user_score": float(user_vector @ self.items[row]),
            "tag_score": float(tag_vector @ self.items[row]),
            "tag_id": tag.id,
            "interest_id": tag.interest_id,
        }

    def _tags(self, block: Sequence[History]) -> dict[str, list[Tag]]:
        query = select(Tag).where(Tag.user_id.in_([history.user_id for history in block]), Tag.state == State.ACTIVE)
        tags: dict[str, list[Tag]] = defaultdict(list)
        with Session(self.night.store, expire_on_commit=False) as session:
            for tag in session.scalars(query.order_by(Tag.id)):
                tags[tag.user_id].append(tag)
        return tags

    def _encode_tags(self, texts: list[str]) -> torch.Tensor:
        vectors = self.night.encoder.encode(texts)
        return encode_tags(self.model, text_features(texts, self.model.config, vectors))

    def _learnt(self, history: History) -> tuple[Array, Array, Array]:
        behaviours = self.codes[history.behaviours]
        mine = (behaviours >= 0) & (history.items >= 0)
        return history.items[mine], behaviours[mine], history.times[mine].astype(np.int64)

    def _excluded(self, history: History) -> Array:
        recent = history.times >= self.left_out_since
        return np.unique(history.items[recent & np.isin(history.behaviours, self.left_out)])


def _write(
    night: Night,
    run_id: int,
    version: str,
    block: Sequence[History],
    rows: dict[str, list[dict[str, Any]]],
    outcomes: Counter[str],
) -> int:
    """Put the block's rows in place of what the night had for these users, in one transaction."""
    users = [history.user_id for history in block]
    listed = [
        {"night": night.day, "user_id": user_id, "model_version": version, "run_id": run_id, **row}
        for user_id, ranked in rows.items()
        for row in ranked
    ]
    with Session(night.store) as session:
        session.execute(
            delete(Recommendation).where(Recommendation.night == night.day, Recommendation.user_id.in_(users))
        )
        if listed:
            session.execute(insert(Recommendation), listed)
        for user_id in users:
            outcome = Outcome.OK if rows.get(user_id) else Outcome.INVALID
            outcomes[outcome] += 1
            session.merge(
                Unit(
                    stage=Stage.SCORE,
                    key=user_id,
                    input_hash=digest(night.day, version),
                    outcome=outcome,
                    reason="" if outcome == Outcome.OK else "no active tag",
                    run_id=run_id,
                    at=now(),
                )
            )
        session.commit()
    return len(listed)
