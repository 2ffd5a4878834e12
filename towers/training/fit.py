"""What is trained, step by step: the weights, their optimisers, and the best weights so far.

An epoch takes every event once, in a random order that all processes share. Dense weights are AdamW's; the two large
tables too, or they have a row-wise optimiser of their own, which touches only the rows of a batch (optimisers.py).
"""

import copy
import math
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from towers.checkpoint import Checkpoint
from towers.config import TowersConfig, TowersError, TrainingSettings
from towers.data import Prepared
from towers.model import ThreeTowers
from towers.training.distillation import Teacher
from towers.training.distributed import World
from towers.training.objective import Batch, Objective
from towers.training.optimisers import RowWiseAdagrad, RowWiseAdam
from towers.training.pretraining import freeze, pretrain_ids, reset
from towers.training.state import State, into_optimiser, of_optimiser
from towers.training.validation import validate
from towers.training.watch import ActivationWatch

WATCH_EVERY = 100  # steps
# A small shop's few events make few large batches, and too few steps to learn in; so its batches are smaller.
STEPS_AN_EPOCH, LEAST_BATCH = 100, 64
WARM_UP = 10  # of so many steps at most one warms up
_SEEDS = 1_000_003  # keeps the seeds of epochs and of runs apart


class Fit:
    """One training: `epoch` and `keep` as often as one likes, then `best`."""

    def __init__(
        self, ready: Prepared, config: TowersConfig, who: World, start: Checkpoint | None, teacher: Teacher | None
    ) -> None:
        self.config, self.who = config, who
        self.model = ThreeTowers(config).to(who.device)
        if start is not None:
            self.model.load_state_dict(start.model.state_dict())
        self.ready = self.model.observe(ready, measure=start is None)
        ties = self.ready.ties() if config.training.shuffle_ties else None
        self.ties = ties if ties is not None and len(ties) > ties[-1] + 1 else None
        self.objective = Objective(config, self.ready, who, teacher).to(who.device)
        self.optimisers = _optimisers(self.model, self.objective, config)
        if start is None and config.features.item_id and config.training.pretrain_epochs:
            self._pretrain()
        who.share(self.model)
        self.first_ids = [table.detach().clone() for table in self.model.id_tables()]
        self.averaged = copy.deepcopy(self.model).requires_grad_(False) if config.training.ema else None
        self.steps = 0
        self.all_steps = self.steps_an_epoch * config.training.max_epochs
        self.kept: dict[str, Tensor] = {}
        self.watch = ActivationWatch(self.model)

    @property
    def steps_an_epoch(self) -> int:
        events = len(self.ready.train)
        return math.ceil(events / min(self.config.training.batch_size, max(LEAST_BATCH, events // STEPS_AN_EPOCH)))

    @property
    def deviations(self) -> dict[str, float]:
        """Of the last step that was watched: the standard deviation of what each layer put out."""
        return self.watch.report()

    def epoch(self, number: int) -> float:
        """Every event once; the mean loss of the steps. Its chances follow from the seed and its number alone."""
        order = torch.Generator().manual_seed(_SEEDS * self.config.training.seed + number)
        torch.manual_seed(_SEEDS * (number + 1) + self.who.rank)  # dropout is each rank's own
        if self.ties is not None:
            self.objective.read(self.ready.shuffled(self.ties, order))
        self.model.train()
        total, steps = torch.zeros((), device=self.who.device), 0
        for batch in self.batches(order):
            total, steps = total + self.step(batch), steps + 1
        mean = self._finite(total / steps)
        after = self.config.training.ids_after_epoch
        if after == "freeze":
            freeze(self.model.id_tables())
        elif after == "reset":
            reset(self.model.id_tables(), self.first_ids, self.optimisers[-1])
        return mean

    def batches(self, order: torch.Generator) -> Iterator[Batch]:
        """All events once, or what they ask for, in random order, in equal parts."""
        ready = self.ready
        shuffled, moments = self.objective.asking.shuffled(ready.train, order)
        for places, asked in zip(shuffled.chunk(self.steps_an_epoch), moments.chunk(self.steps_an_epoch), strict=True):
            pairs = self._drawn(order, len(places) if self.objective.with_tags else 0, len(ready.tag_rows))
            negatives = self._drawn(order, self.objective.n_negatives, len(ready.features))
            yield Batch(places, pairs, negatives, asked)

    def step(self, batch: Batch) -> Tensor:
        """Learn from one batch; its loss before."""
        watched = self.steps % WATCH_EVERY == 0
        with self.watch if watched else nullcontext():
            loss: Tensor = self.objective(self.model, batch)
        if watched:
            self._finite(loss)
        self._step(loss)
        return loss.detach()

    def validate(self) -> tuple[float, float]:
        """Recall@10 and NDCG@10 of the weights as they would be kept."""
        self.objective.read(self.ready)
        return validate(self._shown, self.ready, self.objective.past)

    def keep(self) -> None:
        """These weights are the best."""
        self.kept = {name: value.detach().clone() for name, value in self._shown.state_dict().items()}

    def best(self) -> ThreeTowers:
        """The towers with the weights last kept."""
        self.model.load_state_dict(self.kept)
        return self.model

    @property
    def _shown(self) -> ThreeTowers:
        return self.model if self.averaged is None else self.averaged

    def _drawn(self, order: torch.Generator, count: int, below: int) -> Tensor:
        numbers = torch.randint(max(below, 1), (min(count, below),), generator=order)
        return numbers.to(self.who.device)

    def _step(self, loss: Tensor) -> None:
        rules = self.config.training
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        both = nn.ModuleList([self.model, self.objective])
        self.who.average(both)
        if rules.clip_norm:
            clip(both, rules.clip_norm)
        self.steps += 1
        rate = learning_rate(self.steps, self.all_steps, rules)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
        if self.averaged is not None:
            decay = min(rules.ema, (1 + self.steps) / (10 + self.steps))
            average(self.averaged, self.model, decay)

    def _finite(self, loss: Tensor) -> float:
        value = loss.item()
        if not math.isfinite(value):
            raise TowersError(
                f"the loss became {value} after {self.steps} steps: lower learning_rate (now "
                f"{self.config.training.learning_rate}) or raise temperature (now {self.config.loss.temperature})"
            )
        return value

    def _pretrain(self) -> None:
        ready, rules, ties = self.ready, self.config.training, self.ties
        order = torch.Generator().manual_seed(_SEEDS * rules.seed)  # as of an epoch before the first
        read = (ready if ties is None else ready.shuffled(ties, order) for _ in range(rules.pretrain_epochs))
        pretrain_ids(
            lambda rows: self.model.item_ids(ready.features.keys[rows]),
            self.optimisers[-1],
            (one.events for one in read),
            ready.train,
            len(ready.features),
            batch_size=rules.batch_size,
            seed=rules.seed,
        )
        self.optimisers = _optimisers(self.model, self.objective, self.config)

    def saved(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that `restore` needs, as tensors and plain values."""
        modules = {"model": self.model, "objective": self.objective} | (
            {"averaged": self.averaged} if self.averaged is not None else {}
        )
        tensors = {
            f"{part}/{name}": value for part, module in modules.items() for name, value in module.state_dict().items()
        }
        tensors |= {f"kept/{name}": value for name, value in self.kept.items()}
        tensors |= {f"first/{n}": value for n, value in enumerate(self.first_ids)}
        facts: dict[str, Any] = {"steps": self.steps, "optimisers": []}
        for n, optimiser in enumerate(self.optimisers):
            moments, others = of_optimiser(optimiser)
            tensors |= {f"optimiser {n}/{name}": value for name, value in moments.items()}
            facts["optimisers"].append(others)
        return tensors, facts

    def restore(self, found: State) -> None:
        """Go on as the training that wrote `found` would have."""
        self.model.load_state_dict(found.part("model"))
        self.objective.load_state_dict(found.part("objective"))
        if self.averaged is not None:
            self.averaged.load_state_dict(found.part("averaged"))
        self.kept = {name: value.to(self.who.device) for name, value in found.part("kept").items()}
        for first, value in zip(self.first_ids, found.part("first").values(), strict=True):
            first.copy_(value)
        self.steps = int(found.facts["steps"])
        for n, (optimiser, others) in enumerate(zip(self.optimisers, found.facts["optimisers"], strict=True)):
            into_optimiser(optimiser, found.part(f"optimiser {n}"), others)
        if self.config.training.ids_after_epoch == "freeze" and self.steps:
            freeze(self.model.id_tables())


def _optimisers(model: ThreeTowers, objective: Objective, config: TowersConfig) -> list[torch.optim.Optimizer]:
    """The last of them has the tables."""
    rules = config.training
    tables = {id(table) for table in model.tables()} if rules.tables != "adamw" else set()
    groups = [{"params": [p for p in model.parameters() if id(p) not in tables], "weight_decay": rules.weight_decay}]
    own = list(objective.parameters())
    if own:
        groups.append({"params": own, "weight_decay": 0.0})  # decay would draw a temperature towards 1
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=rules.learning_rate, fused=True)]
    if tables:
        kind = {"row_wise_adam": RowWiseAdam, "row_wise_adagrad": RowWiseAdagrad}[rules.tables]
        found.append(kind(model.tables(), lr=rules.learning_rate))
    return found


def learning_rate(step: int, steps: int, rules: TrainingSettings) -> float:
    """Of step 1, 2 ... of `steps`: up in a line while it warms up, then down in a line to final_rate at the last."""
    warm = min(rules.warmup_steps, steps // WARM_UP)
    if step < warm:
        return rules.learning_rate * step / warm
    left = (steps - step) / max(1, steps - warm)
    return rules.learning_rate * (rules.final_rate + (1 - rules.final_rate) * max(0.0, left))


def clip(model: nn.Module, most: float) -> float:
    """g <- g * min(1, most / |g|), |g| the norm of all gradients together, sparse ones included; returns |g|.

    Source: Pascanu et al., arXiv 1211.5063.
    """
    grads = []
    for parameter in model.parameters():
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()  # a row that was looked up twice has one gradient
        grads.append(parameter.grad.values() if parameter.grad.is_sparse else parameter.grad)
    norm = torch.stack([grad.norm() for grad in grads]).norm().item() if grads else 0.0
    if norm > most:
        for grad in grads:
            grad.mul_(most / norm)
    return norm


@torch.no_grad()
def average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """a <- decay * a + (1 - decay) * w for every weight; buffers are copied. Source: Polyak and Juditsky, 1992."""
    for mean, weight in zip(averaged.parameters(), model.parameters(), strict=True):
        mean.lerp_(weight, 1 - decay)
    for kept, buffer in zip(averaged.buffers(), model.buffers(), strict=True):
        kept.copy_(buffer)
