"""Gold rows: interests, tags and explanations of a demo shop whose right answers are known, put into its store.

Each task gets right rows, and for every criterion rows with one seeded defect of its kind. A right row is a yes to
every criterion, a defective one a no to its own; whatever else could be said of it is left open. Labels go in under
`human:truth`, as if somebody who knows the shop had labelled.

    interests   right: a true interest of the user, by its own evidence, under either of two names
                grounded    the name of an interest of another user
                willing     a one-off necessity, as the shop's truth has it
                reasonable  a name that reads too much into it
                specific    a vague name, or an item's title repeated
    tags        right: a kind of product of the interest's category; now and then of the season, or for the interest's
                level
                relevant    of another category          specific    vague
                valid       no such thing                timely      of the opposite season
                consistent  for another level than the interest's
    explanations  right: the product, and a moment that somebody with the interest knows
                relevant    another interest's moment    factual     an invention
                informative says the title again         attractive  a slogan
                clear       the words shaken             safe        speaks ill of its reader
                timely      of the opposite season
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import gold_words as said
import numpy as np
import pyarrow.parquet as pq
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import prompts
from judges import load_criteria
from recgpt.config import FILE_NAME, Config, load, night_of
from recgpt.evaluation import truth
from recgpt.labels.store import add
from recgpt.project import demo_settings
from recgpt.sources.demo import make_shop
from recgpt.sources.logs import Logs
from recgpt.sources.prepare import prepare
from recgpt.sources.shop import CATEGORIES
from recgpt.store.session import open_store
from recgpt.store.tables import Explanation, Interest, Label, Tag, now
from recgpt.words import JudgeKind, Operation, State, Task

NIGHT = date(2026, 9, 15)
LABELLER = f"{JudgeKind.HUMAN}:truth"
SEASONS = {"winter": date(2026, 1, 15), "spring": date(2026, 4, 15), "summer": date(2026, 7, 15),
           "autumn": date(2026, 10, 15)}  # fmt: skip
OPPOSITE = {"winter": "summer", "summer": "winter", "spring": "autumn", "autumn": "spring"}
NECESSITY = timedelta(days=9)  # from the first look to the purchase
SEASONED = 0.3  # of the right tags and lines: those that name their season
LEVELLED = 0.4  # of the right tags: those for an interest's level


@dataclass(frozen=True)
class Answer:
    """The right answer to one criterion of one row."""

    task: Task
    target_id: int
    criterion: str
    verdict: bool


@dataclass(frozen=True)
class Shop:
    """A demo shop with gold rows in its store."""

    config: Config
    store: Engine
    logs: Logs
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class _Seen:
    """What a user did in one category."""

    user: str
    category: str  # the leaf, as the shop calls it
    evidence: list[dict[str, Any]]
    rows: list[int]  # distinct catalogue rows


@dataclass
class _Made:
    rows: list[tuple[Any, dict[str, bool]]] = field(default_factory=list)  # a row, and the answers to it

    def add(self, row: Any, **answers: bool) -> None:
        self.rows.append((row, answers))


def categories(seed: int, unseen: int = 8) -> tuple[list[str], list[str]]:
    """The shop's leaves in two: those to learn from, and `unseen` to test on."""
    leaves = sorted(said.CATEGORIES)
    held = set(random.Random(f"categories:{seed}").sample(leaves, unseen))
    return [leaf for leaf in leaves if leaf not in held], sorted(held)


def shop(folder: Path, *, seed: int, users: int, leaves: Sequence[str], half: int, each: int) -> Shop:
    """Make a shop with `each` right rows a task, and as many with each defect.

    Args:
        leaves: the categories that rows are of, true and false ones.
        half: of the words, LEARNT or UNSEEN.
    """
    make_shop(folder, users=users, seed=seed, until=NIGHT)
    (folder / FILE_NAME).write_text(demo_settings(), encoding="utf-8")
    config = load(folder)
    patient = config.engine.model_copy(update={"timeout_s": 3600.0})  # a machine may be busy with something else
    config = config.model_copy(update={"engine": patient})
    store, logs = open_store(config), prepare(config)
    dice = random.Random(f"gold:{seed}")
    true, needed = _seen(config, logs, leaves)
    dice.shuffle(true)
    dice.shuffle(needed)
    maker = _Maker(dice, logs, list(leaves), half)
    answers: list[Answer] = []
    made = {
        Task.INTERESTS: maker.interests(true, needed, each),
        Task.TAGS: maker.tags(each),
        Task.EXPLANATIONS: maker.explanations(each),
    }
    with Session(store) as session, session.begin():
        for task, found in made.items():
            versions = {one.name: one.version for one in load_criteria(task)}
            labels = []
            for row, verdicts in found.rows:
                number = _id(session, row)
                answers += [Answer(task, number, name, verdict) for name, verdict in verdicts.items()]
                labels += [
                    Label(task=task, target_id=number, criterion=name, verdict=verdict, kind=JudgeKind.HUMAN,
                          judge=LABELLER, prompt_version=versions[name], created_at=now())
                    for name, verdict in verdicts.items()
                ]  # fmt: skip
            add(session, labels)
    return Shop(config, store, logs, tuple(answers))


def _id(session: Session, row: Any) -> int:
    if isinstance(row, tuple):  # a tag, and the interest that it is for
        row[1].interest_id = _id(session, row[0])
        row = row[1]
    session.add(row)
    session.flush()
    return int(row.id)


def _seen(config: Config, logs: Logs, leaves: Sequence[str]) -> tuple[list[_Seen], list[_Seen]]:
    """The true interests that the logs show, and the one-off necessities, of these categories."""
    until = night_of(NIGHT)
    known = truth.read_truth(config.folder / "truth" / "interests.parquet", until)
    noise: dict[str, list[tuple[str, date]]] = {}
    for row in pq.read_table(config.folder / "truth" / "noise.parquet").to_pylist():
        if row["kind"] == "necessity":
            noise.setdefault(row["user_id"], []).append((row["category"], row["date"]))
    reliable = np.array([config.behaviours[name].reliable for name in logs.behaviours])
    true, needed = [], []
    for history in logs.histories(until):
        kept = np.flatnonzero(reliable[history.behaviours] & (history.items >= 0)).tolist()
        events = [
            (logs.catalogue.categories[history.items[one]], history.times[one].astype("datetime64[s]").item(), one)
            for one in kept
        ]
        mine = known.get(history.user_id, {})
        for category in sorted(mine):
            found = _of(history, logs, [one for of, _, one in events if of == category], category)
            days = {entry["timestamp"][:10] for entry in found.evidence}
            if found.category in leaves and len(found.rows) >= config.interests.min_items and len(days) >= 3:
                true.append(found)
        for category, day in noise.get(history.user_id, []):
            begin = datetime(day.year, day.month, day.day)
            within = [one for of, at, one in events if of == category and begin <= at < begin + NECESSITY]
            found = _of(history, logs, within, category)
            if category not in mine and found.category in leaves and len(found.rows) >= 2:
                needed.append(found)
    return true, needed


def _of(history: Any, logs: Logs, events: Sequence[int], category: str) -> _Seen:
    rows = history.items[list(events)].tolist()
    evidence = [
        {
            "number": number,
            "timestamp": f"{history.times[one].astype('datetime64[s]')}+00:00",
            "behaviour": logs.behaviours[history.behaviours[one]],
            "item_id": logs.catalogue.ids[row],
            "night": NIGHT.isoformat(),
        }
        for number, (one, row) in enumerate(zip(events, rows, strict=True), 1)
    ]
    return _Seen(history.user_id, _leaf(category), evidence, list(dict.fromkeys(rows)))


class _Maker:
    """Rows of the three tasks, drawn with one die."""

    def __init__(self, dice: random.Random, logs: Logs, leaves: list[str], half: int) -> None:
        self.dice, self.logs, self.leaves, self.half = dice, logs, leaves, half
        self.items: dict[str, list[int]] = {leaf: [] for leaf in leaves}
        self.department = {_leaf(one.path): one.path.split(" > ")[0].lower() for one in CATEGORIES}
        for row, category in enumerate(logs.catalogue.categories):
            leaf = _leaf(str(category))
            if leaf in self.items and len(self._phrase(row).split()) >= 2:
                self.items[leaf].append(row)

    def interests(self, true: list[_Seen], needed: list[_Seen], each: int) -> _Made:
        made, bases = _Made(), self._spread(true)
        names = [one.name for one in load_criteria(Task.INTERESTS)]
        for _ in range(each):
            one = next(bases)
            made.add(self._interest(one, self._name(one.category)), **dict.fromkeys(names, True))
            one = next(bases)
            made.add(self._interest(one, self._name(self._other(one.category))), grounded=False)
            one = next(bases)
            reach = self.dice.choice(said.REACHES[self.half]).format(one.category.lower())
            made.add(self._interest(one, reach), reasonable=False)
            one = next(bases)
            title = self.logs.catalogue.titles[one.rows[0]].lower()
            vague = self.dice.choice([self.dice.choice(said.VAGUE_NAMES[self.half]), title])
            made.add(self._interest(one, vague), specific=False)
        for one in needed[:each]:
            made.add(self._interest(one, self._name(one.category)), willing=False)
        return made

    def tags(self, each: int) -> _Made:
        made, seasoned = _Made(), said.SEASONED[self.half]
        names = [one.name for one in load_criteria(Task.TAGS)]
        for _ in range(each):
            leaf, row = self._draw()
            name, tag, season = self._name(leaf), self._phrase(row), self._season()
            chance, right = self.dice.random(), names
            if chance < SEASONED:
                tag = self.dice.choice(seasoned[season]).format(self._core(row))
                right = ["relevant", "timely"]
            elif chance < SEASONED + LEVELLED:
                level, agrees, _ = self.dice.choice(said.LEVELS[self.half])
                name, tag = level.format(name), agrees.format(self._core(row))
            made.add(self._tag(name, tag, season), **dict.fromkeys(right, True))
            leaf, row = self._draw()
            made.add(self._tag(self._name(self._other(leaf)), self._phrase(row), self._season()), relevant=False)
            leaf, _ = self._draw()
            vague = self.dice.choice(said.VAGUE_TAGS[self.half]).format(self.department[leaf])
            made.add(self._tag(self._name(leaf), vague, self._season()), specific=False)
            leaf, row = self._draw()
            absurd = f"{self.dice.choice(said.ABSURD[self.half])} {self._core(row)}"
            made.add(self._tag(self._name(leaf), absurd, self._season()), valid=False)
            leaf, row = self._draw()
            season = self._season()
            late = self.dice.choice(seasoned[OPPOSITE[season]]).format(self._core(row))
            made.add(self._tag(self._name(leaf), late, season), timely=False)
            leaf, row = self._draw()
            level, _, against = self.dice.choice(said.LEVELS[self.half])
            level, against = level.format(self._name(leaf)), against.format(self._core(row))
            made.add(self._tag(level, against, self._season()), consistent=False)
        return made

    def explanations(self, each: int) -> _Made:
        made = _Made()
        names = [one.name for one in load_criteria(Task.EXPLANATIONS)]
        for _ in range(each):
            for defect in ("", *names):
                leaf, row = self._draw()
                interest, season = self._name(leaf), self._season()
                text = self._line(leaf, row, interest, season, defect)
                answers = {defect: False} if defect else dict.fromkeys(names, True)
                made.add(self._explanation(interest, row, text, season), **answers)
        return made

    def _line(self, leaf: str, row: int, interest: str, season: str, defect: str) -> str:
        thing, half, dice = self._phrase(row), self.half, self.dice
        moment = dice.choice(said.CATEGORIES[leaf][1:])
        end = {
            "relevant": lambda: dice.choice(said.CATEGORIES[self._other(leaf)][1:]),
            "factual": lambda: dice.choice(said.INVENTED[half]),
            "informative": lambda: dice.choice(said.EMPTY[half]).format(thing),
            "safe": lambda: dice.choice(said.HURTFUL[half]),
            "timely": lambda: dice.choice(said.OCCASIONS[half][OPPOSITE[season]]),
        }
        if defect == "attractive":
            return dice.choice(said.SLOGANS[half]).format(thing)
        if not defect and dice.random() < SEASONED:
            moment = f"{moment}, {dice.choice(said.OCCASIONS[half][season])}"
        text = f"For {interest}: {_article(thing)} {end[defect]() if defect in end else moment}."
        if defect == "clear":
            words = text.rstrip(".").split()
            return " ".join(dice.sample(words, len(words))) + "."
        return text

    def _spread(self, true: list[_Seen]) -> Iterator[_Seen]:
        """True interests, each once, the categories in turn; from the beginning again where they are too few."""
        by_leaf: dict[str, list[_Seen]] = {}
        for one in true:
            by_leaf.setdefault(one.category, []).append(one)
        order = [row[place] for place in range(len(true)) for row in by_leaf.values() if place < len(row)]
        while True:
            yield from order

    def _draw(self) -> tuple[str, int]:
        leaf = self.dice.choice(self.leaves)
        return leaf, self.dice.choice(self.items[leaf])

    def _other(self, leaf: str) -> str:
        return self.dice.choice([one for one in self.leaves if one != leaf])

    def _name(self, leaf: str) -> str:
        return self.dice.choice((leaf.lower(), said.CATEGORIES[leaf][0]))

    def _season(self) -> str:
        return self.dice.choice(list(SEASONS))

    def _phrase(self, row: int) -> str:
        return prompts.phrase(self.logs.catalogue.titles[row], self.logs.catalogue.brands[row])

    def _core(self, row: int) -> str:
        return " ".join(self._phrase(row).split()[-2:])

    def _interest(self, one: _Seen, name: str) -> Interest:
        return _interest(one.user, name, one.evidence, State.ACTIVE)

    def _tag(self, interest: str, tag: str, season: str) -> tuple[Interest, Tag]:
        # Tags and lines have users of their own, so that no interest ties the tasks' splits.
        user = f"g{self.dice.randrange(10**6):06d}"
        held = _interest(user, interest, [], State.RETIRED)
        return held, Tag(user_id=user, tag=tag, state=State.ACTIVE, since_night=SEASONS[season])

    def _explanation(self, interest: str, row: int, text: str, season: str) -> Explanation:
        return Explanation(
            interest=interest, item_id=self.logs.catalogue.ids[row], text=text, input_hash="", state=State.ACTIVE,
            since_night=SEASONS[season],
        )  # fmt: skip


def _interest(user: str, name: str, evidence: list[dict[str, Any]], state: State) -> Interest:
    moments = [datetime.fromisoformat(entry["timestamp"]) for entry in evidence] or [datetime.now(UTC)]
    return Interest(
        user_id=user, name=name, horizon="long_term", evidence=evidence, first_seen=min(moments),
        last_confirmed=max(moments), state=state, operation=Operation.ADD, since_night=NIGHT,
        retired_night=None if state == State.ACTIVE else NIGHT,
    )  # fmt: skip


def _leaf(category: str) -> str:
    return category.rsplit(" > ", maxsplit=1)[-1]


def _article(thing: str) -> str:
    return thing if thing.endswith("s") else f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"
