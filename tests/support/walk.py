"""A small log that says something: users who like a stretch of a ring of items, so that neighbours go together."""

import numpy as np

from towers.config import FeatureSettings, Inputs, NetworkSettings, TowersConfig, TrainingSettings
from towers.data import TrainingData

N_USERS, N_ITEMS, LENGTH, SHELF = 120, 60, 10, 5
SMALL = TowersConfig(
    Inputs(behaviours=("view",)),
    FeatureSettings(history=8, table_rows=512, text_rows=1024),
    NetworkSettings(dim=16, hidden=32),
    training=TrainingSettings(batch_size=256, max_epochs=12, learning_rate=0.01, patience=4),
)


def walk(seed: int = 0) -> TrainingData:
    """Five items stand on a shelf, whose name is in their titles, and each carries the shelf's name as a tag."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, N_ITEMS, N_USERS)
    steps = np.argsort(rng.random((N_USERS, LENGTH + 4)), axis=1)[:, :LENGTH]
    items = (start[:, None] + steps) % N_ITEMS
    shelves = [f"shelf{n}" for n in range(N_ITEMS // SHELF)]
    return TrainingData(
        item_ids=[f"i{n}" for n in range(N_ITEMS)],
        titles=[f"{shelves[n // SHELF]} thing" for n in range(N_ITEMS)],
        categories=[""] * N_ITEMS,
        user_ids=[f"u{n}" for n in range(N_USERS)],
        users=np.repeat(np.arange(N_USERS), LENGTH),
        items=items.ravel(),
        behaviours=np.zeros(N_USERS * LENGTH, dtype=np.int64),
        times=np.tile(np.arange(LENGTH), N_USERS),
        tag_texts=shelves,
        tag_items=np.arange(N_ITEMS),
        tag_rows=np.arange(N_ITEMS) // SHELF,
    )
