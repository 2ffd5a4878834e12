"""Items that no training ever saw, on Amazon Beauty 2014: found by text for users and for tags.

    python benchmarks/cold.py [--quick] [--data FOLDER] [--seeds 1 2 3]

The protocol is that of recgpt.evaluation.cold: a tenth of the items is taken out of the catalogue with their events and
tags, another tenth for each seed, the towers are trained on the rest, and then only the cold items are ranked. Beside
them: popularity of the item's category, and, as the stronger guess, popularity of the categories that the user, or the
warm items with the tag, have most.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from figures import Figure, report
from public_data import BEAUTY, beauty

from recgpt.evaluation import cold, contender, metrics
from recgpt.evaluation.baselines import CategoryPopularity
from recgpt.evaluation.peers import values
from recgpt.evaluation.ranking import Array, Questions, rank
from recgpt.evaluation.splits import cold_items
from towers.config import TowersConfig
from towers.training.loop import Epoch, train

SHARE = 0.1
RECALL = "recall@10"
TOWERS, PLAIN, OWN = "towers", "category popularity", "own categories"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=BEAUTY, help="folder with users, items and events.parquet")
    parser.add_argument("--quick", action="store_true", help="one seed, three epochs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    if not (arguments.data / "events.parquet").exists():
        parser.error(f"no events.parquet in {arguments.data}: name the folder with --data")
    shop = beauty(arguments.data)
    data, seeds = shop.data, arguments.seeds[:1] if arguments.quick else arguments.seeds
    config = TowersConfig(shop.inputs)
    if arguments.quick:
        config = config.but(training={"max_epochs": 3, "validation_events": 2048})
    _, categories = np.unique(np.asarray(data.categories, dtype=str), return_inverse=True)

    found: dict[tuple[str, str], list[Array]] = {}  # (who asks, model) -> recall of each, one array a seed
    for seed in seeds:
        hidden = cold_items(len(data.item_ids), SHARE, seed)
        model = train(cold.without(data, hidden), config.but(training={"seed": seed}), progress=show).model
        known = cold.known(data, hidden)
        now = int(np.max(data.times))
        asking = {
            "users": (cold.of_users(data, hidden), contender.of_users(model, known, now)),
            "tags": (cold.of_tags(data, hidden), contender.of_tags(model, known)),
        }
        events = asking["users"][0].learnt.counts()
        for who, (asked, ours) in asking.items():
            histories = asked.live.counts()
            rankings = {
                TOWERS: ours.answer(asked, 10)[0],
                PLAIN: ranked(CategoryPopularity(events, categories), asked, histories),
                OWN: ranked(CategoryPopularity(events, categories, own=True), asked, histories),
            }
            for name, ranking in rankings.items():
                found.setdefault((who, name), []).append(values(ranking, asked)[RECALL])

    figures = []
    for who in ("users", "tags"):
        recalls = {name: np.concatenate(found[who, name]) for name in (TOWERS, PLAIN, OWN)}
        for name, each in recalls.items():
            low, high = metrics.interval(each)
            print(f"{who:<6} {name:<20} {RECALL} {each.mean():.4f} ({low:.4f} to {high:.4f}), {len(each):,} asked")
            figures.append(Figure(f"{who} {name} {RECALL}", float(each.mean())))
        ratio = float(recalls[TOWERS].mean() / recalls[PLAIN].mean())
        figures.append(Figure(f"{who}: towers / {PLAIN}", ratio, (">=", 2.0)))
        figures.append(Figure(f"{who}: towers / {OWN}", float(recalls[TOWERS].mean() / recalls[OWN].mean())))
    notes = {
        "quick": arguments.quick,
        "seeds": seeds,
        "cold_items": int(cold_items(len(data.item_ids), SHARE, seeds[0]).sum()),
        "threads": torch.get_num_threads(),
    }
    return 0 if report("cold", figures, **notes) else 1


def ranked(model: CategoryPopularity, asked: Questions, histories: object) -> Array:
    return rank(lambda who: model.scores(histories[who]), asked, 10)


def show(epoch: Epoch) -> None:
    print(
        f"  epoch {epoch.number:>2}  loss {epoch.loss:.3f}  ndcg@10 {epoch.ndcg:.4f}  {epoch.seconds:.0f} s", flush=True
    )


if __name__ == "__main__":
    sys.exit(main())
