"""Tags of a night against what their users did next, beside two baselines that ask no model.

Category HR@K (RecGPT, arXiv 2507.22879): is the category of a user's next item among the categories of their tags? Here

- the tags are those of the night D (made on it or before, not retired by then), a user's first K in the order of their
  rows; a tag has the category of the item that is nearest to it by the sentence encoder, as the gates weigh it;
- the next item is that of the user's first reliable event after D on an item that has a category; with `following` > 1
  a user's value is the share of so many next events;
- the baselines read events up to D only: the user's own most frequent categories, and the most popular ones, each with
  as many categories as the user's tags have, and with K. Where a shop has few more than K categories, K prove nothing.

Every mean is over the users with tags and a next item, the same for all rows, and says how many they are. Stages never
import this module.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any, Final

import numpy as np
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from recgpt.evaluation.metrics import interval
from recgpt.sources.logs import History
from recgpt.stages.night import Night
from recgpt.store.tables import Answer, Request, Tag
from recgpt.vectors import Vectors

BLOCK: Final = 256  # users read at a time
SCORES: Final = 1 << 24  # likenesses held at once: 64 MB
PERSONAS: Final = 10  # most frequent ones that are reported apart
EVER: Final = datetime(9000, 1, 1, tzinfo=UTC)
STRATEGIES: Final = {"interest_tags": "each", "tags_single": "single", "tags_expert": "experts"}  # by the prompt's task

Ints = np.ndarray[Any, np.dtype[np.int64]]

OURS, OWN, POPULAR = "tags", "own categories", "popular categories"


@dataclass(frozen=True)
class Rate:
    """A hit rate over `users`, with a 95 % bootstrap interval; `categories` a user was given on average."""

    value: float | None
    low: float | None
    high: float | None
    users: int
    categories: float | None


@dataclass
class Report:
    night: date
    k: int
    following: int
    users: int = 0  # in the logs
    with_tags: int = 0
    with_next: int = 0
    measured: int = 0  # with both
    categories: int = 0  # of the catalogue
    rates: dict[str, Rate] = field(default_factory=dict)
    by_strategy: dict[str, Rate] = field(default_factory=dict)
    by_persona: dict[str, Rate] = field(default_factory=dict)  # the most frequent ones
    tags: int = 0
    distinct: float | None = None  # distinct texts among all tags
    variety: float | None = None  # mean over users with two tags or more: 1 - mean cosine between two of them
    said_twice: float | None = None  # of what experts with a kept tag proposed: said by an earlier one of the user too

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "night": self.night.isoformat()}


def evaluate(night: Night, *, k: int = 30, following: int = 1) -> Report:
    """Measure the tags of `night.day`. Events after it are read here, and only as what is to be found."""
    found = _Found(night, k, following)
    histories = night.logs.histories(EVER, limit=night.users)
    while block := list(islice(histories, BLOCK)):
        tags = _tags(night, [history.user_id for history in block])
        found.categories.learn({tag.text for listed in tags.values() for tag in listed})
        for history in block:
            found.add(history, tags.get(history.user_id, []))
        found.experts(tags)
    return found.report()


@dataclass(frozen=True)
class _Tag:
    text: str
    persona: str
    strategy: str
    request_hash: str | None


def _tags(night: Night, users: Sequence[str]) -> dict[str, list[_Tag]]:
    """Each user's tags as of the night, in the order of their rows."""
    query = (
        select(Tag, Request.task)
        .join(Request, Request.hash == Tag.request_hash, isouter=True)
        .where(
            Tag.user_id.in_(users),
            Tag.since_night <= night.day,
            or_(Tag.retired_night.is_(None), Tag.retired_night > night.day),
        )
        .order_by(Tag.id)
    )
    tags: dict[str, list[_Tag]] = defaultdict(list)
    with Session(night.store) as session:
        for row, task in session.execute(query):
            strategy = STRATEGIES.get(task, task or "unknown")
            tags[row.user_id].append(_Tag(row.tag, row.persona, strategy, row.request_hash))
    return tags


class _Found:
    """What is gathered over the users: a row of hits a user for each way to name categories."""

    def __init__(self, night: Night, k: int, following: int) -> None:
        self.night, self.k, self.following = night, k, following
        self.categories = _Categories(night)
        self.popular = _popular(night, self.categories)
        self.counts = Report(night.day, k, following, categories=len(self.categories.names))
        self.hits: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))  # by kind and name
        self.given: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self.texts: Counter[str] = Counter()
        self.variety: list[float] = []
        self.proposed = self.repeated = 0

    def add(self, history: History, tags: Sequence[_Tag]) -> None:
        counts = self.counts
        before = len(history.until(self.night.until))
        events = _categories_of(history, self.night, self.categories)  # (E,), -1: not reliable, or no category
        wanted = events[before:][events[before:] >= 0][: self.following]
        counts.users += 1
        counts.with_tags += bool(tags)
        counts.with_next += bool(len(wanted))
        self.texts.update(tag.text for tag in tags)
        if len(tags) > 1:
            self.variety.append(_variety(self.night.encoder.encode([tag.text for tag in tags])))
        if not tags or not len(wanted):
            return
        counts.measured += 1
        first = tags[: self.k]
        ours = self.categories.of(first)
        own = [category for category, _ in Counter(events[:before][events[:before] >= 0].tolist()).most_common()]
        for name, ranking in ((OWN, own), (POPULAR, self.popular)):
            self._count("rates", f"{name}, as many", ranking[: len(ours)], wanted)
            self._count("rates", f"{name}, {self.k}", ranking[: self.k], wanted)
        self._count("rates", OURS, ours, wanted)
        for kind, names in (("by_strategy", "strategy"), ("by_persona", "persona")):
            for name in dict.fromkeys(getattr(tag, names) for tag in first):
                if name:
                    mine = self.categories.of([tag for tag in first if getattr(tag, names) == name])
                    self._count(kind, name, mine, wanted)

    def experts(self, tags: Mapping[str, Sequence[_Tag]]) -> None:
        """Count how much of what the experts said was said before by another expert of the same user."""
        asked = {tag.request_hash for listed in tags.values() for tag in listed if tag.persona and tag.request_hash}
        said = _answers(self.night, sorted(asked))
        for listed in tags.values():
            by_expert = [said[key] for key in dict.fromkeys(tag.request_hash for tag in listed) if key in said]
            vectors = self.night.encoder.encode([text for texts in by_expert for text in texts])
            owner = np.repeat(np.arange(len(by_expert)), [len(texts) for texts in by_expert])
            alike = vectors @ vectors.T >= self.night.config.tags.duplicate
            self.proposed += len(vectors)
            self.repeated += int((alike & (owner[:, None] > owner[None, :])).any(1).sum())

    def report(self) -> Report:
        report, total = self.counts, sum(self.texts.values())
        order = [OURS] + [f"{name}, {many}" for name in (OWN, POPULAR) for many in ("as many", self.k)]
        report.rates = {name: self._rate("rates", name) for name in order}
        report.by_strategy = {name: self._rate("by_strategy", name) for name in sorted(self.hits["by_strategy"])}
        personas = Counter({name: len(hits) for name, hits in self.hits["by_persona"].items()})
        report.by_persona = {name: self._rate("by_persona", name) for name, _ in personas.most_common(PERSONAS)}
        report.tags = total
        report.distinct = len(self.texts) / total if total else None
        report.variety = float(np.mean(self.variety)) if self.variety else None
        report.said_twice = self.repeated / self.proposed if self.proposed else None
        return report

    def _count(self, kind: str, name: str, categories: Sequence[int], wanted: Ints) -> None:
        self.hits[kind][name].append(float(np.isin(wanted, categories).mean()))
        self.given[kind][name].append(len(categories))

    def _rate(self, kind: str, name: str) -> Rate:
        hits = self.hits[kind][name]
        if not hits:
            return Rate(None, None, None, 0, None)
        low, high = interval(np.array(hits))
        return Rate(float(np.mean(hits)), low, high, len(hits), float(np.mean(self.given[kind][name])))


class _Categories:
    """The catalogue's categories by number, and the one that each tag has."""

    def __init__(self, night: Night) -> None:
        self.night = night
        paths = night.logs.catalogue.categories
        self.names = sorted({path for path in paths if path})
        number = {path: place for place, path in enumerate(self.names)}
        self.of_item = np.array([number.get(path, -1) for path in paths], np.int64)  # (N,), -1: none
        self._known = np.flatnonzero(self.of_item >= 0)
        self._of_tag: dict[str, int] = {}

    def learn(self, texts: set[str]) -> None:
        """Find the categories of tags, many at a time."""
        new = sorted(texts - self._of_tag.keys()) if len(self._known) else []
        vectors, items = self.night.encoder.encode(new), self.night.vectors[self._known]
        step = max(1, SCORES // max(len(items), 1))
        for start in range(0, len(new), step):
            nearest = np.argmax(vectors[start : start + step] @ items.T, axis=1)
            found = self.of_item[self._known[nearest]].tolist()
            self._of_tag.update(zip(new[start : start + step], found, strict=True))

    def of(self, tags: Sequence[_Tag]) -> list[int]:
        """The distinct categories of tags, in their order."""
        return list(dict.fromkeys(self._of_tag[tag.text] for tag in tags if tag.text in self._of_tag))


def _categories_of(history: History, night: Night, categories: _Categories) -> Ints:
    """(E,) the category of each reliable event's item, -1 where there is none."""
    events = np.full(len(history), -1, np.int64)
    mine = (night.weights[history.behaviours] > 0) & (history.items >= 0)
    events[mine] = categories.of_item[history.items[mine]]
    return events


def _popular(night: Night, categories: _Categories) -> list[int]:
    """Categories by how many reliable events all users had on them before the night ended, most first."""
    counts = np.zeros(len(categories.names) + 1, np.int64)
    reliable = night.weights > 0
    for batch in night.logs.interactions(night.until):
        items = batch["item"].to_numpy()[reliable[batch["behaviour"].to_numpy()]]
        counts += np.bincount(categories.of_item[items] + 1, minlength=len(counts))
    order = np.argsort(-counts[1:], kind="stable")
    return [int(category) for category in order if counts[category + 1]]


def _variety(vectors: Vectors) -> float:
    """1 - mean cosine between two different rows of unit vectors (T, D), T > 1."""
    count = len(vectors)
    pairs = float(np.square(vectors.sum(0)).sum() - np.square(vectors).sum())  # every pair twice
    return 1.0 - pairs / (count * (count - 1))


def _answers(night: Night, hashes: Sequence[str]) -> dict[str, list[str]]:
    """What experts proposed, by the hash of the request; raw, as the ledger holds it."""
    said: dict[str, list[str]] = {}
    with Session(night.store) as session:
        for part in _parts(hashes):
            query = select(Answer.request_hash, Answer.content).where(Answer.request_hash.in_(part))
            for key, content in session.execute(query):
                entries = json.loads(content)["tags"]  # a list: else no tag of it would have been kept
                said[key] = [
                    str(entry["tag"]).lower() for entry in entries if isinstance(entry, dict) and "tag" in entry
                ]
    return said


def _parts(hashes: Sequence[str]) -> Iterator[Sequence[str]]:
    yield from (hashes[start : start + 500] for start in range(0, len(hashes), 500))
