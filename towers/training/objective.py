"""The loss of one batch: what is encoded, and the terms that are summed.

    L = L_user-item + sum of weight * L_term        over tag, category, corruption, chain and distillation

With network.repeats L_user-item is that of what was new, and L_own (own.py) is one more term.

Where the network has two members, each learns by itself: terms of vectors that meet are taken of each member's own, and
the mean of both is the term. A loss of the summed score would let one member lean on the other.

An event is asked for from what its user did before it, or before the days that it lies in (questions.py); in a batch
each item is encoded once, whatever it is used for.
Encoding may run in bf16, losses are fp32. With several processes each encodes its part of the batch, and every one has
the loss of the whole (training/distributed.py).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from towers.config import NetworkSettings, TowersConfig
from towers.data import Prepared
from towers.encoders.history import Window
from towers.features import ItemFeatures, TextFeatures, UserFeatures
from towers.losses.category import category_contrast
from towers.losses.chain import chain_loss
from towers.losses.corruption import info_nce, masked_views
from towers.losses.full_softmax import full_softmax
from towers.losses.gbce import gbce
from towers.losses.mixed import drawn_hits, log_mixture, mixed_softmax
from towers.losses.sampled_softmax import accidental_hits, log_frequency, sampled_softmax, shared_softmax
from towers.losses.temperature import Temperature
from towers.model import ThreeTowers, part_of
from towers.repeats import Past, past
from towers.training.distillation import AuxiliaryHead, Teacher, distillation
from towers.training.distributed import World
from towers.training.own import Had, had_before, own_loss
from towers.training.questions import Asking, among, first_of


@dataclass(frozen=True)
class Batch:
    """What one step reads, the same in every process."""

    places: Tensor  # (B,) positions of events
    pairs: Tensor  # (P,) of an item and a tag
    negatives: Tensor  # (S,) item rows, drawn evenly
    moments: Tensor  # (B,) seconds, from which the events are asked for

    def split(self, who: World) -> tuple["Batch", "Batch"]:
        """In the order in which the processes' parts are joined, and this process's part."""
        columns = (self.places, self.pairs, self.negatives, self.moments)
        joined = (torch.cat([column[rank :: who.size] for rank in range(who.size)]) for column in columns)
        return Batch(*joined), Batch(*(who.part(column) for column in columns))


@dataclass(frozen=True)
class BatchInputs:
    """What the towers read of a batch. Its M items are there once each; if the loss asks for all, the catalogue."""

    items: ItemFeatures  # (M,)
    people: UserFeatures  # (Q,) of the questions
    window: Window  # (Q, H) places among the M
    rows: Tensor  # (B,) the events' questions
    tags: TextFeatures | None  # (P,)
    targets: Tensor  # (B,) places among the M of the events' items
    negatives: Tensor  # (S,)
    described: Tensor  # (P,)


@dataclass(frozen=True)
class Encoded:
    """Unit vectors of a batch."""

    asked: Tensor  # (B, T, D) of users
    wanted: Tensor  # (B, D) of the events' items
    negatives: Tensor  # (S, D)
    tags: Tensor  # (P, D)
    described: Tensor  # (P, D) of the items that the tags describe

    def members(self, network: NetworkSettings) -> Iterator["Encoded"]:
        """The parts that each of the network's members made, as unit vectors again."""
        for member in range(network.members):
            yield Encoded(*(part_of(getattr(self, one.name), member, network) for one in fields(self)))


class Objective(nn.Module):
    """L, with what it learns itself. That is left behind after training."""

    def __init__(self, config: TowersConfig, ready: Prepared, who: World, teacher: Teacher | None = None) -> None:
        super().__init__()
        self.config, self.loss, self.who, self.teacher = config, config.loss, who, teacher
        self.log_q_items = log_frequency(ready.events.items[ready.train], len(ready.features))  # (N,)
        self.log_q_tags = log_frequency(ready.tag_items, len(ready.features))  # (N,)
        tasks = {name: task for task, name in enumerate(config.network.tasks)}
        codes = [tasks.get(name, 0) for name in config.inputs.behaviours]
        self.task_of = torch.tensor(codes, device=who.device)  # (K,)
        self.past: Past | None = None
        self.read(ready)
        self.temperature = Temperature(self.loss.temperature, learnt=self.loss.learn_temperature)
        self.auxiliary = AuxiliaryHead(config.network.width) if teacher is not None else None
        self.user_item = self.loss.user_item
        if self.user_item == "auto":
            small = len(ready.features) <= self.loss.full_items and not config.network.repeats
            self.user_item = "full" if small else "mixed"
        log_odds = torch.tensor(-math.log(max(1, len(ready.features) - 1)))  # of one item among all
        self.bias = nn.Parameter(log_odds) if self.user_item == "gbce" else None
        self.chain_bias = nn.Parameter(torch.zeros(len(tasks))) if self.loss.chain else None

    def read(self, ready: Prepared) -> None:
        """From now on these data: the same, with ties in another order."""
        self.ready, self.asking = ready, Asking(ready, self.config.training.horizon)
        if self.config.network.repeats:
            self.past = past(ready.events, len(self.config.inputs.behaviours))

    @property
    def with_tags(self) -> bool:
        """Whether pairs of an item and a tag are learnt from."""
        return len(self.ready.tag_rows) > 0 and max(self.loss.tag, self.loss.category) > 0

    @property
    def n_negatives(self) -> int:
        """Items to draw for a batch."""
        return self.loss.negatives if self.user_item in ("mixed", "gbce") else 0

    def forward(self, model: ThreeTowers, batch: Batch) -> Tensor:
        """L of a batch, a scalar."""
        half = self.config.training.precision == "bf16" and self.who.device.type == "cuda"
        whole, mine = batch.split(self.who)
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            found, catalogue = self._encode(model, self.inputs(mine))
            views = self._views(model, mine) if self.loss.corruption else None
        found = Encoded(*(self.who.gather(getattr(found, part.name)) for part in fields(found)))

        had, network = self._had(whole), self.config.network
        loss = torch.zeros((), device=self.who.device)
        for member, parts in enumerate(found.members(network)):
            term = self._user_item(whole, parts, part_of(catalogue, member, network), had)
            if len(whole.pairs) and self.loss.tag:
                term = term + self.loss.tag * self._tag(whole, parts)
            if len(whole.pairs) and self.loss.category:
                term = term + self.loss.category * self._category(whole, parts)
            if self.chain_bias is not None:
                term = term + self.loss.chain * self._chain(whole, parts, self.chain_bias)
            loss = loss + term / network.members
        if model.repeats is not None and had is not None:
            habits, items = self.ready.features.habits, torch.cat([found.wanted, found.negatives])
            shares, weights = self._log_shares(whole), self.ready.weights[whole.places]
            loss = loss + own_loss(
                model.repeats, habits, had, found.asked[:, 0], items, shares, self.temperature(), weights
            )
        if views is not None:
            loss = loss + self.loss.corruption * info_nce(*views, self.temperature())
        if self.auxiliary is not None and self.teacher is not None:
            loss = loss + self.loss.distillation * self._distillation(whole, found, self.auxiliary, self.teacher)
        return loss

    def inputs(self, batch: Batch) -> BatchInputs:
        """Looked up in the data."""
        ready, read = self.ready, self.config.features
        asked = self.asking.questions(batch.places, batch.moments)
        window = ready.events.before(asked.ends, asked.users, read.history, asked.moments)
        targets, described = self._targets(batch), ready.tag_items[batch.pairs]
        parts = [targets, batch.negatives, described, window.items.flatten().clamp(min=0)]
        wanted, lengths = torch.cat(parts), [len(part) for part in parts]
        # (M,) catalogue rows, each once, and where among them each wanted one stands.
        rows, places = (None, wanted) if self.user_item == "full" else torch.unique(wanted, return_inverse=True)
        of_targets, of_negatives, of_described, of_window = torch.split(places, lengths)
        return BatchInputs(
            items=ready.features if rows is None else ready.features.select(rows),
            people=ready.people.select(asked.users),
            window=replace(window, items=torch.where(window.items >= 0, of_window.view_as(window.items), -1)),
            rows=asked.rows,
            tags=None if ready.tags is None else ready.tags.select(ready.tag_rows[batch.pairs]),
            targets=of_targets,
            negatives=of_negatives,
            described=of_described,
        )

    def _encode(self, model: ThreeTowers, read: BatchInputs) -> tuple[Encoded, Tensor]:
        """The vectors of a batch, and (M, D) those of all its items."""
        vectors = model.items(read.items)  # (M, D)
        encoded = Encoded(
            asked=model.users(read.people, read.window, vectors)[read.rows],
            wanted=vectors[read.targets],
            negatives=vectors[read.negatives],
            tags=model.tags(read.tags) if read.tags is not None and len(read.tags) else vectors[:0],
            described=vectors[read.described],
        )
        return encoded, vectors

    def _had(self, batch: Batch) -> Had | None:
        """None: towers without a score of its own for what was had before."""
        if self.past is None:
            return None
        asked = self.asking.questions(batch.places, batch.moments)
        return had_before(self.past, asked, self._targets(batch), self._sampled(batch))

    def _user_item(self, batch: Batch, found: Encoded, catalogue: Tensor, had: Had | None) -> Tensor:
        targets, weights, t = self._targets(batch), self.ready.weights[batch.places], self.temperature()
        asked, n_items = (
            found.asked[torch.arange(len(targets), device=targets.device), self._tasks(batch)],
            len(self.log_q_items),
        )
        if self.user_item == "full":
            return full_softmax(asked, catalogue, targets, t, weights)
        if self.asking.stretch and self.user_item in ("mixed", "in_batch"):
            return self._shared(batch, found, had)
        drawn = drawn_hits(targets, batch.negatives)  # (B, S)
        if self.bias is not None:
            rules = (n_items, self.loss.calibration, t, weights, self.bias)
            return gbce(asked, found.wanted, found.negatives, drawn, *rules)
        hits = torch.cat([self._hits(batch), drawn], dim=1)  # (B, B + S)
        if had is not None:
            hits, weights = hits | had.hits, weights * had.new
        log_q = self.log_q_items[self._sampled(batch)]
        if self.user_item == "mixed":
            return mixed_softmax(asked, found.wanted, found.negatives, log_q, hits, n_items, t, weights)
        return sampled_softmax(asked, found.wanted, log_q, hits, t, weights)

    def _shared(self, batch: Batch, found: Encoded, had: Had | None) -> Tensor:
        """The same, where many events are one question."""
        tasks, n_tasks, weights = self._tasks(batch), found.asked.shape[1], self.ready.weights[batch.places]
        asked = self.asking.questions(batch.places, batch.moments)
        askers, rows = torch.unique(asked.rows * n_tasks + tasks, return_inverse=True)  # (A,), (B,)
        first = first_of(rows, len(askers))
        queries = found.asked[first, tasks[first]]  # (A, D)
        hits = among(rows, self._targets(batch), len(askers), self._sampled(batch))  # (A, B + S) what they want
        if had is not None:
            hits, weights = hits | had.among[askers // n_tasks], weights * had.new
        items, t = torch.cat([found.wanted, found.negatives]), self.temperature()
        return shared_softmax(queries, rows, items, self._log_shares(batch), hits, t, weights)

    def _tag(self, batch: Batch, found: Encoded) -> Tensor:
        tags, items = self.ready.tag_rows[batch.pairs], self.ready.tag_items[batch.pairs]
        hits = accidental_hits(tags, items)
        return sampled_softmax(found.tags, found.described, self.log_q_tags[items], hits, self.temperature())

    def _category(self, batch: Batch, found: Encoded) -> Tensor:
        """A tag's category is that of the item it describes."""
        items = self.ready.tag_items[batch.pairs]
        kinds, hits = self.ready.kinds[items], items[:, None] == items
        log_q, t = self.log_q_tags[items], self.temperature()
        return category_contrast(found.tags, found.described, kinds, kinds, log_q, hits, t)

    def _views(self, model: ThreeTowers, batch: Batch) -> tuple[Tensor, Tensor]:
        """Of the events' items, each once: (M, D) twice. Each process contrasts its own."""
        rows = torch.unique(self._targets(batch))
        views = masked_views(model.item_fields(self.ready.features.select(rows)), self.loss.corruption_share)
        first, second = (model.item(view)[:, 0] for view in views)
        return first, second

    def _chain(self, batch: Batch, found: Encoded, bias: Tensor) -> Tensor:
        """Rows ask for their own item, and for that of the row after them, which none of the steps reached.

        Steps are the tasks from the last to the first. s_k = <u_k, v> / t + b_k.
        """
        steps = found.asked.flip(1)  # (B, K, D)
        reached = len(bias) - 1 - self._tasks(batch)  # (B,) the step that the event is
        place = torch.arange(len(bias), device=bias.device)
        labels = (place <= reached[:, None]).float()  # (B, K)
        items = torch.stack([found.wanted, found.wanted.roll(-1, 0)], dim=1)  # (B, 2, D)
        logits = (steps[:, None] * items[:, :, None]).sum(-1) / self.temperature() + bias  # (B, 2, K)
        neighbour = torch.arange(len(labels), device=bias.device).roll(-1)  # (B,)
        fair = ~self._hits(batch)[torch.arange(len(labels), device=bias.device), neighbour]  # (B,) it is a negative
        weights = self.ready.weights[batch.places]
        both = torch.stack([weights, weights * fair], dim=1)  # (B, 2)
        return chain_loss(
            logits.flatten(0, 1), torch.stack([labels, torch.zeros_like(labels)], dim=1).flatten(0, 1), both.flatten()
        )

    def _distillation(self, batch: Batch, found: Encoded, auxiliary: AuxiliaryHead, teacher: Teacher) -> Tensor:
        targets = self._targets(batch)
        student = auxiliary(found.asked[:, 0]) @ found.wanted.T / self.temperature()  # (B, B)
        taught = teacher(batch.places, targets)  # (B, B)
        return distillation(student, taught, self.log_q_items[targets], self._hits(batch))

    def _targets(self, batch: Batch) -> Tensor:
        return self.ready.events.items[batch.places]

    def _sampled(self, batch: Batch) -> Tensor:
        """(B + S,) the items at hand."""
        return torch.cat([self._targets(batch), batch.negatives])

    def _log_shares(self, batch: Batch) -> Tensor:
        """(B + S,) of the items at hand, among what is sampled."""
        log_q = self.log_q_items[self._sampled(batch)]
        return log_mixture(log_q, len(batch.places), len(batch.negatives), len(self.log_q_items))

    def _tasks(self, batch: Batch) -> Tensor:
        return self.task_of[self.ready.events.behaviours[batch.places]]

    def _hits(self, batch: Batch) -> Tensor:
        """(B, B); the same user asking for another task is another query."""
        askers = self.ready.users[batch.places] * len(self.task_of) + self._tasks(batch)
        return accidental_hits(askers, self._targets(batch))
