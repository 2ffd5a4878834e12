"""The user-item channel on Amazon Beauty 2014, leave-one-out over all 12,101 items, beside every baseline in one run.

    python benchmarks/beauty.py [--quick] [--data FOLDER] [--seeds 1 2 3] [--no-vectors] [--keep FOLDER]

The protocol is that of recgpt.evaluation.leave_one_out, both ways: strict, and refitted on the validation events too.
The towers are those of the default settings with the packaged sentence encoder's vectors, as a night has them; a mean
over the seeds. Settings of the baselines, and how many epochs the towers learn, are chosen on validation. Towers and
the two strongest baselines are compared by paired bootstrap over users. A day's events stand in the order of item ids,
which no shop knows in advance; the towers don't learn it (training.shuffle_ties). A second table has the order of each
day shuffled, for one seed.

--keep writes what each model answered as soon as it is there, and a second call goes on from that.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import Figure, report
from kept import Kept
from public_data import BEAUTY, DataSet, beauty

from recgpt.evaluation import contender, metrics
from recgpt.evaluation.leave_one_out import Way, for_histories, for_training, questions
from recgpt.evaluation.peers import NEVER, POPULARITY, Peer, als, choose, ease, neighbours, values
from recgpt.evaluation.splits import shuffled_days
from towers.config import TowersConfig
from towers.data import TrainingData
from towers.training.loop import Epoch, train

HALF_LIVES = (0.75, 1.0, 1.5, 2.5)  # in events
GOAL = {"recall@10": 0.097, "ndcg@10": 0.057}  # refitted
MOST_SECONDS, USERS_A_SECOND = 1200, 12_000
RIVALS = ("item-kNN decay", "EASE decay")
TOWERS = "towers"

Values = dict[str, np.ndarray]  # by metric, one a user


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=BEAUTY, help="folder with users, items and events.parquet")
    parser.add_argument("--quick", action="store_true", help="one seed, one epoch, fewer settings, one table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--no-vectors", action="store_true", help="leave out the sentence encoder's vectors")
    parser.add_argument("--keep", type=Path, help="folder for the answers, from which a second call goes on")
    arguments = parser.parse_args()
    if not (arguments.data / "events.parquet").exists():
        parser.error(f"no events.parquet in {arguments.data}: name the folder with --data")
    shop = beauty(arguments.data) if arguments.no_vectors else with_vectors(beauty(arguments.data))
    # As many epochs as are best on the whole validation, on which the baselines' settings are chosen, too.
    config = TowersConfig(shop.inputs).but(training={"validation_events": len(shop.data.user_ids)})
    seeds = arguments.seeds[:1] if arguments.quick else arguments.seeds
    if arguments.quick:
        config = config.but(training={"max_epochs": 1, "validation_events": 2048})

    kept = Kept.at(arguments.keep, quick=arguments.quick)
    figures: list[Figure] = []
    for order in ("log",) if arguments.quick else ("log", "shuffled"):
        data = shop.data if order == "log" else reordered(shop)
        few = seeds if order == "log" else seeds[:1]
        figures += measure(data, config, few, order, kept, quick=arguments.quick)
    notes = {
        "quick": arguments.quick,
        "seeds": seeds,
        "vectors": not arguments.no_vectors,
        "threads": torch.get_num_threads(),
        "users": len(shop.data.user_ids),
        "items": len(shop.data.item_ids),
        "events": len(shop.data.users),
    }
    return 0 if report("beauty", figures, **notes) else 1


@dataclass(frozen=True)
class Answer:
    ranking: np.ndarray  # (Q, 10)
    fit: float  # seconds
    score: float  # seconds
    note: str = ""  # what was chosen


def answers(kept: Kept, name: str, make: Callable[[], dict[Way, Answer]]) -> dict[Way, Answer]:
    """What `make` answers, or what it answered before."""

    def columns() -> dict[str, Any]:
        return {f"{way} {part}": value for way, one in make().items() for part, value in vars(one).items()}

    found = kept.or_made(name, columns)
    return {way: Answer(**{part: found[f"{way} {part}"] for part in Answer.__match_args__}) for way in Way}


def measure(
    data: TrainingData, config: TowersConfig, seeds: list[int], order: str, kept: Kept, *, quick: bool
) -> list[Figure]:
    """All models, both ways, on one order of the log."""
    asked = questions(data.users, data.items, len(data.user_ids), len(data.item_ids))
    n_users = len(asked.strict.users)
    found: dict[tuple[str, Way], Values] = {}
    speeds: dict[str, float] = {}
    print(f"\nevents of a day in the order of the {'log' if order == 'log' else 'dice'}, {n_users:,} users")
    print(f"{'':<16}{'way':<10}{'recall@10':>10}{'ndcg@10':>9}{'mrr@10':>9}{'coverage':>10}{'fit s':>8}{'users/s':>9}")

    def show_row(name: str, way: Way, given: list[Answer]) -> None:
        each = [values(one.ranking, asked.test(way)) for one in given]
        fit, score = (float(np.mean([getattr(one, part) for one in given])) for part in ("fit", "score"))
        found[name, way] = {metric: np.mean([one[metric] for one in each], axis=0) for metric in each[0]}
        speeds[name] = n_users / score
        means = "".join(
            f"{one.mean():>{width}.4f}" for one, width in zip(found[name, way].values(), (10, 9, 9), strict=True)
        )
        covered = np.mean([metrics.coverage(one.ranking, len(data.item_ids), 10) for one in given])
        print(f"{name:<16}{way:<10}{means}{covered:>10.3f}{fit:>8.1f}{speeds[name]:>9,.0f}", flush=True)

    def answers_of(peer: Peer) -> dict[Way, Answer]:
        fitted, out = choose(peer, asked.validation), {}
        note = f"strength {fitted.strength:g}, half-life {fitted.half_life:g} events"
        for way in Way:
            if way is Way.REFITTED:
                fitted = fitted.again(asked.refitted.learnt.counts())
            ranking, seconds = fitted.answer(asked.test(way))
            out[way] = Answer(ranking, fitted.seconds, seconds, note)
        return out

    def answers_with(seed: int) -> dict[Way, Answer]:
        epochs, out = 0, {}
        for way in Way:
            settings: dict[str, Any] = {"seed": seed, "refit": False}
            if way is Way.REFITTED:
                settings |= {"max_epochs": epochs, "patience": epochs}
            trained = train(for_training(data, way), config.but(training=settings), progress=show)
            epochs = trained.best.number
            ranking, seconds = contender.of_users(trained.model, *for_histories(data)).answer(asked.test(way), 10)
            out[way] = Answer(ranking, trained.seconds, seconds, f"{epochs} epochs")
        return out

    for peer in peers(quick, order):
        theirs = answers(kept, f"{order} {peer.name}", partial(answers_of, peer))
        for way in Way:
            show_row(peer.name, way, [theirs[way]])
        print(f"{'':<16}{theirs[Way.STRICT].note}")
    ours = [answers(kept, f"{order} towers {seed}", partial(answers_with, seed)) for seed in seeds]
    for way in Way:
        show_row(TOWERS, way, [one[way] for one in ours])
    print(f"{'':<16}{', '.join(one[Way.STRICT].note for one in ours)}")
    whole = float(np.mean([sum(one[way].fit for way in Way) for one in ours]))
    return figures_of(found, speeds, whole, order)


def peers(quick: bool, order: str) -> list[Peer]:
    half_lives, penalties = (HALF_LIVES[1:3], (75.0,)) if quick else (HALF_LIVES, (40.0, 75.0, 150.0))
    rivals = [neighbours(half_lives, (30.0,) if quick else (10.0, 30.0, 100.0)), ease(penalties, half_lives)]
    if quick or order != "log":
        return [POPULARITY, *rivals]
    return [POPULARITY, als(256, (10.0, 100.0), 10.0), ease(penalties, (NEVER,)), *rivals]


def figures_of(
    found: dict[tuple[str, Way], Values], speeds: dict[str, float], whole: float, order: str
) -> list[Figure]:
    """Every mean, and the towers' differences from their rivals. Goals stand on the log's own order."""
    mine = order == "log"
    figures = []
    for (name, way), each in found.items():
        for metric, one in each.items():
            bound = GOAL.get(metric) if mine and (name, way) == (TOWERS, Way.REFITTED) else None
            figures.append(Figure(f"{order} {way} {name} {metric}", float(one.mean()), bound and (">=", bound)))
    for way in Way:
        for rival in RIVALS:
            for metric in GOAL:
                apart = metrics.difference(found[TOWERS, way][metric], found[rival, way][metric])
                label = f"{order} {way} towers - {rival} {metric}"
                print(f"{label:<52} {apart.mean:+.4f} ({apart.low:+.4f} to {apart.high:+.4f}), above 0: {apart.above}")
                figures.append(Figure(f"{label}, low end", apart.low, (">=", 1e-9)))
    if mine:
        figures += [
            Figure("training seconds, with the refit", whole, ("<=", MOST_SECONDS)),
            Figure("towers users/s", speeds[TOWERS], (">=", max(USERS_A_SECOND, speeds["EASE decay"]))),
            Figure("EASE decay users/s", speeds["EASE decay"]),
        ]
    return figures


def reordered(shop: DataSet) -> TrainingData:
    order = shuffled_days(shop.data.users, shop.days, seed=0)
    moved = {name: getattr(shop.data, name)[order] for name in ("users", "items", "behaviours", "times")}
    return replace(shop.data, **moved)


def with_vectors(shop: DataSet) -> DataSet:
    from recgpt.vectors import Encoder  # noqa: PLC0415  its weights are an extra

    with tempfile.TemporaryDirectory(prefix="recgpt-vectors-") as folder:
        encoder = Encoder("packaged", Path(folder))
        items, tags = encoder.encode(list(shop.data.titles)), encoder.encode(list(shop.data.tag_texts))
    data = replace(shop.data, item_vectors=items, tag_vectors=tags)
    return replace(shop, data=data, inputs=replace(shop.inputs, vector_dim=items.shape[1]))


def show(epoch: Epoch) -> None:
    print(
        f"  epoch {epoch.number:>2}  loss {epoch.loss:.3f}  held-out recall@10 {epoch.recall:.4f}  "
        f"ndcg@10 {epoch.ndcg:.4f}  {epoch.seconds:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
