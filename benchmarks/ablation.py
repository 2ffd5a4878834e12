"""Every block of the towers switched on alone against a small base, on two data sets: what it does, what it costs.

    python benchmarks/ablation.py [--data beauty] [--out FILE] [--only history losses/gBCE ...] [--quick]
    python benchmarks/ablation.py --table FILE ...

The base and its variants are listed in ablation_variants.py. All are trained on the same events and asked the same:

- beauty: leave one out, all 22,363 users. Weights learn from what is before each user's last two events, the second
  last is asked for among all items that the user never had.
- journey: weights learn from the three weeks that end four weeks before the end of the log (all earlier events stand in
  the histories), and what the households buy in the two weeks after them is asked for: new products among those never
  had, repeats among those had. The catalogue is too large there for the full softmax.

The table holds differences in NDCG@10 from the base on these validation events, with 95 % intervals of a paired
bootstrap over users, and the seconds of training. Defaults are chosen by this table, so it can't judge them: the test,
which no choice has seen, is asked of the base and the shipped default only. An interval knows nothing of the chance in
a training; how much that is, the rows of other seeds show. The epoch that is kept is the best on a sample of the
validation, for every variant alike.

--out keeps each result as a line of JSON as soon as it is there. Called again, what stands there with the same settings
is not measured again. The file holds a number for each user of the data set, so it stays out of the repository.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from ablation_records import Record, figures_of, finished, keep, markdown, rows, settings_hash
from ablation_variants import BASE, DEFAULT, QUICK, Variant, chosen, config_of, possible, teacher_of
from beauty import with_vectors
from figures import report
from journey import WEEKS_2
from public_data import BEAUTY, DATA, JOURNEY, Array, DataSet, beauty, journey

from recgpt.evaluation import contender, leave_one_out, metrics, next_weeks
from recgpt.evaluation.contender import part
from recgpt.evaluation.ranking import Questions, Show
from recgpt.evaluation.splits import leave_one_out as last_two
from towers.checkpoint import Checkpoint
from towers.config import TowersConfig
from towers.data import TrainingData
from towers.model import ThreeTowers
from towers.training.loop import train

CUT = 10
WEEKS = 3  # of journey that are learnt from
QUICK_USERS, QUICK_WEEKS = 4_000, 1


@dataclass(frozen=True)
class Exam:
    """The questions, and what is known when they are asked."""

    known: TrainingData
    moments: Array | int
    questions: dict[str, Questions]  # by name


@dataclass(frozen=True)
class Ground:
    """A data set as all variants see it."""

    name: str
    shop: DataSet
    held_out: Array  # (E,) bool, the validation
    unused: Array  # (E,) bool, neither learnt from nor validated on
    validation: Exam
    test: Exam
    repeats: bool = False  # people buy the same things again

    @property
    def sizes(self) -> dict[str, int]:
        """What makes results comparable, beside the settings."""
        events = int((~self.held_out & ~self.unused).sum())
        return {"events": events} | {name: len(one.users) for name, one in self.validation.questions.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=list(GROUNDS), default=list(GROUNDS), help="the data set, or both")
    parser.add_argument("--out", type=Path, help="JSON lines of the results, to go on from and for --table")
    parser.add_argument("--only", nargs="+", default=[], help="these groups or group/variants, beside the base")
    parser.add_argument("--quick", action="store_true", help="a few variants, one epoch, few users and weeks")
    parser.add_argument("--folder", type=Path, default=DATA, help="folder with both data sets")
    parser.add_argument("--table", type=Path, nargs="+", help="print the table of these files and measure nothing")
    arguments = parser.parse_args()
    if arguments.table:
        print(markdown([record for file in arguments.table for record in finished(file)]))
        return 0
    try:
        variants = chosen(arguments.only or (QUICK if arguments.quick else ()))
    except ValueError as unknown:
        parser.error(str(unknown))
    records = []
    for name in arguments.data:
        if not (arguments.folder / FOLDERS[name] / "events.parquet").exists():
            parser.error(f"no {FOLDERS[name]}/events.parquet in {arguments.folder}: name the folder with --folder")
        records += measure_all(name, variants, arguments.folder, arguments.out, quick=arguments.quick)
    print("\n" + markdown(records))
    notes = {"quick": arguments.quick, "threads": torch.get_num_threads(), "rows": rows(records)}
    return 0 if report("ablation", figures_of(records), **notes) else 1


def measure_all(name: str, variants: Sequence[Variant], folder: Path, out: Path | None, *, quick: bool) -> list[Record]:
    @cache
    def ground(vectors: bool) -> Ground:
        return GROUNDS[name](folder / FOLDERS[name], vectors, quick)

    plain = ground(False)
    inputs, repeats = plain.shop.inputs, plain.repeats
    known = finished(out) if out is not None else []
    found: list[Record] = []
    for variant in variants:
        if not possible(variant, inputs, len(plain.shop.data.item_ids), repeats=repeats):
            continue
        config, teacher = config_of(variant, inputs, repeats=repeats), teacher_of(variant, inputs, repeats=repeats)
        if quick:
            config = config.but(training={"max_epochs": 1})
            teacher = teacher and teacher.but(training={"max_epochs": 1})
        mark = settings_hash(name, plain.sizes, config, teacher)
        base = found[0]["hash"] if found else mark  # the base is always the first
        old = [one for one in known if (one["hash"], one["base"], one["key"]) == (mark, base, variant.key)]
        if old:
            found.append(old[-1])
        else:
            tested = variant == BASE or variant.group == DEFAULT.group
            made = measure(ground(config.inputs.vector_dim > 0), config, teacher, test=tested)
            found.append({"data": name, "key": variant.key, "hash": mark, "base": base, "sizes": plain.sizes} | made)
            if out is not None:
                keep(out, found[-1])
        means = ", ".join(f"{question} {np.mean(each):.4f}" for question, each in found[-1]["validation"].items())
        print(f"{name}  {variant.key:<44} {means}  {found[-1]['seconds']:.0f} s", flush=True)
    return found


def measure(ground: Ground, config: TowersConfig, larger: TowersConfig | None, *, test: bool) -> Record:
    """Train, and ask."""
    teacher, seconds = None, 0.0
    data = ground.shop.to_learn(config.network.tasks, ground.held_out, ground.unused)
    if larger is not None:
        taught = train(data, larger)
        teacher, seconds = Checkpoint(taught.model, larger, {}, "", ""), taught.seconds
    trained = train(data, config, teacher=teacher)
    found: Record = {
        "seconds": round(seconds + trained.seconds, 1),
        "epochs": len(trained.epochs),
        "best": trained.best.number,
        "validation": asked(trained.model, ground.validation),
    }
    return found | ({"test": asked(trained.model, ground.test)} if test else {})


def asked(model: ThreeTowers, exam: Exam) -> dict[str, list[float]]:
    """NDCG@10 of each user, by question. Of several tasks, that of the first behaviour answers."""
    tasks, first = model.config.network.tasks, model.config.inputs.behaviours[0]
    ours = contender.of_users(model, exam.known, exam.moments, task=tasks.index(first) if first in tasks else 0)
    return {
        name: np.round(metrics.ndcg(ours.answer(one, CUT)[0], one.wanted, CUT), 5).tolist()
        for name, one in exam.questions.items()
    }


def on_beauty(folder: Path, vectors: bool, quick: bool) -> Ground:
    shop = beauty(folder)
    if quick:
        kept = shop.data.users < QUICK_USERS
        shop = replace(shop, data=part(shop.data, kept), days=shop.days[kept])
    shop = with_vectors(shop) if vectors else shop
    data = shop.data
    both = leave_one_out.questions(data.users, data.items, len(data.user_ids), len(data.item_ids))
    before = part(data, ~last_two(data.users).test)  # its last events are the validation
    learnt = leave_one_out.for_training(data)
    return Ground(
        "beauty",
        shop,
        learnt.held_out,
        learnt.unused,
        Exam(*leave_one_out.for_histories(before), {"all": both.validation}),
        Exam(*leave_one_out.for_histories(data), {"all": both.strict}),
    )


def on_journey(folder: Path, vectors: bool, quick: bool) -> Ground:
    shop = journey(folder)
    shop = with_vectors(shop) if vectors else shop
    data, days = shop.data, shop.days
    end = float(np.ceil(days.max()))
    validation, test = end - 2 * WEEKS_2, end - WEEKS_2
    bought = shop.first
    weeks = next_weeks.questions(
        data.users[bought], data.items[bought], days[bought], len(data.user_ids), len(data.item_ids),
        validation_from=validation, test_from=test,
    )  # fmt: skip
    begin = validation - 7 * (QUICK_WEEKS if quick else WEEKS)

    def exam(moment: float, questions: dict[Show, Questions]) -> Exam:
        parts = {str(show): questions[show] for show in (Show.NEW, Show.REPEATS)}
        return Exam(part(data, days < moment), round(moment * 86_400), parts)

    return Ground(
        "journey",
        shop,
        (validation <= days) & (days < test),
        (days < begin) | (days >= test),
        exam(validation, weeks.validation),
        exam(test, weeks.test),
        repeats=True,
    )


GROUNDS: dict[str, Callable[[Path, bool, bool], Ground]] = {"beauty": on_beauty, "journey": on_journey}
FOLDERS = {"beauty": BEAUTY.name, "journey": JOURNEY.name}


if __name__ == "__main__":
    sys.exit(main())
