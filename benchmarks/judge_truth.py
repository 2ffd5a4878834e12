"""What judges are worth against the truth of a demo shop: passports of the embedded model as a judge.

    python benchmarks/judge_truth.py [--quick] [--each 24] [--learn 40] [--tasks TASK ...] [--untuned]

Gold rows (`gold.py`) of two shops: one to tune and fit on, one to test on, with other users and items, none of its
categories, and other words in the defects. Of the first, the rows of held-out users fit thresholds and the others tune;
where they are too few to fit, thresholds are those of the criterion's own cases. On the second each judge is audited as
`recgpt judge audit` does it, on the criteria whose answers are known:

    bare       a yes/no question, yes from P(yes) one half on
    examples   after four examples, with fitted thresholds
    said       how likely the model finds the words, as a new project judges; only the criteria that have that form
    panel      the mean of the two that are fitted, where both can be asked
    tuned      bare again, after `recgpt tune judge`, with fitted thresholds
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gold
from figures import Figure, report, say
from gold import Answer, Shop
from gold_words import LEARNT, UNSEEN
from sqlalchemy.orm import Session

from judges import Criterion, Form, Threshold, load_criteria
from recgpt.audit import passport
from recgpt.audit.report import ALL, Report
from recgpt.engine.asking import LanguageModel
from recgpt.engine.open import open_engine
from recgpt.errors import EngineError
from recgpt.labels import panel, thresholds
from recgpt.labels.judging import UNFITTED, Asked, Judge, labels_of, read
from recgpt.labels.store import add, labelled
from recgpt.labels.targets import Target, load_targets
from recgpt.serving import JUDGE, Adapter, Serving
from recgpt.settings import Seat
from recgpt.stages.work import settle
from recgpt.tuning import judge_model, training
from recgpt.tuning.base import source_of
from recgpt.tuning.settings import Judging, Tuning
from recgpt.tuning.split import held_out, key_of
from recgpt.words import Task

GOALS = {Task.INTERESTS: 0.48, Task.TAGS: 0.75}  # kappa, the published tuned judges'
RULES = Tuning(judge=Judging(epochs=2, learning_rate=1e-3, batch_size=8, micro_batch=2, checkpoint_steps=20))
Cuts = Mapping[str, Threshold]  # by criterion


@dataclass(frozen=True)
class Setting:
    """A judge of the benchmark."""

    form: Form
    fitted: bool  # on the first shop's held-out users


SETTINGS = {"bare": Setting("verdict", False), "examples": Setting("examples", True), "said": Setting("said", True)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tags only, few rows")
    parser.add_argument("--each", type=int, default=24, help="right rows to test on, and as many with each defect")
    parser.add_argument("--learn", type=int, default=40, help="the same, to learn from")
    parser.add_argument("--tasks", nargs="*", type=Task, default=list(Task))
    parser.add_argument("--untuned", action="store_true", help="without the judge that is tuned")
    parser.add_argument("--seed", type=int, default=20261122)
    arguments = parser.parse_args()
    tasks, each, learn = arguments.tasks, arguments.each, arguments.learn
    if arguments.quick:
        tasks, each, learn = [Task.TAGS], 6, 10
    seen, unseen = gold.categories(arguments.seed)
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="recgpt-judges-") as folder:
        first = gold.shop(Path(folder) / "first", seed=arguments.seed, users=200, leaves=seen, half=LEARNT, each=learn)
        second = gold.shop(
            Path(folder) / "second", seed=arguments.seed + 1, users=160, leaves=unseen, half=UNSEEN, each=each
        )
        figures = asyncio.run(measure(first, second, tasks, [] if arguments.untuned else tasks))
    notes = {
        "seed": arguments.seed, "tasks": [str(task) for task in tasks], "each": each, "learn": learn,
        "unseen": unseen, "cpu_seconds_here": round(time.process_time() - began),
    }  # fmt: skip
    return 0 if report("judge_truth", figures, **notes) else 1


async def measure(first: Shop, second: Shop, tasks: Sequence[Task], tuning: Sequence[Task]) -> list[Figure]:
    figures = []
    async with open_engine(first.config, first.store) as model:
        for task in tasks:
            ids = {}
            for name, setting in SETTINGS.items():
                ids[name] = await sit(first, second, model, task, setting)
                figures += passport_figures(second, task, name, ids[name])
            members = [ids[name] for name, setting in SETTINGS.items() if setting.fitted]
            figures += passport_figures(second, task, "panel", sit_together(second, task, members))
    for task in tuning:
        served, took = tuned(first, task)
        async with open_engine(first.config, first.store, served=served) as model:
            judge = await sit(first, second, model, task, Setting("verdict", True))
        figures += passport_figures(second, task, "tuned", judge, GOALS.get(task))
        figures.append(Figure(f"{task}: seconds to tune", took))
    return figures


async def sit(first: Shop, second: Shop, model: LanguageModel, task: Task, setting: Setting) -> str:
    """Have a judge answer, on the first shop to fit its thresholds, on the second to be audited; gives its id."""
    judge = Judge(model, Seat(first.config.engine, setting.form, 1, 0.7))
    cuts: Cuts = {}
    if setting.fitted:
        name = await answer(first, judge, task, calibrating(first, task), {})
        if name in labelled(first.store, task):  # else it gave no verdict at all
            thresholds.fit(first.store, task, name)
        with contextlib.suppress(EngineError):  # no verdicts to fit on either: yes from one half on
            ready = await judge.ready(first.store, task, load_criteria(task, form=setting.form))
            cuts = {one.criterion.name: one.threshold for one in ready}
    return await answer(second, judge, task, [one for one in second.answers if one.task == task], cuts)


def calibrating(shop: Shop, task: Task) -> list[Answer]:
    """The answers that nothing is tuned on."""
    answers = [one for one in shop.answers if one.task == task]
    targets = targets_of(shop, task, answers)
    return [one for one in answers if held_out(_key(targets[one.target_id]), RULES)]


def _key(target: Target) -> str:
    return key_of(target.user_id, target.interest)


def targets_of(shop: Shop, task: Task, answers: Sequence[Answer]) -> dict[int, Target]:
    ids = {one.target_id for one in answers}
    return {one.id: one for one in load_targets(shop.store, shop.logs, shop.config, task, ids)}


async def answer(shop: Shop, judge: Judge, task: Task, answers: Sequence[Answer], cuts: Cuts) -> str:
    """Keep a judge's labels on the criteria whose answers are known."""
    criteria: dict[str, Criterion] = {one.name: one for one in load_criteria(task, form=judge.seat.form)}
    wanted: dict[int, list[Asked]] = defaultdict(list)
    for one in answers:
        if one.criterion in criteria:
            wanted[one.target_id].append(Asked(criteria[one.criterion], cuts.get(one.criterion, UNFITTED)))
    targets = targets_of(shop, task, answers)

    async def ask(number: int, asked: list[Asked]) -> None:
        target = targets[number]
        questions = judge.questions(target, asked)
        settled = await asyncio.gather(*(settle(judge.model, one) for one in questions))
        labels = labels_of(target, asked, read(asked, settled), judge.seat.form)
        for label in labels:
            label.request_hash = None  # the ledger is the first shop's
        with Session(shop.store) as session, session.begin():
            add(session, labels)

    await asyncio.gather(*(ask(number, asked) for number, asked in wanted.items()))
    return judge.id(task)


def sit_together(shop: Shop, task: Task, ids: Collection[str]) -> str:
    versions = {one.name: one.version for one in load_criteria(task)}
    said = [one.name for one in load_criteria(task, form="said")]
    members = {name: said if name.endswith("#said") else list(versions) for name in ids}
    rows = sorted({one.target_id for one in shop.answers if one.task == task})
    panel.sit(shop.store, task, members, versions, "mean", rows)
    return panel.panel_id(members, "mean")


def tuned(shop: Shop, task: Task) -> tuple[Serving, float]:
    """A judge tuned on the first shop's labels, as `recgpt tune judge` does it, and the seconds that took."""
    began = time.monotonic()
    config = shop.config.model_copy(update={"tuning": RULES})
    found, _ = judge_model.cases(shop.store, shop.logs, config, task)
    data = judge_model.build(found, RULES)
    made = training.tune(config, shop.store, "judge", task, data, source_of(config), progress=say)
    adapter = Adapter(made.name, made.version, made.folder)
    return Serving().with_adapter(JUDGE + task, adapter), time.monotonic() - began


def passport_figures(shop: Shop, task: Task, name: str, judge: str, goal: float | None = None) -> list[Figure]:
    form: Form = "said" if judge.endswith("#said") else "verdict"
    asked = {one.name for one in load_criteria(task, form=form)}
    known = sum(one.task == task and one.criterion in asked for one in shop.answers)
    if judge not in passport.judges(shop.store, task):
        return [Figure(f"{task}, {name}: kappa", None), Figure(f"{task}, {name}: cases without a verdict", known)]
    found: Report = passport.report_of(passport.audit(shop.store, task, judge))
    everything = found.groups[ALL]
    kappa, specificity = everything.figures["kappa"], everything.figures["specificity"]
    figures = [
        Figure(f"{task}, {name}: kappa", kappa.value, None if goal is None else (">=", goal)),
        Figure(f"{task}, {name}: kappa, low end", kappa.low),
        Figure(f"{task}, {name}: specificity", specificity.value),
        Figure(f"{task}, {name}: AUC", everything.figures["auc"].value),
        Figure(f"{task}, {name}: cases", everything.cases),
        Figure(f"{task}, {name}: cases without a verdict", known - everything.cases),
    ]
    if name == "tuned":
        figures += [
            Figure(f"{task}, tuned: kappa on {criterion}", group.figures["kappa"].value)
            for criterion, group in found.groups.items()
            if criterion != ALL
        ]
    return figures


if __name__ == "__main__":
    sys.exit(main())
