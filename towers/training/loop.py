"""Training the three towers: one plain loop.

Promises: the same data, config and number of threads give the same weights; the weights returned are those of the epoch
that ranked the held-out events best; an event is predicted from earlier events only. It prints nothing and writes no
file: what happens is told to `progress`, and the caller saves.

    L = L_user-item + tag_weight * L_tag-item       both in-batch sampled softmax with logQ correction (losses.py)
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from towers.config import TowersConfig, TowersError
from towers.data import Prepared, TrainingData, prepare
from towers.encoders.history import Window
from towers.losses.sampled_softmax import accidental_hits, log_frequency, sampled_softmax
from towers.model import ThreeTowers
from towers.scoring import encode_items
from towers.topk import top_k

CUT = 10  # of the validation's recall and NDCG


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch. Without held-out events recall and ndcg are NaN."""

    number: int  # from 1
    loss: float
    recall: float  # recall@10 of the held-out events
    ndcg: float  # ndcg@10, which decides when to stop
    seconds: float  # since training began
    best: bool


@dataclass(frozen=True)
class Trained:
    model: ThreeTowers  # in evaluation mode, weights of the best epoch
    epochs: tuple[Epoch, ...]
    best: Epoch
    train_events: int
    validation_events: int
    seconds: float


def train(
    data: TrainingData,
    config: TowersConfig,
    *,
    progress: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train until the held-out ndcg@10 has not risen for `patience` epochs, or for `max_epochs`.

    With no held-out events (validation_share 0, or too few events) it runs all epochs and keeps the last.

    Raises:
        TowersError: data that don't fit together (see `prepare`), or a loss that is not finite.
    """
    began = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        ready = prepare(data, config)
        model = ThreeTowers(config)
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=config.training.learning_rate, weight_decay=config.training.weight_decay, fused=True
        )
        log_q_items = log_frequency(ready.events.items[ready.train], len(ready.features))
        log_q_tags = log_frequency(ready.tag_items, len(ready.features))
        epochs: list[Epoch] = []
        best: Epoch | None = None
        kept: dict[str, Tensor] = {}
        for number in range(1, config.training.max_epochs + 1):
            loss = _one_epoch(model, optimiser, ready, log_q_items, log_q_tags)
            if not math.isfinite(loss):
                raise TowersError(
                    f"the loss became {loss} in epoch {number}: lower learning_rate (now "
                    f"{config.training.learning_rate}) or raise temperature (now {config.loss.temperature})"
                )
            recall, ndcg = validate(model, ready)
            better = best is None or math.isnan(ndcg) or ndcg > best.ndcg
            epoch = Epoch(number, loss, recall, ndcg, time.perf_counter() - began, better)
            epochs.append(epoch)
            if better:
                best, kept = epoch, {name: value.clone() for name, value in model.state_dict().items()}
            if progress is not None:
                progress(epoch)
            if best is not None and number - best.number >= config.training.patience:
                break
        if best is None:
            raise TowersError("no epoch was run")
        model.load_state_dict(kept)
    model.eval()
    seconds = time.perf_counter() - began
    return Trained(model, tuple(epochs), best, len(ready.train), len(ready.validation), seconds)


def _one_epoch(
    model: ThreeTowers, optimiser: torch.optim.Optimizer, ready: Prepared, log_q_items: Tensor, log_q_tags: Tensor
) -> float:
    model.train()
    total, steps = 0.0, 0
    with_tags = ready.tags is not None and len(ready.tag_rows) > 0 and model.config.loss.tag > 0
    for places in _batches(ready.train, model.config.training.batch_size):
        n_pairs = min(len(places), len(ready.tag_rows)) if with_tags else 0
        pairs = torch.randint(len(ready.tag_rows), (n_pairs,)) if n_pairs else torch.zeros(0, dtype=torch.int64)
        loss = batch_loss(model, ready, places, pairs, log_q_items, log_q_tags)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total, steps = total + loss.item(), steps + 1
        if not math.isfinite(total):
            return total
    return total / steps


def _batches(places: Tensor, size: int) -> Iterator[Tensor]:
    """All places once, in random order, in equal parts of at most `size`."""
    shuffled = places[torch.randperm(len(places))]
    yield from shuffled.chunk(math.ceil(len(places) / size))


def batch_loss(
    model: ThreeTowers, ready: Prepared, places: Tensor, pairs: Tensor, log_q_items: Tensor, log_q_tags: Tensor
) -> Tensor:
    """L of the events at `places` (B,), each predicted from what its user did before, and of the tag `pairs` (P,)."""
    users, targets, described = ready.users[places], ready.events.items[places], ready.tag_items[pairs]
    window = ready.events.before(places, users, model.config.features.history)
    # Each item of the batch is encoded once, whatever it is used for: (M,) catalogue rows, and the places of the
    # targets (B,), the described items (P,) and the windows (B, H) among them.
    wanted = torch.cat([targets, described, window.items.flatten().clamp(min=0)])
    rows, local = torch.unique(wanted, return_inverse=True)
    vectors = model.items(ready.features.select(rows))  # (M, D)
    at_targets, at_described, at_window = local.split([len(targets), len(described), window.items.numel()])

    read = Window(torch.where(window.items >= 0, at_window.view_as(window.items), -1), window.behaviours, window.ages)
    asked = model.users(ready.user_rows[users], read, vectors)  # (B, D)
    t, hits = model.config.loss.temperature, accidental_hits(users, targets)
    loss = sampled_softmax(asked, vectors[at_targets], log_q_items[targets], hits, t, ready.weights[places])
    if ready.tags is not None and len(pairs):
        tags = ready.tag_rows[pairs]
        said = model.tags(ready.tags.select(tags))  # (P, D)
        hits = accidental_hits(tags, described)
        loss = loss + model.config.loss.tag * sampled_softmax(
            said, vectors[at_described], log_q_tags[described], hits, t
        )
    return loss


@torch.no_grad()
def validate(model: ThreeTowers, ready: Prepared) -> tuple[float, float]:
    """Recall@10 and NDCG@10 of the held-out events over the whole catalogue, the user's earlier items left out."""
    places = ready.validation
    if not len(places):
        return math.nan, math.nan
    vectors = encode_items(model, ready.features)
    users = ready.users[places]
    window = ready.events.before(places, users, model.config.features.history)
    asked = model.users(ready.user_rows[users], window, vectors)
    seen = ready.events.items.numpy()
    starts = ready.events.offsets[users].tolist()
    exclude = [seen[start:end] for start, end in zip(starts, places.tolist(), strict=True)]
    _, found = top_k(asked, vectors, CUT, exclude=exclude)
    places_found = found == ready.events.items[places][:, None]  # (V, 10), at most one true a row
    gains = places_found / torch.log2(torch.arange(2, CUT + 2, dtype=torch.float32))
    return places_found.any(1).float().mean().item(), gains.sum(1).mean().item()
