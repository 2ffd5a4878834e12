from dataclasses import dataclass

import numpy as np
import pytest

from towers.config import FeatureSettings, Inputs, LossSettings, NetworkSettings, TowersConfig, TrainingSettings
from towers.data import TrainingData
from towers.tag_texts import tag_texts

WORDS = (
    "nail polish", "face cream", "hair brush", "bath salts", "lip balm",
    "beard oil", "sun lotion", "eye shadow", "hand soap", "razor blades",
)  # fmt: skip


@dataclass(frozen=True)
class Shop:
    """Users who like two of ten kinds each, and a few items that everybody takes now and then."""

    data: TrainingData
    kinds: np.ndarray  # (N,) of the items

    @property
    def n_items(self) -> int:
        return len(self.data.item_ids)


def make_shop(seed: int = 0, users: int = 150, per_kind: int = 12, length: int = 12) -> Shop:
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(len(WORDS)), per_kind)
    colours = ("red", "blue", "green", "pale", "dark")
    titles = [f"{colours[n % 5]} {WORDS[kind]} number {n}" for n, kind in enumerate(kinds)]
    rows, items = [], []
    for user in range(users):
        liked = rng.choice(len(WORDS), 2, replace=False)
        pool = np.flatnonzero(np.isin(kinds, liked))
        chosen = np.where(
            rng.random(length) < 0.08, rng.integers(0, 5, length), rng.choice(pool, length, replace=False)
        )
        rows += [user] * length
        items += chosen.tolist()
    times = np.tile(np.arange(length), users) * 86400 + rng.integers(0, 3600, users * length)
    tags = tag_texts(titles, [WORDS[kind] for kind in kinds])
    data = TrainingData(
        item_ids=[f"i{n}" for n in range(len(titles))],
        titles=titles,
        categories=[f"Shop > {WORDS[kind]}" for kind in kinds],
        user_ids=[f"u{n}" for n in range(users)],
        users=np.array(rows),
        items=np.array(items),
        behaviours=rng.integers(0, 2, len(rows)),
        times=times,
        tag_texts=tags.texts,
        tag_items=tags.items,
        tag_rows=tags.tags,
    )
    return Shop(data, kinds)


@pytest.fixture(scope="session")
def shop() -> Shop:
    return make_shop()


@pytest.fixture(scope="session")
def small() -> TowersConfig:
    """One plain member and loss, nothing that changes with the step: what else there is, a test switches on."""
    return TowersConfig(
        inputs=Inputs(behaviours=("view", "purchase")),
        features=FeatureSettings(
            history=8, user_id=True, table_rows=1024, text_rows=2048, category_levels=1, brand=False
        ),
        network=NetworkSettings(dim=16, hidden=32, pair=False),
        loss=LossSettings(user_item="in_batch"),
        training=TrainingSettings(
            batch_size=256,
            max_epochs=8,
            learning_rate=0.005,
            final_rate=1.0,
            warmup_steps=0,
            pretrain_epochs=0,
            shuffle_ties=False,
        ),
    )
