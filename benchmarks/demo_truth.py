"""The embedded default against the truth of a demo shop that nothing was tuned on.

    python benchmarks/demo_truth.py [--quick] [--users 50] [--seed 20261122]

A shop is made with events beyond the night; the night reads only what is before it. Then the found interests are held
against the true ones, the names against titles and the prompt's examples, and the recommendations against what the
users did later, beside popularity. The seed is reserved for this command.
"""

import argparse
import sys
import tempfile
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from figures import Figure, report
from sqlalchemy import select
from sqlalchemy.orm import Session

import prompts
from recgpt import nightly
from recgpt.config import FILE_NAME, Config, load, night_of
from recgpt.evaluation import truth
from recgpt.project import demo_settings
from recgpt.sources.demo import make_shop
from recgpt.sources.logs import Logs
from recgpt.sources.prepare import prepare
from recgpt.stages.gates import same_text
from recgpt.store.session import open_store
from recgpt.store.tables import Interest, Recommendation
from recgpt.vectors import Encoder
from recgpt.words import Stage, State

NIGHT = date(2026, 9, 15)
LATER = timedelta(days=28)
SHOP_USERS = 400
TOP = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20 users")
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seed", type=int, default=20261122)
    arguments = parser.parse_args()
    users = 20 if arguments.quick else arguments.users
    with tempfile.TemporaryDirectory(prefix="recgpt-truth-") as folder:
        config = shop(Path(folder), arguments.seed)
        stages = [Stage.INTERESTS, Stage.TAGS, Stage.TOWERS, Stage.SCORE, Stage.EXPLAIN]
        summary = nightly.run(config, stages, day=NIGHT, users=users)
        logs = prepare(config)
        ids = list(logs.user_ids(users))
        figures = [*interest_figures(config, logs, ids), *hit_figures(config, logs, ids)]
        for one in summary.stages:
            if one.usage is not None:
                units = max(one.counts["units"], 1)
                figures.append(Figure(f"{one.stage} invalid", one.counts["invalid"] / units))
                figures.append(Figure(f"{one.stage} unavailable", one.counts["unavailable"] / units))
                figures.append(Figure(f"{one.stage} seconds a user", one.seconds / users))
                figures.append(Figure(f"{one.stage} tokens a user", one.usage.tokens / users))
    notes = {"seed": arguments.seed, "users": users, "shop_users": SHOP_USERS, "engine": summary.engine}
    return 0 if report("demo_truth", figures, **notes) else 1


def shop(folder: Path, seed: int) -> Config:
    make_shop(folder, users=SHOP_USERS, seed=seed, until=NIGHT + LATER)
    (folder / FILE_NAME).write_text(demo_settings(), encoding="utf-8")
    return load(folder)


def interest_figures(config: Config, logs: Logs, users: list[str]) -> list[Figure]:
    """Precision and recall by the evidence's category and, separately, by what the name says."""
    by_evidence: dict[str, list[str | None]] = {user: [] for user in users}
    names: list[str] = []
    titles: list[list[str]] = []
    with Session(open_store(config)) as session:
        rows = session.scalars(
            select(Interest).where(Interest.state == State.ACTIVE, Interest.user_id.in_(users))
        ).all()
    for row in rows:
        items = [logs.catalogue.row_of(event["item_id"]) for event in row.evidence if "item_id" in event]
        kept = [item for item in items if item is not None]
        by_evidence[row.user_id].append(truth.majority(logs.catalogue.categories[item] for item in kept))
        names.append(row.name)
        titles.append([logs.catalogue.titles[item] for item in kept])
    true = truth.read_truth(config.folder / "truth" / "interests.parquet", night_of(NIGHT), users)
    score = truth.score(by_evidence, true)
    examples = prompts.load("interest_name").example_answers("interest")
    copied = sum(any(same_text(name, title) for title in mine) for name, mine in zip(names, titles, strict=True))
    categories = [category for user in users for category in by_evidence[user]]
    return [
        Figure("interests: precision, by category", score.precision, (">=", 0.8)),
        Figure("interests: recall, by category", score.recall, (">=", 0.7)),
        Figure("interests: found", score.found),
        Figure("interests: true", score.true),
        Figure("interests: names nearest to their category", named_right(config, logs, names, rows, by_evidence)),
        Figure("interests: names that repeat an example", truth.share_of_repeats(names, examples), ("<=", 0.0)),
        Figure("interests: names that are an item's title", copied / len(names) if names else None, ("<=", 0.0499)),
        Figure("interests: distinct names a category", len(set(names)) / max(len(set(categories)), 1)),
    ]


def named_right(
    config: Config, logs: Logs, names: list[str], rows: list[Interest], by_evidence: dict[str, list[str | None]]
) -> float | None:
    """The share of names whose nearest category, by the sentence encoder, is their evidence's."""
    if not names:
        return None
    encoder = Encoder(config.encoder_path, config.work_folder / "vectors")
    categories = sorted(set(logs.catalogue.categories))
    leaves = encoder.encode([category.split(" > ")[-1] for category in categories])
    nearest = [categories[place] for place in np.argmax(encoder.encode(names) @ leaves.T, axis=1)]
    place: Counter[str] = Counter()
    right = 0
    for row, guess in zip(rows, nearest, strict=True):
        right += guess == by_evidence[row.user_id][place[row.user_id]]
        place[row.user_id] += 1
    return right / len(names)


def hit_figures(config: Config, logs: Logs, users: list[str]) -> list[Figure]:
    """How much of what the users did later stands in a list of 20, ours and popularity's.

    Later are the reliable events on items within LATER of the night, without items that the user had bought before it,
    which neither list offers. `events` is the share of these events, `items` of the distinct (user, item) pairs,
    `users` of the users with a hit at all.
    """
    until = night_of(NIGHT)
    reliable = np.array([config.behaviours[name].reliable for name in logs.behaviours])
    left_out = [code for code, name in enumerate(logs.behaviours) if name in config.score.leave_out]
    popular: Counter[int] = Counter()
    for batch in logs.interactions(until):
        popular.update(batch["item"].to_numpy()[reliable[batch["behaviour"].to_numpy()]].tolist())
    ranking = [item for item, _ in popular.most_common()]
    ours: dict[str, list[int]] = {user: [] for user in users}
    with Session(open_store(config)) as session:
        query = select(Recommendation).where(Recommendation.night == NIGHT, Recommendation.rank <= TOP)
        for row in session.scalars(query):
            item = logs.catalogue.row_of(row.item_id)
            if row.user_id in ours and item is not None:
                ours[row.user_id].append(item)
    counts = Counter[str]()
    for history in logs.histories(until + LATER, users):
        cut = len(history.until(until))
        bought = set(history.items[:cut][np.isin(history.behaviours[:cut], left_out)].tolist())
        wanted = history.items[cut:][reliable[history.behaviours[cut:]]].tolist()
        later = [item for item in wanted if item >= 0 and item not in bought]
        if not later:
            continue
        popular_20 = [item for item in ranking[: TOP + len(bought)] if item not in bought][:TOP]
        counts["users"] += 1
        counts["events"] += len(later)
        counts["items"] += len(set(later))
        for name, listed in (("ours", set(ours[history.user_id])), ("popularity", set(popular_20))):
            counts[f"{name} events"] += sum(item in listed for item in later)
            counts[f"{name} items"] += len(set(later) & listed)
            counts[f"{name} users"] += bool(set(later) & listed)
    figures = []
    for unit in ("events", "items", "users"):
        mine, theirs = (counts[f"{name} {unit}"] / counts[unit] for name in ("ours", "popularity"))
        figures.append(Figure(f"hit rate at 20, {unit}: recommendations", mine))
        figures.append(Figure(f"hit rate at 20, {unit}: popularity", theirs))
        goal = (">=", 3.0) if unit == "events" else None
        figures.append(Figure(f"hit rate at 20, {unit}: ratio", mine / theirs if theirs else None, goal))
    figures.append(Figure("later events", counts["events"]))
    figures.append(Figure("users with recommendations", sum(bool(listed) for listed in ours.values()) / len(users)))
    return figures


if __name__ == "__main__":
    sys.exit(main())
