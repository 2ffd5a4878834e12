"""The towers' training as a stage: the logs become arrays, the trained network a checkpoint and a model version.

It learns from reliable behaviours, weighed as the config says, and from texts that stand for tags: the leaf of each
item's category, and word runs that several titles share. It trains when there is no checkpoint, when the last one is
older than `towers.retrain_days`, or when it is told to.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from recgpt.config import Config
from recgpt.errors import CheckpointError, DataError
from recgpt.stages.night import Night, Progress
from recgpt.store.tables import ModelVersion
from recgpt.words import Stage
from towers.checkpoint import load, save
from towers.config import Inputs, TowersConfig, TowersError
from towers.data import TrainingData
from towers.features import Items, Users, item_features, text_features
from towers.model import ThreeTowers
from towers.scoring import encode_items, encode_tags
from towers.tag_texts import tag_texts
from towers.topk import top_k
from towers.training.loop import Epoch, train

KIND = "towers"
Array = npt.NDArray[Any]


def run(night: Night, run_id: int, *, force: bool) -> dict[str, Any]:
    """Train if it is time. Returns the counts for the run's record.

    Raises:
        DataError: there is nothing to learn from.
    """
    newest = newest_version(night.store, night.until)
    age = None if newest is None else night.until - newest.trained_until
    young = age is not None and age < timedelta(days=night.config.towers.retrain_days)
    if newest and young and not force and Path(night.config.path(newest.path)).is_dir():
        return {"trained": False, "version": newest.version, **(newest.result or {})}

    config = towers_config(night)

    def report(epoch: Epoch) -> None:
        note = f"loss {epoch.loss:.3f}, held-out recall@10 {epoch.recall:.4f}"
        night.progress(Progress(Stage.TOWERS, epoch.number, config.training.max_epochs, note))

    try:
        trained = train(training_data(night, config), config, progress=report)
    except TowersError as error:
        raise DataError(f"the towers can't be trained on these logs: {error}") from error
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
    if not config.features.popularity:
        return items
    counts = np.zeros(len(items), dtype=np.int64)
    for found, _, _, _ in _learnt_events(night):
        counts += np.bincount(found, minlength=len(items))
    return replace(items, counts=counts)


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
    weights = np.array([night.config.behaviours[name].weight for name in config.inputs.behaviours])
    catalogue = night.logs.catalogue
    tags = tag_texts(catalogue.titles, catalogue.categories, catalogue.brands)
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
