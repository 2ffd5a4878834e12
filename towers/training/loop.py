"""Training the three towers: one plain loop.

Promises: the same data, config and number of threads give the same weights, whether or not the process was killed on
the way; the weights returned are those of the epoch that ranked the held-out events best (or, with training.refit,
those trained anew on all events for as many epochs); an event is predicted from earlier events only. It prints nothing,
and the only file that it writes is its state, in the folder that it is given; what happens is told to `progress`, and
the caller saves the checkpoint. Started by torchrun it trains in several processes, of which the first reports.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from towers.checkpoint import Checkpoint
from towers.config import TowersConfig, TowersError
from towers.data import Prepared, TrainingData, prepare
from towers.model import ThreeTowers
from towers.training import state
from towers.training.distillation import Teacher, towers_teacher
from towers.training.distributed import World, world
from towers.training.fit import Fit

STATE = "{phase}.safetensors"


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch. Without held-out events recall and ndcg are NaN."""

    number: int  # from 1; 0: as the training that is continued left it
    loss: float
    recall: float  # recall@10 of the held-out events
    ndcg: float  # ndcg@10, which decides when to stop
    seconds: float  # since training began
    best: bool
    refit: bool = False
    deviations: Mapping[str, float] = field(default_factory=dict)  # std of activations by layer, of a step in it


@dataclass(frozen=True)
class Trained:
    model: ThreeTowers  # in evaluation mode, weights of the best epoch
    epochs: tuple[Epoch, ...]  # without those of the refit
    best: Epoch
    train_events: int
    validation_events: int
    seconds: float


@dataclass(frozen=True)
class _Phase:
    """One way through the epochs, from the first weights or from where its state file ends."""

    name: str
    ready: Prepared
    config: TowersConfig
    max_epochs: int
    patience: int
    start: Checkpoint | None
    teacher: Teacher | None


def train(
    data: TrainingData,
    config: TowersConfig,
    *,
    start: Checkpoint | None = None,
    teacher: Checkpoint | None = None,
    folder: Path | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train until the held-out ndcg@10 has not risen for `patience` epochs, or for `max_epochs`.

    With no held-out events (validation_share 0, or too few events) it runs all epochs and keeps the last.

    Args:
        start: towers to go on from; `data` marks as unused what they have learnt from already. Their own weights count
            as an epoch, so that the result ranks the held-out events no worse.
        teacher: larger towers, trained before on the same events, for loss.distillation.
        folder: where the state is written after each epoch. A killed training that is called again with the same
            arguments goes on from it; it is removed at the end.

    Raises:
        TowersError: data that don't fit together (see `prepare`), a start of other features or another network, or a
            loss or activations that blow up.
    """
    began = time.perf_counter()
    if start is not None:
        config = _continued(config, start.config)
    who = world()
    with torch.random.fork_rng(devices=[who.device] if who.device.type == "cuda" else []):
        ready = prepare(data, config).to(who.device)
        taught = None
        if config.loss.distillation:
            if teacher is None:
                raise TowersError("loss.distillation needs a teacher: larger towers trained before, or set it to 0")
            larger = prepare(data, teacher.config).to(who.device)
            taught = towers_teacher(teacher.model.to(who.device), larger, config.loss.temperature)
        rules = config.training
        phase = _Phase("fit", ready, config, rules.max_epochs, rules.patience, start, taught)
        model, epochs = _run(phase, who, folder, progress, began)
        best = max((epoch for epoch in epochs if epoch.best), key=lambda epoch: epoch.number)
        if rules.refit and len(ready.validation) and best.number:
            whole = replace(phase, name="refit", ready=ready.whole(), max_epochs=best.number, patience=best.number)
            model, _ = _run(whole, who, folder, progress, began)
        if folder is not None and who.writes:
            for name in ("fit", "refit"):
                (folder / STATE.format(phase=name)).unlink(missing_ok=True)
    seconds = time.perf_counter() - began
    return Trained(model.cpu().eval(), epochs, best, len(ready.train), len(ready.validation), seconds)


def _run(
    phase: _Phase, who: World, folder: Path | None, progress: Callable[[Epoch], None] | None, began: float
) -> tuple[ThreeTowers, tuple[Epoch, ...]]:
    """All epochs of a phase: the best weights, and what is known of each epoch."""
    torch.manual_seed(phase.config.training.seed)
    fit = Fit(phase.ready, phase.config, who, phase.start, phase.teacher)
    path = None if folder is None else folder / STATE.format(phase=phase.name)
    mark = "" if path is None else _fingerprint(phase)
    epochs: list[Epoch] = []
    found = state.read(path, mark) if path is not None else None
    if found is not None:
        fit.restore(found)
        epochs = [Epoch(**epoch) for epoch in found.facts["epochs"]]
        epochs = [replace(e, recall=_or_nan(e.recall), ndcg=_or_nan(e.ndcg), loss=_or_nan(e.loss)) for e in epochs]

    while not _finished(epochs, phase):
        number = len(epochs) + (phase.start is None)
        loss = fit.epoch(number) if number else math.nan
        recall, ndcg = who.agreed(*fit.validate())
        highest = max((epoch.ndcg for epoch in epochs if epoch.best), default=-math.inf)
        better = math.isnan(ndcg) or ndcg > highest
        if better:
            fit.keep()
        seconds = time.perf_counter() - began
        epoch = Epoch(number, loss, recall, ndcg, seconds, better, phase.name == "refit", fit.deviations)
        epochs.append(epoch)
        if who.writes and path is not None:
            plain = [{key: _or_none(value) for key, value in asdict(one).items()} for one in epochs]
            tensors, facts = fit.saved()
            state.write(path, mark, tensors, {**facts, "epochs": plain})
        if who.writes and progress is not None:
            progress(epoch)
    return fit.best(), tuple(epochs)


def _finished(epochs: list[Epoch], phase: _Phase) -> bool:
    if not epochs:
        return False
    last, best = epochs[-1].number, max(epoch.number for epoch in epochs if epoch.best)
    return last >= phase.max_epochs or last - best >= phase.patience


def _continued(config: TowersConfig, start: TowersConfig) -> TowersConfig:
    """The settings to go on with: loss and training as given, the rest as the weights were made for."""
    if (config.inputs, config.features, config.network) != (start.inputs, start.features, start.network):
        raise TowersError(
            "training can only go on with the inputs, features and network that the checkpoint was trained with: "
            "train anew, or put those settings back"
        )
    return config


def _fingerprint(phase: _Phase) -> str:
    settings = {
        "config": phase.config.to_json(),
        "phase": [phase.name, phase.max_epochs],
        "start": phase.start.version if phase.start is not None else None,
        "taught": phase.teacher is not None,
    }
    return state.fingerprint(settings, phase.ready.tensors())


def _or_none(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
