import numpy as np
import pytest

from recgpt.evaluation import leave_one_out as module
from recgpt.evaluation.leave_one_out import leave_one_out
from towers.config import FeatureSettings, Inputs, NetworkSettings, TowersConfig, TrainingSettings

CONFIG = TowersConfig(
    Inputs(behaviours=("view",)),
    FeatureSettings(history=8, table_rows=512, text_rows=1024),
    NetworkSettings(dim=16, hidden=32),
    training=TrainingSettings(batch_size=256, max_epochs=12, learning_rate=0.01, patience=4),
)  # fmt: skip
N_USERS, N_ITEMS, LENGTH = 120, 60, 10


def walk(seed=0):
    """Users who like a stretch of a ring of items: neighbours go together, and popularity says little."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, N_ITEMS, N_USERS)
    steps = np.argsort(rng.random((N_USERS, LENGTH + 4)), axis=1)[:, :LENGTH]
    items = (start[:, None] + steps) % N_ITEMS
    return np.repeat(np.arange(N_USERS), LENGTH), items.ravel(), np.tile(np.arange(LENGTH), N_USERS)


def measure(users, items, times):
    return leave_one_out(
        users,
        items,
        times,
        user_ids=[f"u{n}" for n in range(N_USERS)],
        item_ids=[f"i{n}" for n in range(N_ITEMS)],
        titles=[f"shelf{n // 5} thing" for n in range(N_ITEMS)],
        categories=[""] * N_ITEMS,
        config=CONFIG,
    )


@pytest.fixture(scope="module")
def result():
    return measure(*walk())


def test_all_three_are_measured_on_the_same_users(result):
    assert result.users == N_USERS
    assert result.items == N_ITEMS
    assert result.half_life in module.HALF_LIVES
    assert result.trained.train_events == N_USERS * (LENGTH - 2)
    assert result.trained.validation_events == N_USERS
    for figures in (result.towers, result.popularity, result.neighbours):
        assert 0 <= figures.ndcg <= figures.recall <= 1
    assert result.neighbours.ndcg > 2 * result.popularity.ndcg
    assert result.towers.ndcg > 2 * result.popularity.ndcg
    assert result.popularity.coverage < result.towers.coverage


def test_the_answer_changes_nothing_that_is_fitted(result):
    """Another last item for everybody: the same weights, the same rankings, only the hits differ."""
    users, items, times = walk()
    last = np.arange(LENGTH - 1, len(items), LENGTH)
    items[last] = (items[last] + 17) % N_ITEMS
    other = measure(users, items, times)
    assert other.half_life == result.half_life
    assert [e.ndcg for e in other.trained.epochs] == [e.ndcg for e in result.trained.epochs]
    for mine, theirs in ((other.towers, result.towers), (other.neighbours, result.neighbours)):
        assert mine.coverage == theirs.coverage  # the same items were shown
        assert mine.recall != theirs.recall


def test_what_the_user_had_is_never_recommended(result):
    """The last item is the one before it again: nobody can find it, because the validation event is in the history."""
    users, items, times = walk()
    last = np.arange(LENGTH - 1, len(items), LENGTH)
    items[last] = items[last - 1]
    again = measure(users, items, times)
    assert result.towers.recall > 0
    assert (again.towers.recall, again.neighbours.recall, again.popularity.recall) == (0, 0, 0)
