"""Purchases of the next two weeks on The Complete Journey: what is new to a household, and what it buys again.

    python benchmarks/journey.py [--quick] [--data FOLDER] [--seeds 1 2 3]

A split in time (recgpt.evaluation.next_weeks): settings are chosen on the two weeks before the last two, by weights
that read what is before them; then all models are fitted again on everything before the last two weeks, the test. New
products are ranked among those the household never bought, repeats among those it did, and `all` in one list over
92,348 products.
The towers score what was had by its counts (network.repeats) and begin from how often a product is bought
(network.prior), read base features, price and popularity, learn what is bought in two weeks from their beginning, and
the later the more; `multi` has the tasks purchase and coupon, `single` learns purchases alone. EASE knows
the most bought products only, as many as `--most` says: its weights are a square matrix, of 34 GB for all of them.
"""

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import Figure, report
from kept import Kept
from public_data import JOURNEY, DataSet, journey

from recgpt.evaluation import contender, metrics
from recgpt.evaluation.contender import part
from recgpt.evaluation.next_weeks import Weeks, questions
from recgpt.evaluation.next_weeks import asked as questions_of
from recgpt.evaluation.peers import NEVER, POPULARITY, Peer, als, choose, ease, neighbours, own_counts, values
from recgpt.evaluation.ranking import Questions, Show
from towers.config import TowersConfig
from towers.training.loop import Epoch, Trained, train

WEEKS_2 = 14.0  # days
HALF_LIVES = (30.0, 90.0, NEVER)  # days
OWN_HALF_LIVES = (14.0, 30.0, 90.0, 365.0)
HISTORY = {"history": 400, "pools": ("aged",)}
SINGLE, MULTI = "towers single", "towers multi"
METRICS = ("recall@10", "ndcg@10", "mrr@10")
NDCG = METRICS[1]

Values = dict[str, np.ndarray]  # by metric, one a user


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=JOURNEY, help="folder with users, items and events.parquet")
    parser.add_argument("--quick", action="store_true", help="one seed and epoch, the last weeks, a small EASE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--most", type=int, default=15_000, help="products that EASE knows: 4 bytes times its square")
    parser.add_argument("--keep", type=Path, help="folder for the answers, from which a second call goes on")
    arguments = parser.parse_args()
    if not (arguments.data / "events.parquet").exists():
        parser.error(f"no events.parquet in {arguments.data}: name the folder with --data")
    shop, quick = journey(arguments.data), arguments.quick
    data, seeds = shop.data, arguments.seeds[:1] if quick else arguments.seeds
    most, kept = 4_000 if quick else arguments.most, Kept.at(arguments.keep, quick=quick)
    end = float(np.ceil(shop.days.max()))
    bought = shop.first
    weeks = questions(
        data.users[bought], data.items[bought], shop.days[bought], len(data.user_ids), len(data.item_ids),
        validation_from=end - 2 * WEEKS_2, test_from=end - WEEKS_2,
    )  # fmt: skip

    found: dict[tuple[str, Show], Values] = {}
    print(f"{'':<16}{'asked for':<10}{'recall@10':>10}{'ndcg@10':>9}{'mrr@10':>9}{'users':>7}  chosen")

    def show_row(name: str, show: Show, each: Values, chosen: str) -> None:
        found[name, show] = each
        means = "".join(f"{np.nanmean(one):>{width}.4f}" for one, width in zip(each.values(), (10, 9, 9), strict=True))
        print(f"{name:<16}{show:<10}{means}{len(each[NDCG]):>7,}  {chosen}", flush=True)

    for peer in peers(quick, most):
        theirs = kept.or_made(peer.name, partial(answers_of, peer, weeks))
        for show in Show:
            each = {metric: theirs[f"{show} {metric}"] for metric in METRICS}
            show_row(peer.name, show, each, theirs[f"{show} chosen"])

    coupon = coupons(shop, weeks.test[Show.ALL], end - WEEKS_2)
    seconds = []
    for name, tasks in ((SINGLE, ()), (MULTI, ("purchase", "coupon"))):
        epochs = kept.or_made(f"{name} epochs", partial(epochs_of_towers, shop, tasks, seeds[0], end, quick))["epochs"]
        asked = partial(answers_of_towers, shop, tasks, weeks, coupon, end, quick, epochs)
        ours = [kept.or_made(f"{name} {seed}", partial(asked, seed)) for seed in seeds]
        seconds += [one["seconds"] for one in ours]
        for show in Show:
            show_row(name, show, {key: np.mean([one[f"{show} {key}"] for one in ours], axis=0) for key in METRICS}, "")
        of_coupons = np.nanmean([one["coupons"] for one in ours])
        print(f"{name:<16}{'coupons':<10}{'':>10}{of_coupons:>9.4f}{'':>9}{len(coupon.users):>7,}")

    figures = figures_of(found)
    figures.append(Figure("training seconds, mean", float(np.mean(seconds))))
    notes = {"quick": quick, "seeds": seeds, "ease_products": most, "threads": torch.get_num_threads()}
    return 0 if report("journey", figures, **notes) else 1


def peers(quick: bool, most: int) -> list[Peer]:
    penalties = (500.0,) if quick else (200.0, 500.0)
    return [
        POPULARITY,
        own_counts(OWN_HALF_LIVES),
        als(64 if quick else 256, (10.0,) if quick else (10.0, 100.0), 1.0),
        ease(penalties, HALF_LIVES, most),
        *(() if quick else (neighbours(HALF_LIVES, (10.0, 30.0)),)),
    ]


def answers_of(peer: Peer, weeks: Weeks) -> dict[str, Any]:
    """On each question, with the settings that were best on its validation, fitted again on all before the test."""
    once, again, out = fitted_once(peer), fitted_once(peer), {}
    for show in Show:
        fitted = replace(choose(once, weeks.validation[show]), peer=again).again(weeks.test[show].live.counts())
        each = values(fitted.answer(weeks.test[show])[0], weeks.test[show])
        out |= {f"{show} {metric}": one for metric, one in each.items()}
        out[f"{show} chosen"] = f"strength {fitted.strength:g}, half-life {fitted.half_life:g} days"
    return out


def answers_of_towers(
    shop: DataSet, tasks: tuple[str, ...], weeks: Weeks, coupon: Questions, end: float, quick: bool, epochs: int,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """On each question by the first task, on coupons by the last, of weights that read all before the test."""
    moment = end - WEEKS_2
    trained = fit(shop, tasks, seed, shop.days >= moment, quick, epochs=epochs)
    known, now = part(shop.data, shop.days < moment), round(moment * 86_400)
    model, out = contender.of_users(trained.model, known, now), {"seconds": trained.seconds}
    for show in Show:
        each = values(model.answer(weeks.test[show], 10)[0], weeks.test[show])
        out |= {f"{show} {metric}": one for metric, one in each.items()}
    last = max(1, len(tasks)) - 1
    of_coupons = contender.of_users(trained.model, known, now, task=last).answer(coupon, 10)[0]
    return out | {"coupons": values(of_coupons, coupon)[NDCG]}


def fitted_once(peer: Peer) -> Peer:
    """The three questions read the same events, so that one fit of a strength does for all of them."""
    kept = {}

    def fit(counts, strength):  # type: ignore[no-untyped-def]
        if strength not in kept:
            kept[strength] = peer.fit(counts, strength)
        return kept[strength]

    return replace(peer, fit=fit)


def epochs_of_towers(shop: DataSet, tasks: tuple[str, ...], seed: int, end: float, quick: bool) -> dict[str, Any]:
    """How many epochs are best on the validation weeks, of weights that read what is before them."""
    moment = end - WEEKS_2
    validation = (moment - WEEKS_2 <= shop.days) & (shop.days < moment)
    return {"epochs": fit(shop, tasks, seed, shop.days >= moment, quick, validation=validation).best.number}


def fit(
    shop: DataSet, tasks: tuple[str, ...], seed: int, unused: np.ndarray, quick: bool, *,
    validation: np.ndarray | None = None, epochs: int | None = None,
) -> Trained:  # fmt: skip
    """Towers for as many epochs as are best on the `validation` (E,) of events, or else for `epochs`."""
    config = TowersConfig(shop.inputs).but(
        features={"base": True, "numbers": True, "popularity": True, "table_rows": 1 << 17, **HISTORY},
        network={"prior": True, "repeats": True, "pair": False, "tasks": tasks},
        loss={"temperature": 0.4, "negatives": 2048, "tag": 0.0},
        training={
            "horizon": WEEKS_2, "half_life": 90.0, "batch_size": 8192, "warmup_steps": 30, "shuffle_ties": False,
            "max_epochs": 3, "pretrain_epochs": 0, "validation_events": 50_000, "seed": seed,
        },
    )  # fmt: skip
    if quick:
        config = config.but(training={"max_epochs": 1, "validation_events": 1024})
        unused = unused | (shop.days < shop.days[~unused].max() - 2 * WEEKS_2)
    if epochs is not None:
        config = config.but(training={"max_epochs": epochs, "patience": epochs})
    if validation is None:
        validation = np.zeros(len(shop.days), bool)
    return train(shop.to_learn(tasks, validation, unused), config, progress=show_epoch)


def coupons(shop: DataSet, test: Questions, moment: float) -> Questions:
    """What a household buys with a coupon in the test weeks, among all products."""
    used = (shop.days >= moment) & (shop.data.behaviours == shop.inputs.behaviours.index("coupon"))
    return questions_of(test.learnt, test.live, shop.data.users[used], shop.data.items[used], Show.ALL)


def figures_of(found: dict[tuple[str, Show], Values]) -> list[Figure]:
    """Every mean; the towers less the best of the others on each question; many tasks less one."""
    figures = [Figure(f"{show} {name} {NDCG}", float(np.nanmean(each[NDCG]))) for (name, show), each in found.items()]
    ours = {SINGLE, MULTI}
    for show in Show:
        others = {name: each[NDCG] for (name, of), each in found.items() if of is show and name not in ours}
        best = max(others, key=lambda name: float(np.nanmean(others[name])))
        apart = metrics.difference(found[MULTI, show][NDCG], others[best])
        print(f"{show}: {MULTI} - {best} {NDCG}: {apart.mean:+.4f} ({apart.low:+.4f} to {apart.high:+.4f})")
        goal = (">=", 1e-9) if show is not Show.ALL else None
        figures.append(Figure(f"{show} {MULTI} - {best} {NDCG}, low end", apart.low, goal))
        tasks = metrics.difference(found[MULTI, show][NDCG], found[SINGLE, show][NDCG])
        print(f"{show}: {MULTI} - {SINGLE} {NDCG}: {tasks.mean:+.4f} ({tasks.low:+.4f} to {tasks.high:+.4f})")
        figures.append(Figure(f"{show} {MULTI} - {SINGLE} {NDCG}", tasks.mean, (">=", 0.0) if goal else None))
    return figures


def show_epoch(epoch: Epoch) -> None:
    print(
        f"  epoch {epoch.number:>2}  loss {epoch.loss:.3f}  ndcg@10 {epoch.ndcg:.4f}  {epoch.seconds:.0f} s", flush=True
    )


if __name__ == "__main__":
    sys.exit(main())
