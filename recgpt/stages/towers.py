"""The towers' training as a stage: the logs become arrays, the trained network a checkpoint and a model version.

It learns from reliable behaviours, weighed as the config says, and from texts that stand for tags: the leaf of each
item's category, and word runs that several titles share; whole titles and searches too, where `towers.tags_from` says
so. It trains when there is no checkpoint, when the last one is older than `towers.retrain_days`, or when it is told to:
anew, or going on from the newest towers with the events that came since.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from recgpt.config import Config
from recgpt.errors import CheckpointError, DataError
from recgpt.stages.night import Night, Progress
from recgpt.store.tables import ModelVersion
from recgpt.words import Stage, Training
from towers.checkpoint import Checkpoint, load, save
from towers.config import Inputs, TowersConfig, TowersError
from towers.data import TrainingData
from towers.features import Items, Users, item_features, read_counts, text_features
from towers.model import ThreeTowers
from towers.scoring import encode_items, encode_tags
from towers.tag_texts import TagTexts, joined, query_tags, tag_texts, title_tags
from towers.topk import top_k
from towers.training.loop import Epoch, Trained, train

KIND = "towers"
Array = npt.NDArray[Any]


def run(night: Night, run_id: int, way: Training) -> dict[str, Any]:
    """Train if it is time. Returns the counts for the run's record.

    A training that was killed goes on, if the same one is asked for again.

    Raises:
        DataError: there is nothing to learn from.
        CheckpointError: there are no towers to go on from.
    """
    newest = newest_version(night.store, night.until)
    age = None if newest is None else night.until - newest.trained_until
    young = age is not None and age < timedelta(days=night.config.towers.retrain_days)
    if newest and young and way is Training.IF_OLD and Path(night.config.path(newest.path)).is_dir():
        return {"trained": False, "version": newest.version, **(newest.result or {})}

    config = towers_config(night)
    state = night.config.work_folder / "training"

    def report(epoch: Epoch) -> None:
        note = f"loss {epoch.loss:.3f}, " + (
            "on all events" if epoch.refit else f"held-out recall@10 {epoch.recall:.4f}"
        )
        night.progress(Progress(Stage.TOWERS, epoch.number, config.training.max_epochs, note))

    trained = _trained(night, config, way, state, report)
    result = {
        "train_events": trained.train_events,
        "validation_events": trained.validation_events,
        "epochs": len(trained.epochs),
        "best_epoch": trained.best.number,
        "recall_at_10": _number(trained.best.recall),
        "ndcg_at_10": _number(trained.best.ndcg),
    }
    folder = night.config.work_folder / "towers" / f"{night.day}-{run_id}"
    version = save(folder, trained.model, metrics=result, item_ids=night.logs.catalogue.ids)
    with Session(night.store) as session:
        session.merge(
            ModelVersion(
                version=version,
                kind=KIND,
                path=str(folder.relative_to(night.config.folder)),
                parent=newest.version if newest else None,
                result=result,
                trained_until=night.until,
                created_at=datetime.now(UTC),
            )
        )
        session.commit()
    return {"trained": True, "version": version, "seconds": round(trained.seconds, 1), **result}


def take_part(night: Night, way: Training) -> None:
    """Be one of the processes of a training that torchrun started, other than the first: it alone uses the store."""
    _trained(night, towers_config(night), way, night.config.work_folder / "training", None)


def _trained(
    night: Night, config: TowersConfig, way: Training, state: Path, report: Callable[[Epoch], None] | None
) -> Trained:
    data, start, teacher = training_data(night, config), None, _teacher(night, config)
    if way is Training.CONTINUE:
        newest = newest_version(night.store, night.until)
        if newest is None:
            raise CheckpointError(f"no towers to go on from before {night.until:%Y-%m-%d}: 'recgpt towers train'")
        try:
            start = load(night.config.path(newest.path))
        except TowersError as error:
            raise CheckpointError(f"{error}: 'recgpt towers train'") from error
        known = np.datetime64(newest.trained_until.astimezone(UTC).replace(tzinfo=None), "s")
        data = replace(data, unused=data.times < known)
    try:
        return train(data, config, start=start, teacher=teacher, folder=state, progress=report)
    except TowersError as error:
        raise DataError(f"the towers can't be trained on these logs: {error}") from error


def _teacher(night: Night, config: TowersConfig) -> Checkpoint | None:
    """The larger towers that the settings name."""
    folder = night.config.towers.teacher
    if not folder:
        return None
    try:
        teacher = load(night.config.path(folder))
    except TowersError as error:
        raise CheckpointError(f"towers.teacher: {error}") from error
    if teacher.config.inputs != config.inputs:
        raise CheckpointError(
            f"towers.teacher: {folder} was trained on other inputs (behaviours, base features, numbers, vectors) than "
            "these settings give: train it with the same [data], [behaviours] and towers.features.base and numbers"
        )
    return teacher


def newest_version(store: Engine, until: datetime) -> ModelVersion | None:
    """The towers that a night reading events up to `until` may use: never ones that have seen later events."""
    query = select(ModelVersion).where(ModelVersion.kind == KIND, ModelVersion.trained_until <= until)
    with Session(store, expire_on_commit=False) as session:
        return session.scalars(
            query.order_by(ModelVersion.trained_until.desc(), ModelVersion.created_at.desc()).limit(1)
        ).first()


def load_newest(night: Night) -> tuple[str, ThreeTowers]:
    """The version and the network for this night.

    Raises:
        CheckpointError: there is none, or it is not whole, or it reads other features than the config gives.
    """
    newest = newest_version(night.store, night.until)
    if newest is None:
        raise CheckpointError(f"no towers are trained on events before {night.until:%Y-%m-%d}: 'recgpt towers train'")
    try:
        model = load(night.config.path(newest.path), expected=towers_config(night)).model
    except TowersError as error:
        raise CheckpointError(f"{error}: 'recgpt towers train'") from error
    return newest.version, model


def tag_finder(night: Night, k: int) -> Callable[[str, Array], Array]:
    """How this night's towers answer a tag: from its text and its sentence vector (D,) to rows (k,) of nearest items.

    Raises:
        CheckpointError: as `load_newest`.
    """
    _, model = load_newest(night)
    items = encode_items(model, item_features(items_of(night, model.config), model.config))  # (N, dim)

    def find(tag: str, vector: Array) -> Array:
        tags = encode_tags(model, text_features([tag], model.config, vector[None]))
        _, rows = top_k(tags, items, min(k, len(items)))
        return rows[0].numpy()

    return find


def learnt_behaviours(config: Config) -> tuple[str, ...]:
    """The reliable behaviours, sorted: what the towers read and predict."""
    return tuple(sorted(name for name, behaviour in config.behaviours.items() if behaviour.reliable))


def towers_config(night: Night) -> TowersConfig:
    """The settings, with what this project's data hold of what they read."""
    read = night.config.towers.features
    return night.config.towers.config(
        Inputs(
            behaviours=learnt_behaviours(night.config),
            vector_dim=night.encoder.dim,
            user_fields=night.config.data.base_features if read.base else (),
            item_numbers=("price",) if read.numbers else (),
        )
    )


def items_of(night: Night, config: TowersConfig) -> Items:
    """The catalogue as the towers read it."""
    catalogue = night.logs.catalogue
    prices = catalogue.prices[:, None] if config.inputs.item_numbers else None
    items = Items(catalogue.ids, catalogue.titles, catalogue.categories, catalogue.brands, prices, night.vectors)
    if not read_counts(config):
        return items
    events, takers = np.zeros(len(items), dtype=np.int64), np.zeros(len(items), dtype=np.int64)
    counted = np.zeros(0, dtype=np.int64)  # (user, item) pairs of the last user, who may go on in the next part
    for found, users, _, _ in _learnt_events(night):
        events += np.bincount(found, minlength=len(items))
        pairs = np.unique(users.astype(np.int64) * len(items) + found)
        takers += np.bincount(np.setdiff1d(pairs, counted, assume_unique=True) % len(items), minlength=len(items))
        counted = np.union1d(counted, pairs)
        counted = counted[counted // len(items) == counted[-1:] // len(items)]
    return replace(items, counts=np.stack([events, takers], axis=1))


def users_of(people: Sequence[tuple[str, Mapping[str, str]]], config: TowersConfig) -> Users:
    """Users as the towers read them, from their ids and the base features that are known."""
    ids, known = zip(*people, strict=True) if people else ((), ())
    return Users(ids, {name: [one.get(name, "") for one in known] for name in config.inputs.user_fields})


def training_data(night: Night, config: TowersConfig) -> TrainingData:
    """The logs up to the night as arrays, in time order for each user."""
    parts = list(_learnt_events(night))
    if not parts:
        raise DataError("the logs have no event on an item before this night")
    items, users, times, behaviours = (np.concatenate(column) for column in zip(*parts, strict=True))
    learnt = config.inputs.behaviours
    weights = np.array([night.config.behaviours[name].weight for name in learnt])
    catalogue = night.logs.catalogue
    taken = np.isin(behaviours, [learnt.index(name) for name in night.config.tags.fresh_behaviours if name in learnt])
    tags = _tags(night, users[taken], items[taken], times[taken])
    people = users_of(list(night.logs.people()), config)
    return TrainingData(
        item_ids=catalogue.ids,
        titles=catalogue.titles,
        categories=catalogue.categories,
        brands=catalogue.brands,
        item_numbers=catalogue.prices[:, None] if config.inputs.item_numbers else None,
        user_ids=people.ids,
        user_fields=people.fields,
        users=users,
        items=items,
        behaviours=behaviours,
        times=times,
        weights=(weights / weights.mean())[behaviours],
        tag_texts=tags.texts,
        tag_items=tags.items,
        tag_rows=tags.tags,
        item_vectors=night.vectors,
        tag_vectors=night.encoder.encode(tags.texts),
    )


def _tags(night: Night, users: Array, items: Array, times: Array) -> TagTexts:
    """What stands for tags; users, items and times (E,) of what was taken."""
    catalogue, wanted = night.logs.catalogue, night.config.towers.tags_from
    parts = [tag_texts(catalogue.titles, catalogue.categories, catalogue.brands)] if "words" in wanted else []
    if "titles" in wanted:
        parts.append(title_tags(catalogue.titles, items))
    if "searches" in wanted:
        found = pa.Table.from_batches(list(night.logs.searches(night.until)))
        searches = (
            found["user"].to_numpy().astype(np.int64),
            found["time"].to_numpy().astype("datetime64[s]").astype(np.int64),
            found["query"].to_pylist(),
        )
        moments = times.astype("datetime64[s]").astype(np.int64)
        parts.append(query_tags(searches, (users.astype(np.int64), moments, items)))
    return joined(*parts)


def _learnt_events(night: Night) -> Iterator[tuple[Array, Array, Array, Array]]:
    """Items, users, times and the towers' behaviours of the events up to the night, a batch at a time."""
    codes = behaviour_codes(night)
    for batch in night.logs.interactions(night.until):
        behaviours = codes[batch["behaviour"].to_numpy()]
        mine = behaviours >= 0
        items, users, times = (batch[name].to_numpy(zero_copy_only=False)[mine] for name in ("item", "user", "time"))
        yield items, users, times, behaviours[mine]


def behaviour_codes(night: Night) -> Array:
    """(K,) from the logs' behaviour codes to the towers', -1 for what they don't learn from."""
    learnt = {name: code for code, name in enumerate(learnt_behaviours(night.config))}
    return np.array([learnt.get(name, -1) for name in night.logs.behaviours], dtype=np.int64)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 5)
