import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from towers.checkpoint import Checkpoint
from towers.config import TowersError, TrainingSettings
from towers.data import prepare
from towers.training import state
from towers.training.distributed import World
from towers.training.fit import Fit, average, clip, learning_rate
from towers.training.optimisers import RowWiseAdagrad, RowWiseAdam


def fit_of(shop, config, **settings):
    config = config.but(**settings)
    torch.manual_seed(0)
    return Fit(prepare(shop.data, config), config, World(), None, None)


def test_clipping_scales_all_gradients_together():
    net = nn.Module()
    net.dense = nn.Parameter(torch.zeros(2))
    net.table = nn.Embedding(4, 1, sparse=True)
    net.silent = nn.Parameter(torch.zeros(3))
    net.dense.grad = torch.tensor([1.0, 2.0])
    # Row 1 is looked up twice: its gradient is 4, not 2 and 2.
    net.table.weight.grad = torch.sparse_coo_tensor([[1, 3, 1]], torch.tensor([[2.0], [2.0], [2.0]]), (4, 1))
    norm = math.sqrt(1 + 4 + 16 + 4)
    assert clip(net, 10.0) == pytest.approx(norm)
    assert net.dense.grad.tolist() == [1, 2]
    assert clip(net, 2.0) == pytest.approx(norm)
    assert net.dense.grad.tolist() == pytest.approx([0.4, 0.8])
    assert net.table.weight.grad.to_dense().flatten().tolist() == pytest.approx([0, 1.6, 0, 0.8])
    assert net.silent.grad is None
    assert clip(nn.Linear(1, 1), 1.0) == 0


def test_the_average_of_weights_by_hand():
    averaged, model = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    with torch.no_grad():
        averaged.weight.fill_(2.0)
        model.weight.fill_(4.0)
        model.running_mean.fill_(7.0)
    average(averaged, model, 0.75)
    assert averaged.weight.item() == pytest.approx(2.5)
    assert averaged.running_mean.item() == 7
    assert model.weight.item() == 4


def test_every_event_once_an_epoch_in_equal_parts(shop, small):
    fit = fit_of(shop, small, loss={"user_item": "mixed", "negatives": 7})
    batches = list(fit.batches(torch.Generator().manual_seed(1)))
    places = torch.cat([batch.places for batch in batches])
    assert torch.equal(places.sort().values, fit.ready.train)
    assert not torch.equal(places, fit.ready.train)
    sizes = {len(batch.places) for batch in batches}
    assert max(sizes) <= 64
    assert max(sizes) - min(sizes) <= len(batches)
    for batch in batches:
        assert len(batch.pairs) == len(batch.places)
        assert batch.pairs.max() < len(fit.ready.tag_rows)
        assert len(batch.negatives) == 7
        assert batch.negatives.max() < shop.n_items
    assert not torch.equal(batches[0].negatives, batches[1].negatives)


def test_a_batch_is_a_hundredth_of_the_events_where_these_are_few(shop, small):
    many = replace(
        shop.data, **{name: np.tile(getattr(shop.data, name), 6) for name in ("items", "behaviours", "times")},
        users=np.repeat(np.arange(900), 12), user_ids=[f"u{n}" for n in range(900)],
    )  # fmt: skip
    config = small.but(training={"validation_share": 0.0})
    for data, size, steps in ((many, 256, 100), (many, 64, 169), (shop.data, 256, 29)):
        rules = config.but(training={"batch_size": size})
        assert Fit(prepare(data, rules), rules, World(), None, None).steps_an_epoch == steps  # 10,800 events, and 1,800


def test_an_epochs_chances_follow_from_the_seed_and_its_number(shop, small):
    losses = {}
    for seed, number in ((0, 1), (0, 2), (1, 1)):
        fit = fit_of(shop, small, training={"seed": seed})
        start = copy.deepcopy(fit.model.state_dict())
        torch.manual_seed(9)  # whatever happened before
        losses[seed, number] = fit.epoch(number)
        again = fit_of(shop, small, training={"seed": seed})
        again.model.load_state_dict(start)
        assert again.epoch(number) == losses[seed, number]
    assert len(set(losses.values())) == 3


def test_the_rate_goes_up_in_a_line_and_down_in_another():
    rules = TrainingSettings(learning_rate=0.8, warmup_steps=4, final_rate=0.25)
    found = [learning_rate(step, 40, rules) for step in (1, 2, 3, 4, 10, 22, 40, 41)]
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.7, 0.5, 0.2, 0.2])
    assert learning_rate(1, 20, rules) == pytest.approx(0.4)  # of 20 steps two warm up
    assert learning_rate(1, 9, rules) == pytest.approx(0.8 * (0.25 + 0.75 * 8 / 9))  # of fewer than ten none
    assert learning_rate(7, 10, replace(rules, final_rate=1.0)) == pytest.approx(0.8)
    assert learning_rate(5, 10, replace(rules, warmup_steps=0)) == pytest.approx(0.8 * (0.25 + 0.75 / 2))


def test_the_rate_falls_over_all_epochs(shop, small):
    fit = fit_of(shop, small, training={"final_rate": 0.5, "max_epochs": 2, "learning_rate": 0.004})
    for number in (1, 2):
        fit.epoch(number)
        steps = fit.steps_an_epoch
        assert steps == math.ceil(len(fit.ready.train) / 64)  # a hundredth would be 16
        assert fit.optimisers[0].param_groups[0]["lr"] == pytest.approx(0.004 * (1 - 0.25 * number))


def test_events_of_one_moment_stand_in_a_new_order_each_epoch(shop, small):
    days = replace(shop.data, times=shop.data.times // (4 * 86_400) * 86_400)  # four a day
    config = small.but(training={"shuffle_ties": True})
    torch.manual_seed(0)
    fit = Fit(prepare(days, config), config, World(), None, None)
    orders = []
    for number in (1, 2):
        fit.epoch(number)
        orders.append(fit.objective.ready.events.items)
    assert not torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], fit.ready.events.items)
    fit.validate()
    assert torch.equal(fit.objective.ready.events.items, fit.ready.events.items)
    assert fit_of(shop, small, training={"shuffle_ties": True}).ties is None  # there are none
    assert fit_of(shop, small).ties is None
    resumed = Fit(prepare(days, config), config, World(), None, None)
    resumed.epoch(2)
    assert torch.equal(resumed.objective.ready.events.items, orders[1])


def test_warm_up_raises_the_rate_step_by_step(shop, small):
    fit = fit_of(shop, small, training={"warmup_steps": 4, "learning_rate": 0.008})
    rates = []
    step = fit._step

    def watched(loss):
        step(loss)
        rates.append({group["lr"] for optimiser in fit.optimisers for group in optimiser.param_groups})

    fit._step = watched
    fit.epoch(1)
    assert [rate.pop() for rate in rates[:6]] == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.008, 0.008])


@pytest.mark.parametrize(("kind", "rule"), [("row_wise_adam", RowWiseAdam), ("row_wise_adagrad", RowWiseAdagrad)])
def test_tables_may_have_an_optimiser_of_their_own(shop, small, kind, rule):
    fit = fit_of(shop, small, training={"tables": kind})
    assert [type(optimiser) for optimiser in fit.optimisers] == [torch.optim.AdamW, rule]
    owned = [{id(p) for group in optimiser.param_groups for p in group["params"]} for optimiser in fit.optimisers]
    assert owned[1] == {id(fit.model.table.weight), id(fit.model.text.weight)}
    assert owned[0] | owned[1] == {id(p) for p in fit.model.parameters()}
    assert not owned[0] & owned[1]
    before = fit.model.table.weight.detach().clone()
    first = fit.epoch(1)
    assert fit.epoch(2) < first
    assert fit.model.table.weight.grad.is_sparse
    rows = fit.model.table.rows_of(fit.ready.features.keys, fit.model.of_items).unique()
    moved = (fit.model.table.weight != before).any(1).nonzero()[:, 0]
    known = set(rows.tolist()) | set(
        fit.model.table.rows_of(fit.ready.people.keys, fit.model.of_users).flatten().tolist()
    )
    assert set(moved.tolist()) <= known
    assert len(moved) > 50


def test_the_learnt_temperature_is_not_decayed(shop, small):
    fit = fit_of(shop, small, loss={"learn_temperature": True})
    groups = fit.optimisers[0].param_groups
    decayed = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert decayed[id(fit.objective.temperature.log)] == 0
    assert decayed[id(fit.model.text.weight)] == small.training.weight_decay


def test_ids_are_frozen_after_an_epoch_or_put_back(shop, small):
    frozen = fit_of(shop, small, training={"ids_after_epoch": "freeze"})
    frozen.epoch(1)
    ids, words = frozen.model.table.weight.detach().clone(), frozen.model.text.weight.detach().clone()
    frozen.epoch(2)
    assert torch.equal(frozen.model.table.weight, ids)
    assert not torch.equal(frozen.model.text.weight, words)
    back = fit_of(shop, small, training={"ids_after_epoch": "reset"})
    first = back.model.table.weight.detach().clone()
    back.epoch(1)
    assert torch.equal(back.model.table.weight, first)
    assert not back.optimisers[-1].state[back.model.table.weight]


def test_pre_training_gives_ids_their_first_vectors_and_nothing_else(shop, small):
    plain = fit_of(shop, small)
    fit = fit_of(shop, small, training={"pretrain_epochs": 3, "ids_after_epoch": "reset"})
    assert not torch.equal(fit.model.table.weight, plain.model.table.weight)
    assert torch.equal(fit.first_ids[0], fit.model.table.weight)  # a reset goes back to here
    assert all(not optimiser.state for optimiser in fit.optimisers)
    for name, value in plain.model.state_dict().items():
        if name != "table.weight":
            assert torch.equal(fit.model.state_dict()[name], value), name


def test_pre_training_reads_events_of_one_moment_in_a_new_order_each_epoch(shop, small, monkeypatch):
    read = []
    monkeypatch.setattr("towers.training.fit.pretrain_ids", lambda ids, by, epochs, *_, **__: read.extend(epochs))
    days = replace(shop.data, times=shop.data.times // (4 * 86_400) * 86_400)  # four a day

    def log(**settings):
        read.clear()
        config = small.but(training={"pretrain_epochs": 2, **settings})
        return Fit(prepare(days, config), config, World(), None, None).ready.events.items

    kept = log()
    assert [torch.equal(one.items, kept) for one in read] == [True, True]
    log(shuffle_ties=True)
    first, second = (one.items for one in read)
    assert not torch.equal(first, kept)
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, kept.sort().values)
    log(shuffle_ties=True)
    assert torch.equal(read[0].items, first)
    log(shuffle_ties=True, seed=small.training.seed + 1)
    assert not torch.equal(read[0].items, first)


def test_pre_training_keeps_to_the_settings(shop, small, monkeypatch):
    said = []
    monkeypatch.setattr("towers.training.fit.pretrain_ids", lambda *_, **rules: said.append(rules))
    fit_of(shop, small, training={"pretrain_epochs": 1, "batch_size": 48, "seed": 5})
    assert said == [{"batch_size": 48, "seed": 5}]


def test_who_goes_on_from_towers_does_not_pre_train(shop, small):
    config = small.but(training={"pretrain_epochs": 2})
    before = fit_of(shop, config).model
    start = Checkpoint(before, config, {}, "", "")
    fit = Fit(prepare(shop.data, config), config, World(), start, None)
    for name, value in before.state_dict().items():
        assert torch.equal(fit.model.state_dict()[name], value), name


def test_without_ids_there_is_nothing_to_pre_train(shop, small):
    fit = fit_of(shop, small, features={"item_id": False}, training={"pretrain_epochs": 3})
    assert torch.equal(fit.model.table.weight, fit_of(shop, small, features={"item_id": False}).model.table.weight)


def test_the_average_forgets_its_beginning(shop, small, monkeypatch):
    decays = []
    monkeypatch.setattr("towers.training.fit.average", lambda averaged, model, decay: decays.append(decay))
    fit_of(shop, small, training={"ema": 0.5}).epoch(1)
    assert decays[:9] == pytest.approx([*((1 + step) / (10 + step) for step in range(1, 8)), 0.5, 0.5])


def test_averaged_weights_are_the_ones_ranked_and_kept(shop, small):
    fit = fit_of(shop, small, training={"ema": 0.9})
    fit.epoch(1)
    fit.keep()
    for name, value in fit.averaged.state_dict().items():
        assert torch.equal(fit.kept[name], value)
    assert not torch.equal(fit.averaged.text.weight, fit.model.text.weight)
    averaged = fit.validate()
    fit.averaged = None
    assert fit.validate() != averaged


def test_deviations_name_the_layers(shop, small):
    fit = fit_of(shop, small)
    fit.epoch(1)
    assert {"item.members.0.body", "user.members.0.body", "text"} <= set(fit.deviations)
    assert all(value > 0 for value in fit.deviations.values())


def test_a_training_that_is_saved_goes_on_as_the_same(shop, small, tmp_path):
    settings = {"training": {"ema": 0.9, "tables": "row_wise_adam"}, "loss": {"learn_temperature": True}}
    first = fit_of(shop, small, **settings)
    first.epoch(1)
    first.keep()
    first.first_ids[0] += 1
    with torch.no_grad():
        first.objective.temperature.log += 0.3
    assert not any(p.requires_grad for p in first.averaged.parameters())
    tensors, facts = first.saved()
    state.write(tmp_path / "s", "mark", tensors, facts)
    second = fit_of(shop, small, **settings)
    second.restore(state.read(tmp_path / "s", "mark"))
    again, same_facts = second.saved()
    assert json.dumps(same_facts) == json.dumps(facts)
    assert again.keys() == tensors.keys()
    parts = {name.split("/")[0] for name in tensors}
    assert parts == {"model", "objective", "averaged", "kept", "first", "optimiser 0", "optimiser 1"}
    for name, value in tensors.items():
        assert torch.equal(again[name], value), name
    assert second.epoch(2) == first.epoch(2)


def test_dropout_has_other_chances_in_each_epoch_and_process(shop, small, monkeypatch):
    seeds = []
    fit = fit_of(shop, small)
    monkeypatch.setattr("towers.training.fit.torch.manual_seed", seeds.append)
    fit.epoch(1)
    fit.epoch(2)
    assert seeds == [2 * 1_000_003, 3 * 1_000_003]
    fit.who = replace(fit.who, rank=1)
    fit.epoch(2)
    assert seeds[-1] == 3 * 1_000_003 + 1


def test_the_first_step_is_watched_and_then_each_so_many(shop, small, monkeypatch):
    monkeypatch.setattr("towers.training.fit.WATCH_EVERY", 3)
    fit, seen = fit_of(shop, small), []
    enter = fit.watch.__enter__
    monkeypatch.setattr(type(fit.watch), "__enter__", lambda _: (seen.append(fit.steps), enter())[1])
    batch = next(fit.batches(torch.Generator().manual_seed(0)))
    for _ in range(7):
        fit.step(batch)
    assert seen == [0, 3, 6]


def test_a_loss_that_is_not_finite_is_not_learnt_from(shop, small):
    fit = fit_of(shop, small)
    before = fit.model.text.weight.detach().clone()
    fit.objective.forward = lambda model, batch: model.text.weight.sum() * math.nan
    with pytest.raises(TowersError, match="lower"):
        fit.step(next(fit.batches(torch.Generator().manual_seed(0))))
    assert torch.equal(fit.model.text.weight, before)
