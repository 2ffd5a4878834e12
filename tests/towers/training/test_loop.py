import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from towers import checkpoint
from towers.config import TowersError
from towers.data import prepare
from towers.encoders.history import events
from towers.features import Items, Users, item_features, text_features, user_features
from towers.model import ThreeTowers
from towers.scoring import encode_items, encode_tags, encode_users
from towers.topk import top_k
from towers.training.loop import train
from towers.training.validation import validate


@pytest.fixture(scope="module")
def trained(shop, small):
    seen = []
    return train(shop.data, small, progress=seen.append), seen


def popularity_recall(data, config):
    ready = prepare(data, config)
    counts = torch.bincount(ready.events.items[ready.train], minlength=len(data.item_ids)).float()
    hits = 0
    for place in ready.validation.tolist():
        start = int(ready.events.offsets[ready.users[place]])
        left = counts.clone()
        left[ready.events.items[start:place]] = -1
        hits += int(ready.events.items[place]) in left.topk(10).indices.tolist()
    return hits / len(ready.validation)


def test_it_beats_popularity_and_tells_of_each_epoch(trained, shop, small):
    result, seen = trained
    assert result.best.recall > 2 * popularity_recall(shop.data, small)
    assert tuple(seen) == result.epochs
    assert result.best.ndcg == max(epoch.ndcg for epoch in seen)
    assert seen[-1].loss < seen[0].loss


def test_it_is_deterministic_and_leaves_the_global_seed_alone(shop, small):
    config = small.but(training={"max_epochs": 2})
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = train(shop.data, config)
    assert torch.equal(torch.rand(1), expected)
    second = train(shop.data, config)
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    third = train(shop.data, config.but(training={"seed": 1}))
    assert not torch.equal(first.model.text.weight, third.model.text.weight)


def test_it_stops_when_it_no_longer_improves_and_keeps_the_best(shop, small):
    result = train(shop.data, small.but(training={"max_epochs": 40, "patience": 2, "learning_rate": 0.03}))
    assert len(result.epochs) < 40
    assert len(result.epochs) - result.best.number == 2
    # The weights kept are those of the best epoch, not of the last.
    assert validate(result.model, prepare(shop.data, small)) == (result.best.recall, result.best.ndcg)


def test_of_equals_the_first_is_kept(shop, small, monkeypatch):
    monkeypatch.setattr("towers.training.fit.Fit.validate", lambda _: (0.5, 0.25))
    found = train(shop.data, small.but(training={"max_epochs": 3, "patience": 3}))
    assert [epoch.best for epoch in found.epochs] == [True, False, False]


def test_without_held_out_events_the_last_epoch_is_kept(shop, small):
    result = train(shop.data, small.but(training={"validation_share": 0.0, "max_epochs": 2, "patience": 1}))
    assert result.best.number == 2
    assert math.isnan(result.best.recall)


def test_a_loss_that_is_not_finite_names_the_remedy(shop, small):
    with pytest.raises(TowersError, match=r"lower .*learning_rate"):
        train(shop.data, small.but(training={"learning_rate": 1e30}))


def test_an_event_is_predicted_from_earlier_ones_only(shop, small):
    """Changing what stands at and after an event doesn't change the user it is predicted from."""
    torch.manual_seed(0)
    model = ThreeTowers(small).eval()
    ready = prepare(shop.data, small)
    place = 5  # of the first user, whose events stand first
    vectors = encode_items(model, ready.features)

    def asked(items):
        window = replace(ready.events, items=items).before(
            torch.tensor([place]), torch.tensor([0]), small.features.history
        )
        return model.users(ready.people.select(torch.tensor([0])), window, vectors)

    later, earlier = ready.events.items.clone(), ready.events.items.clone()
    later[place:] = (later[place:] + 1) % shop.n_items
    earlier[place - 1] = (earlier[place - 1] + 1) % shop.n_items
    assert torch.equal(asked(ready.events.items), asked(later))
    assert not torch.allclose(asked(ready.events.items), asked(earlier))


def test_new_items_and_new_tags_are_placed_by_their_words(trained, shop, small):
    """Neither item was in the catalogue; the tags are no tag text of training."""
    model = trained[0].model
    old = encode_items(model, prepare(shop.data, small).features)
    new = item_features(Items(["new1", "new2"], ["violet nail polish", "violet beard oil"], ["", ""]), small)
    tags = text_features(["glossy nail polish", "daily beard oil"], small)
    new_vectors, said = encode_items(model, new), encode_tags(model, tags)
    _, rows = top_k(said, old, 10)
    kinds = shop.kinds[rows.numpy()]
    assert (kinds[0] == 0).mean() >= 0.8
    assert (kinds[1] == 5).mean() >= 0.8
    assert (said @ new_vectors.T).argmax(1).tolist() == [0, 1]


def test_users_are_encoded_from_their_history_also_unknown_ones(trained, shop, small):
    model = trained[0].model
    vectors = encode_items(model, prepare(shop.data, small).features)
    polish = np.flatnonzero(shop.kinds == 0)[4:8]
    histories = events([(polish, np.ones(4), np.arange(4)), (np.array([]),) * 3])
    users = encode_users(model, user_features(Users(["never seen", "empty"]), small), histories, vectors, now=4)
    assert users.shape == (2, small.network.dim)
    _, rows = top_k(users[:1], vectors, 10)
    assert (shop.kinds[rows.numpy()[0]] == 0).mean() >= 0.4


def test_frozen_vectors_are_an_input(shop, small):
    rng = np.random.default_rng(0)
    meaning = rng.normal(size=(10, 24)).astype(np.float32)
    config = small.but(inputs={"vector_dim": 24}, training={"max_epochs": 2})
    data = replace(
        shop.data,
        titles=[""] * shop.n_items,
        categories=[""] * shop.n_items,
        tag_texts=["?"] * 10,
        tag_items=np.arange(shop.n_items),
        tag_rows=shop.kinds,
        item_vectors=meaning[shop.kinds],
        tag_vectors=meaning,
    )
    model = train(data, config).model
    vectors = encode_items(model, prepare(data, config).features)
    said = encode_tags(model, text_features(["?"] * 10, config, meaning))
    _, rows = top_k(said, vectors, 10)
    assert (shop.kinds[rows.numpy()] == np.arange(10)[:, None]).mean() > 0.9


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


class Killed(BaseException):
    pass


@pytest.mark.parametrize("tables", ["adamw", "row_wise_adam"])
@pytest.mark.parametrize("when", [1, 2, 4])
def test_a_killed_training_goes_on_as_if_nothing_had_happened(shop, small, tmp_path, tables, when):
    config = small.but(
        training={"max_epochs": 3, "patience": 3, "refit": True, "ema": 0.5, "tables": tables, "warmup_steps": 9},
        loss={"learn_temperature": True},
    )
    whole, told = train(shop.data, config), []

    def kill(epoch):
        told.append(epoch)
        if len(told) == when:
            raise Killed

    with pytest.raises(Killed):
        train(shop.data, config, folder=tmp_path, progress=kill)
    assert list(tmp_path.iterdir())
    again = train(shop.data, config, folder=tmp_path, progress=told.append)
    assert same(weights(whole.model), weights(again.model))
    assert [(e.number, e.loss, e.ndcg, e.best) for e in again.epochs] == [
        (e.number, e.loss, e.ndcg, e.best) for e in whole.epochs
    ]
    numbers = [(epoch.refit, epoch.number) for epoch in told]
    assert len(numbers) == len(set(numbers))  # no epoch was run twice
    assert not list(tmp_path.iterdir())  # nothing is left of it


def test_another_trainings_state_is_passed_over(shop, small, tmp_path):
    def kill(epoch):
        raise Killed

    config = small.but(training={"max_epochs": 1})
    with pytest.raises(Killed):
        train(shop.data, config, folder=tmp_path, progress=kill)
    told = []
    train(shop.data, config.but(training={"learning_rate": 0.004}), folder=tmp_path, progress=told.append)
    assert len(told) == 1


def test_a_refit_learns_from_all_events_for_the_best_number_of_epochs(shop, small):
    config = small.but(training={"max_epochs": 4, "refit": True})
    told = []
    result = train(shop.data, config, progress=told.append)
    refitted = [epoch for epoch in told if epoch.refit]
    assert [epoch.number for epoch in refitted] == list(range(1, result.best.number + 1))
    assert all(math.isnan(epoch.ndcg) for epoch in refitted)
    assert not any(epoch.refit for epoch in result.epochs)
    every = config.but(training={"validation_share": 0.0, "max_epochs": result.best.number, "refit": False})
    assert same(weights(train(shop.data, every).model), weights(result.model))


def checkpoint_of(result, folder):
    checkpoint.save(folder, result.model, metrics={}, item_ids=[])
    return checkpoint.load(folder)


def test_training_goes_on_with_new_days_new_items_and_new_users(shop, small, tmp_path):
    config = small.but(training={"max_epochs": 3})
    early = shop.data.times < np.quantile(shop.data.times, 0.5)
    first = train(replace(shop.data, unused=~early), config)
    start = checkpoint_of(first, tmp_path / "c")
    n = shop.n_items
    data = replace(
        shop.data,
        item_ids=[*shop.data.item_ids, "new"],
        titles=[*shop.data.titles, "violet nail polish"],
        categories=[*shop.data.categories, "Shop > nail polish"],
        user_ids=[*shop.data.user_ids, "stranger"],
        users=np.append(shop.data.users, [len(shop.data.user_ids)] * 2),
        items=np.append(shop.data.items, [n, 3]),
        behaviours=np.append(shop.data.behaviours, [0, 1]),
        times=np.append(shop.data.times, [shop.data.times.max() - 1, shop.data.times.max()]),
        unused=np.append(early, [False, False]),
    )
    told = []
    result = train(data, config, start=start, progress=told.append)
    assert told[0].number == 0
    assert math.isnan(told[0].loss)
    assert told[0].ndcg == validate(start.model, prepare(data, config))[1]
    assert result.best.ndcg >= told[0].ndcg
    assert result.train_events < early.size / 2 + 3
    assert len(encode_items(result.model, prepare(data, config).features)) == n + 1
    assert same(weights(start.model), weights(checkpoint.load(tmp_path / "c").model))  # it is left as it was


def test_training_goes_on_with_the_same_network_only(shop, small, tmp_path):
    start = checkpoint_of(train(shop.data, small.but(training={"max_epochs": 1})), tmp_path / "c")
    other = small.but(training={"max_epochs": 1, "learning_rate": 0.001}, loss={"tag": 0.1})
    assert train(shop.data, other, start=start).model.config == other
    for part, change in (("network", {"hidden": 8}), ("features", {"history": 4}), ("inputs", {"vector_dim": 3})):
        with pytest.raises(TowersError, match="train anew"):
            train(shop.data, small.but(**{part: change}), start=start)


def test_a_larger_teacher_is_learnt_from(shop, small, tmp_path):
    large = small.but(network={"hidden": 64}, training={"max_epochs": 4})
    teacher = checkpoint_of(train(shop.data, large), tmp_path / "t")
    config = small.but(loss={"distillation": 1.0}, training={"max_epochs": 2})
    taught = train(shop.data, config, teacher=teacher)
    alone = train(shop.data, config.but(loss={"distillation": 0.0}))
    assert taught.epochs[0].loss > alone.epochs[0].loss
    assert not same(weights(taught.model), weights(alone.model))
    assert taught.model.state_dict().keys() == alone.model.state_dict().keys()  # the head is left behind
    with pytest.raises(TowersError, match="needs a teacher"):
        train(shop.data, config)


def test_repeats_count_in_validation_if_they_are_asked_for(shop, small):
    first = shop.data.items.reshape(150, 12)[:, :3]  # everybody takes their own three items again and again
    chosen = np.random.default_rng(0).integers(0, 3, (150, 12))
    again = replace(shop.data, items=np.take_along_axis(first, chosen, axis=1).flatten())
    config = small.but(training={"max_epochs": 1, "validation_events": 10_000}, network={"repeats": True})
    without, counted = (prepare(again, config.but(training={"repeats": value})) for value in (False, True))
    assert len(counted.validation) == len(counted.held_out) > len(without.validation)
    result = train(again, config.but(training={"repeats": True, "max_epochs": 8}))
    plain = train(again, config.but(training={"repeats": True, "max_epochs": 8}, network={"repeats": False}))
    assert result.best.ndcg > plain.best.ndcg
