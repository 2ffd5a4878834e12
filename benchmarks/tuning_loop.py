"""Does tuning help? The packaged model on a demo shop: what passes before, after prompt tuning, after SFT, after DPO.

    python benchmarks/tuning_loop.py [--quick] [--full] [--judge rules|packaged] [--users N] [--tasks TASK ...]
                                     [--seed N] [--keep FOLDER]

One after the other, each from what serves by then: `tune prompts`, `tune sft`, `tune dpo`. Each version goes through
the gate, on held-out users and by the judge, and serves from then on if the gate promotes it. Beside the judge stands
the demo's truth. On rows of users that are not held out it stands for people who label: its labels fit the judge's
thresholds, make its passport, and are believed before the judge's by what adapters learn from. Of held-out users
nothing of the loop sees it. A row is right

    interests      if its evidence is of a category that is truly the user's, and its name is nearest to that category
    tags           if most of the five items nearest to it are of the category of its interest's evidence
    explanations   if what it says of the product, without product and interest, is nearest to the product's category

Nearest is by the sentence encoder; a category is described by its name, another name, and what its followers do
(`gold_words.py`). The judge is `rule_judge.py`, which knows the shop's categories but not its users, errs in a tenth of
its answers, and stands for a model that can judge; or the packaged one in the form `said`. Prompts are written by
`rule_reflector.py`, which stands for a model that can: the packaged one can't. Goals: where the truth's share starts
below .4 it at least doubles, and no step that the gate promoted is worse by the truth. `--full` is for a GPU.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, report, say
from gold_words import CATEGORIES
from rule_judge import MODEL as JUDGE
from rule_judge import serve, what_is_said
from rule_reflector import MODEL as REFLECTOR
from sqlalchemy import select
from sqlalchemy.orm import Session

from judges import Verdict
from recgpt import nightly
from recgpt.audit import passport
from recgpt.config import FILE_NAME, Config, load, night_of
from recgpt.engine.open import open_engine
from recgpt.errors import DataError
from recgpt.evaluation import truth
from recgpt.labels import thresholds
from recgpt.labels.sampling import Drawing
from recgpt.labels.store import add
from recgpt.labels.targets import TABLES, Target, target
from recgpt.project import demo_settings
from recgpt.serving import Serving
from recgpt.settings import OtherModel, PanelJudge
from recgpt.sources.demo import make_shop
from recgpt.sources.prepare import prepare
from recgpt.stages.night import Night
from recgpt.stages.texts import evidence_rows, leaf, product
from recgpt.stages.verdicts import criteria
from recgpt.stopping import Stopping
from recgpt.store.session import open_store
from recgpt.store.tables import Interest, Label, now
from recgpt.tuning.at_work import at_work
from recgpt.tuning.compare import Rules, evaluate, serving_with
from recgpt.tuning.gate import AIM, decide
from recgpt.tuning.models import Wanted, tune_model
from recgpt.tuning.promote import find, promote
from recgpt.tuning.prompts import tune
from recgpt.tuning.settings import Dpo, Lora, Method, Prompts, Tuning
from recgpt.tuning.split import held_out, key_of
from recgpt.tuning.trial import Inputs, Turns, inputs, turns, values
from recgpt.vectors import Encoder
from recgpt.words import JudgeKind, Stage, State, Task

NIGHT = date(2026, 9, 15)
SHOP_USERS = 400
NEAREST = 5
TRUTH = "truth"
LABELLER = f"{JudgeKind.HUMAN}:truth"
STEPS = ("prompts", "sft", "dpo")
STAGES = [Stage.INTERESTS, Stage.TAGS, Stage.TOWERS, Stage.SCORE, Stage.EXPLAIN]
NEEDED = {Task.INTERESTS: 1, Task.TAGS: 2, Task.EXPLANATIONS: 5}  # of the stages, from the first
LOW = 0.4  # from below it the share is to double
JUDGED = {Task.INTERESTS: ("grounded",), Task.TAGS: ("relevant",), Task.EXPLANATIONS: ("relevant",)}  # by rules


@dataclass(frozen=True)
class Size:
    users: int  # whose night is run
    share: float  # of its rows that are judged and labelled, for the judge's thresholds and its passport
    rounds: int
    chosen_by: int  # users, for prompts, and as many to learn from
    samples: int  # further answers to each question
    epochs: int
    rank: int


QUICK = Size(users=9, share=0.4, rounds=1, chosen_by=3, samples=1, epochs=1, rank=4)
SMALL = Size(users=40, share=1.0, rounds=4, chosen_by=8, samples=2, epochs=2, rank=16)
FULL = Size(users=400, share=0.5, rounds=40, chosen_by=60, samples=8, epochs=3, rank=32)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tags of 9 users: that all of it works")
    parser.add_argument("--full", action="store_true", help="all users of the shop; wants a GPU")
    parser.add_argument("--judge", choices=("rules", "packaged"), default="rules")
    parser.add_argument("--users", type=int, help="whose night is run")
    parser.add_argument("--tasks", nargs="+", type=Task, default=list(Task))
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--keep", type=Path, help="a folder to work in; the same command goes on there")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL if arguments.full else SMALL
    users = arguments.users or size.users
    tasks = [Task.TAGS] if arguments.quick else arguments.tasks
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="recgpt-loop-") as made, reflector() as base_url:
        config = project(arguments.keep or Path(made), arguments.seed, size, base_url)
        nightly.run(config, STAGES[: max(NEEDED[task] for task in tasks)], day=NIGHT, users=users)
        if arguments.judge == "rules":
            config = judged_by_rules(config)
        nightly.run(config, [Stage.JUDGE], day=NIGHT, judging=Drawing(tuple(tasks)))
        with at_work(config, "benchmarks/tuning_loop.py", NIGHT, say) as (night, stopping):
            for task in tasks:
                found = Loop(night, stopping, task, size).run()
                figures += found
                print(*found, sep="\n", file=sys.stderr, flush=True)  # the next task may take an hour
    notes = {
        "seed": arguments.seed,
        "judge": arguments.judge,
        "users": users,
        "shop_users": SHOP_USERS,
        "size": vars(size),
        "night": str(NIGHT),
    }
    return 0 if report("tuning_loop", figures, **notes) else 1


@contextmanager
def reflector() -> Iterator[str]:
    """The URL of a rule-following reflector, in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("rule_reflector.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


def project(folder: Path, seed: int, size: Size, base_url: str) -> Config:
    if not (folder / FILE_NAME).exists():
        make_shop(folder, users=SHOP_USERS, seed=seed, until=NIGHT)
        (folder / FILE_NAME).write_text(demo_settings(), encoding="utf-8")
    config = load(folder)
    few = {"train": size.chosen_by, "validation": size.chosen_by, "rounds": size.rounds}
    method = {"epochs": size.epochs, "batch_size": 8}
    rules = Tuning(
        held_out=0.4,
        prompts=Prompts(**few, reflection=OtherModel(base_url=base_url, model=REFLECTOR, revision="1")),
        lora=Lora(rank=size.rank, alpha=2 * size.rank, dropout=0.0),
        sft=Method(**method),
        dpo=Dpo(batch_size=8, epochs=1),  # four passes a pair: two answers, before two models
    )
    return config.model_copy(update={"tuning": rules, "judge": config.judge.model_copy(update={"share": size.share})})


def judged_by_rules(config: Config) -> Config:
    """The config with the judge of rules, which answers from now on in a thread of this process."""
    night = Night(config, open_store(config), prepare(config), NIGHT)
    server = serve(Truth(night, Encoder(config.encoder_path, config.work_folder / "judging")))  # one for each thread
    judge = PanelJudge(base_url=server.base_url, model=JUDGE, revision="1", form="verdict")
    return config.model_copy(
        update={"judge": config.judge.model_copy(update={"panel": (judge,), "criteria": JUDGED, "votes": 1})}
    )


class Truth:
    """The right verdict on a row."""

    def __init__(self, night: Night, encoder: Encoder | None = None) -> None:
        catalogue = night.logs.catalogue
        self.night, self.encoder, self.vectors = night, encoder or night.encoder, night.vectors
        self.true = truth.read_truth(night.config.folder / "truth" / "interests.parquet", night_of(NIGHT))
        paths = sorted(set(catalogue.categories))
        self.leaves = [leaf(path) for path in paths]
        described = [f"{name}. {'. '.join(CATEGORIES[name])}" for name in self.leaves]
        self.described, self.named = self.encoder.encode(described), self.encoder.encode(self.leaves)
        self.of_product = {product(catalogue, row): leaf(catalogue.categories[row]) for row in range(len(catalogue))}
        by_name: dict[str, Counter[str]] = {}
        with Session(night.store) as session:
            for one in session.scalars(select(Interest).where(Interest.state == State.ACTIVE)):
                rows = evidence_rows(catalogue, one.evidence)
                by_name.setdefault(one.name, Counter()).update(leaf(catalogue.categories[row]) for row in rows)
        self.of_name = {name: counts.most_common(1)[0][0] for name, counts in by_name.items() if counts}

    async def judge(self, one: Target) -> Mapping[str, Verdict]:
        return {TRUTH: Verdict(self.right(one), None, None)}

    def right(self, one: Target) -> bool:
        match one.task:
            case Task.INTERESTS:
                lines = Counter(line.removeprefix("- ").partition(":")[0] for line in one.given.splitlines())
                mine = {leaf(path).lower() for path in self.true.get(one.user_id or "", {})}
                category = lines.most_common(1)[0][0]
                return category in mine and self.category_named(one.claim).lower() == category
            case Task.TAGS:
                return self.category_of_tag(one.claim) == self.of_name.get(one.interest)
            case Task.EXPLANATIONS:
                thing = one.given.partition("Product: ")[2]
                return self.category_described(what_is_said(one.claim, one.interest)) == self.of_product.get(thing)

    def category_named(self, name: str) -> str:
        return self._nearest(name, self.named)

    def category_described(self, text: str) -> str:
        return self._nearest(text, self.described)

    def category_of_tag(self, tag: str) -> str:
        scores = self.vectors @ self.encoder.encode([tag])[0]
        rows = np.argsort(-scores, kind="stable")[:NEAREST].tolist()
        return Counter(leaf(self.night.logs.catalogue.categories[row]) for row in rows).most_common(1)[0][0]

    def category_of_product(self, phrase: str) -> str:
        return self.of_product.get(phrase) or self.category_of_tag(phrase)

    def _nearest(self, text: str, among: Any) -> str:
        return self.leaves[int(np.argmax(among @ self.encoder.encode([text])[0]))]


class Loop:
    """One task's steps."""

    def __init__(self, night: Night, stopping: Stopping, task: Task, size: Size) -> None:
        self.night, self.stopping, self.task, self.size = night, stopping, task, size
        self.truth = Truth(night)
        self.rules = Rules(force=True)

    def run(self) -> list[Figure]:
        figures = self.passport()
        given = inputs(self.night, self.task, self.rules.users)
        best = self.turns(given, self.night.serving)
        first = self.share(best, best, given)
        figures += [Figure(f"{self.task}, before: truth", first), Figure(f"{self.task}: held out", len(given.keys))]
        for step in STEPS:
            began = time.monotonic()
            version = self.make(step)
            figures.append(Figure(f"{self.task}, {step}: seconds", round(time.monotonic() - began)))
            if version is None:
                figures.append(Figure(f"{self.task}, {step}: a version", 0))
                continue
            gate = self.stopping.run(evaluate(self.night, find(self.night.store, version), self.rules))
            if gate.decision.promoted:
                promote(self.night.store, version, force=True)  # this judge is what it is, and its kappa stands above
            with Session(self.night.store) as session:
                tried = serving_with(self.night, session, find(self.night.store, version))
            made = self.turns(given, tried)
            apart = self.apart(made, best, given)
            rise = gate.decision.differences[AIM]
            goal = (">=", 0.0) if gate.decision.promoted else None
            figures += [
                Figure(f"{self.task}, {step}: truth", self.share(made, best, given)),
                Figure(f"{self.task}, {step}: truth, less what served", apart.mean, goal),
                Figure(f"{self.task}, {step}: the same, low end", apart.low),
                Figure(f"{self.task}, {step}: the same, high end", apart.high),
                Figure(f"{self.task}, {step}: judge, less what served", rise.mean),
                Figure(f"{self.task}, {step}: promoted", float(gate.decision.promoted)),
            ]
            if gate.decision.promoted:
                best = made
                self.night = self.night.like(trial=None)
        after = self.share(best, best, given)
        goal = (">=", 0.0) if first < LOW else None
        return [
            *figures,
            Figure(f"{self.task}, at the end: truth", after),
            Figure(f"{self.task}, at the end: truth, less twice that before", after - 2 * first, goal),
        ]

    def make(self, step: str) -> str | None:
        """A version, or None where there was nothing to make one of."""
        try:
            if step == "prompts":
                return tune(self.night, self.task, self.stopping, self.rules).version
            wanted = Wanted(
                "sft" if step == "sft" else "dpo",
                self.task,
                "base" if step == "sft" else "serving",
                samples=self.size.samples,
                users=self.size.users,
                force=True,
            )
            return tune_model(self.night, self.stopping, wanted).version
        except DataError as error:
            print(f"{self.task}, {step}: {error}", flush=True)
            return None

    def turns(self, given: Inputs, served: Serving) -> Turns:
        """What a version makes, with the truth of it. All of it is in the ledger, once the gate has seen it."""

        async def made() -> Turns:
            async with open_engine(self.night.config, self.night.store, served=served) as model:
                return await turns(self.night, given, served, model, self.truth.judge)

        return self.stopping.run(made())

    def share(self, made: Turns, other: Turns, given: Inputs) -> float:
        return float(np.nanmean(values(made, other, given.keys, [TRUTH])[TRUTH]))

    def apart(self, new: Turns, old: Turns, given: Inputs) -> Any:
        both = (values(new, old, given.keys, [TRUTH]), values(old, new, given.keys, [TRUTH]))
        return decide(*both, aim=TRUTH).differences[TRUTH]

    def passport(self) -> list[Figure]:
        """Label the night's rows of users that are not held out by the truth; fit the judge's thresholds; audit it."""
        night, rules, table = self.night, self.night.config.tuning, TABLES[self.task]
        asked = criteria(night.config, night.config.seats[0], self.task)
        with Session(night.store) as session, session.begin():
            rows = session.scalars(select(table).where(table.state == State.ACTIVE).order_by(table.id)).all()
            targets = [target(night.config, night.logs, session, row) for row in rows]
            learnt = [one for one in targets if not held_out(key_of(one.user_id, one.interest), rules)]
            labels = [
                Label(
                    task=self.task, target_id=one.id, criterion=criterion.name, verdict=self.truth.right(one),
                    kind=JudgeKind.HUMAN, judge=LABELLER, prompt_version=criterion.version, created_at=now(),
                )
                for one in learnt
                for criterion in asked
            ]  # fmt: skip
            add(session, labels)
        names = [name for name in passport.judges(night.store, self.task) if name != LABELLER]
        figures = []
        for name in names:
            thresholds.fit(night.store, self.task, name)
            found = passport.audit(night.store, self.task, name)
            figures += [
                Figure(f"{self.task}, judge: kappa", found.kappa),
                Figure(f"{self.task}, judge: specificity", found.specificity),
                Figure(f"{self.task}, judge: cases", found.n),
            ]
        return figures


if __name__ == "__main__":
    sys.exit(main())
