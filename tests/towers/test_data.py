from dataclasses import replace

import numpy as np
import pytest
import torch

from towers.config import TowersError
from towers.data import TrainingData, prepare

DATA = TrainingData(
    item_ids=list("abcd"),
    titles=["one", "two", "three", "four"],
    categories=[""] * 4,
    user_ids=["u", "v"],
    users=np.array([0, 1, 0, 1, 0]),
    items=np.array([0, 1, 2, 1, 3]),
    behaviours=np.array([0, 0, 1, 1, 0]),
    times=np.array([10, 11, 12, 13, 14]),
)


def test_events_are_sorted_by_user_in_their_order(small):
    ready = prepare(DATA, small)
    assert ready.events.items.tolist() == [0, 2, 3, 1, 1]
    assert ready.events.behaviours.tolist() == [0, 1, 0, 0, 1]
    assert ready.events.offsets.tolist() == [0, 3, 5]


def test_the_latest_share_is_held_out_and_repeats_are_not_ranked(small):
    ready = prepare(DATA, small.but(training={"validation_share": 0.4}))
    assert ready.train.tolist() == [0, 1, 3]  # moments 10, 12 and 11
    assert ready.validation.tolist() == [2]  # moment 13 repeats item b


def test_the_whole_has_nothing_held_out(small):
    whole = prepare(DATA, small.but(training={"validation_share": 0.4})).whole()
    assert whole.train.tolist() == [0, 1, 2, 3, 4]
    assert (len(whole.held_out), len(whole.validation)) == (0, 0)


def test_equal_times_stay_on_one_side(small):
    same = replace(DATA, times=np.array([10, 11, 12, 12, 12]))
    ready = prepare(same, small.but(training={"validation_share": 0.4}))
    assert ready.train.tolist() == [0, 1, 2, 3, 4]
    assert not len(ready.validation)


def test_ties_are_neighbours_learnt_from_at_one_moment_of_one_user(small):
    data = TrainingData(
        item_ids=list("abcdefgh"), titles=[""] * 8, categories=[""] * 8, user_ids=["u", "v"],
        users=np.array([0, 0, 0, 0, 0, 0, 1, 1]), items=np.arange(8), behaviours=np.array([0, 1, 0, 0, 0, 1, 1, 0]),
        times=np.array([5, 5, 5, 6, 6, 6, 6, 6]), weights=np.arange(1.0, 9.0),
        held_out=np.array([0, 0, 0, 0, 0, 1, 0, 0], dtype=bool), unused=np.array([1, 0, 0, 0, 0, 0, 0, 0], dtype=bool),
    )  # fmt: skip
    ready = prepare(data, small)
    assert ready.ties().tolist() == [0, 1, 1, 2, 2, 3, 4, 4]
    moved = ready.moved(torch.tensor([0, 2, 1, 4, 3, 5, 7, 6]))
    assert moved.events.items.tolist() == [0, 2, 1, 4, 3, 5, 7, 6]
    assert moved.events.behaviours.tolist() == [0, 0, 1, 0, 0, 1, 0, 1]
    assert (moved.weights / moved.weights[0]).tolist() == [1, 3, 2, 5, 4, 6, 8, 7]
    assert torch.equal(moved.events.times, ready.events.times)
    orders = set()
    for seed in range(20):
        items = ready.shuffled(ready.ties(), torch.Generator().manual_seed(seed)).events.items.tolist()
        assert [sorted(items[a:b]) for a, b in ((0, 1), (1, 3), (3, 5), (5, 6), (6, 8))] == [
            [0], [1, 2], [3, 4], [5], [6, 7]
        ]  # fmt: skip
        orders.add(tuple(items))
    assert len(orders) == 8  # all there are of three pairs


def test_weights_and_masks_say_what_is_learnt_from(small):
    data = replace(
        DATA,
        weights=np.array([1.0, 2.0, 0.0, 1.0, 1.0]),
        held_out=np.array([False] * 4 + [True]),
        unused=np.array([False, False, False, True, False]),
    )
    ready = prepare(data, small)
    assert ready.train.tolist() == [0, 3]
    assert ready.validation.tolist() == [2]
    assert ready.weights.tolist() == [1, 0, 1, 2, 1]


def test_the_latest_are_held_out_also_where_some_are_no_use(small):
    ready = prepare(
        replace(DATA, weights=np.array([1.0, 0.0, 1.0, 1.0, 1.0])), small.but(training={"validation_share": 0.5})
    )
    assert ready.train.tolist() == [0, 1]  # moments 10 and 12, half of the four
    assert ready.held_out.tolist() == [2, 4]


def test_the_first_moment_is_learnt_from_however_much_is_held_out(small):
    assert prepare(DATA, small.but(training={"validation_share": 0.9})).train.tolist() == [0]


def test_items_of_one_category_are_of_a_kind_and_the_unknown_of_none(small):
    kinds = prepare(replace(DATA, categories=["x", "", "y", "x"]), small).kinds.tolist()
    assert kinds[1] == -1
    assert kinds[0] == kinds[3] != kinds[2]
    assert min(kinds[0], kinds[2]) >= 0
    assert prepare(DATA, small).kinds.tolist() == [-1] * 4


RICH = replace(
    DATA,
    tag_texts=["one", "two"],
    tag_items=np.array([0, 2]),
    tag_rows=np.array([1, 0]),
    item_vectors=np.eye(4, 3, dtype=np.float32),
    tag_vectors=np.eye(2, 3, dtype=np.float32),
    item_numbers=np.ones((4, 1)),
)


@pytest.mark.parametrize("rich", [False, True])
def test_all_of_it_is_moved_and_named(small, rich):
    config = small.but(inputs={"item_numbers": ("price",), "vector_dim": 3}, features={"numbers": True})
    ready = prepare(RICH, config) if rich else prepare(DATA, small)
    texts = [text for text in (ready.features.text, ready.tags) if text is not None]
    assert len(texts) == 1 + rich
    parts = [ready.features.keys, ready.features.numbers, ready.features.habits]
    parts += [ready.people.keys, ready.people.numbers, ready.kinds]
    parts += [part for text in texts for part in (text.bags.rows, text.bags.offsets, text.vectors) if part is not None]
    parts += [ready.events.offsets, ready.events.items, ready.events.behaviours, ready.events.times, ready.weights]
    parts += [ready.train, ready.held_out, ready.validation, ready.tag_items, ready.tag_rows]
    assert {id(part) for part in ready.tensors()} == {id(part) for part in parts}
    moved = ready.to(torch.device("meta"))
    assert len(list(moved.tensors())) == len(parts)
    assert all(part.is_meta for part in (*moved.tensors(), moved.users))


def test_datetimes_are_moments_too(small):
    data = replace(DATA, times=np.datetime64("2026-01-01") + DATA.times.astype("timedelta64[D]"))
    assert prepare(data, small).train.tolist() == prepare(DATA, small).train.tolist()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"items": np.array([0, 1, 2, 1])}, "one entry per event"),
        ({"items": np.array([0, 1, 2, 1, 4])}, "items must be from -1 to 3"),
        ({"users": np.array([0, 1, 0, 1, 2])}, "users must be"),
        ({"behaviours": np.array([0, 0, 1, 1, 2])}, "behaviours must be"),
        ({"behaviours": np.array([0, 0, 1, 1, -1])}, "behaviours must be"),
        ({"users": np.array([0, 1, 0, 1, -1])}, "users must be"),
        ({"items": np.array([0, 1, 2, 1, -2])}, "items must be"),
        ({"times": np.array([10, 11, 12, 13, 11])}, "oldest to the newest"),
        ({"times": np.array([14, 11, 12, 13, 10])}, "oldest to the newest"),
        ({"items": np.full(5, -1)}, "no event to learn from"),
        ({"tag_texts": ["x"], "tag_items": np.array([0]), "tag_rows": np.array([1])}, "tag_rows must be"),
        ({"tag_texts": ["x"], "tag_items": np.array([0]), "tag_rows": np.array([0, 0])}, "one entry per pair"),
        ({"tag_texts": ["x"], "tag_items": np.array([0]), "tag_rows": np.array([-1])}, "tag_rows must be"),
        ({"tag_texts": ["x"], "tag_items": np.array([4]), "tag_rows": np.array([0])}, "tag_items must be"),
        ({"tag_texts": ["x"], "tag_items": np.array([-1]), "tag_rows": np.array([0])}, "tag_items must be"),
    ],
)
def test_data_that_do_not_fit_are_refused(small, wrong, message):
    with pytest.raises(TowersError, match=message):
        prepare(replace(DATA, **wrong), small)


def test_older_events_count_less_in_the_loss(small):
    data = replace(DATA, weights=np.array([1.0, 2.0, 1.0, 1.0, 1.0]))
    ages = DATA.times.max() - DATA.times
    for times in (DATA.times * 86_400, np.datetime64("2026-01-01") + DATA.times.astype("timedelta64[D]")):
        aged = prepare(replace(data, times=times), small.but(training={"half_life": 4.0}))
        order = np.argsort(DATA.users, kind="stable")
        expected = (data.weights * 0.5 ** (ages / 4.0))[order]
        assert aged.weights.tolist() == pytest.approx(expected.tolist())
    # What is neither learnt from nor held out is not the newest.
    newest = int(DATA.times.argmax())
    unused = replace(data, unused=np.arange(5) == newest)
    kept = prepare(replace(unused, times=DATA.times * 86_400), small.but(training={"half_life": 4.0}))
    second = np.sort(DATA.times)[-2]
    assert kept.weights[0].item() == pytest.approx((data.weights * 0.5 ** ((second - DATA.times) / 4.0))[order][0])
