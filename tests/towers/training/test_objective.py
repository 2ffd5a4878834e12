"""Each term of the loss against the same loss of vectors that are encoded apart, one item and one user at a time."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from towers.data import prepare
from towers.losses.category import category_contrast
from towers.losses.chain import chain_loss
from towers.losses.full_softmax import full_softmax
from towers.losses.gbce import gbce
from towers.losses.mixed import drawn_hits, log_mixture, mixed_softmax
from towers.losses.sampled_softmax import accidental_hits, log_frequency, sampled_softmax, shared_softmax
from towers.model import ThreeTowers
from towers.repeats import past
from towers.scoring import encode_items
from towers.training.distillation import distillation
from towers.training.distributed import World
from towers.training.objective import Batch, Objective
from towers.training.own import had_before, own_loss
from towers.training.questions import Asking

T = 0.1


class Case:
    """A batch of twenty events, its vectors encoded apart, and its loss."""

    def __init__(self, shop, small, teacher=None, **settings):
        torch.manual_seed(0)
        loss = {"temperature": T, "tag": 0.0} | settings.pop("loss", {})
        self.config = small.but(loss=loss, **settings)
        weights = np.random.default_rng(0).uniform(0.1, 3, len(shop.data.users))
        self.ready = ready = prepare(replace(shop.data, weights=weights), self.config)
        self.model = ThreeTowers(self.config).eval()
        self.objective = Objective(self.config, ready, World(), teacher)
        drawn = torch.arange(3, 60, 5) if self.objective.n_negatives else torch.zeros(0, dtype=torch.int64)
        pairs = torch.arange(0, 40, 2) if self.objective.with_tags else torch.zeros(0, dtype=torch.int64)
        places = ready.train[torch.arange(0, 60, 3)]
        self.batch = Batch(places, pairs, drawn, ready.events.times[places])
        self.items = encode_items(self.model, ready.features)
        users = ready.users[self.batch.places]
        window = ready.events.before(self.batch.places, users, self.config.features.history)
        self.people = self.model.users(ready.people.select(users), window, self.items)  # (B, T, D)
        self.targets, self.users = ready.events.items[self.batch.places], users
        self.weights = ready.weights[self.batch.places]
        self.hits = accidental_hits(users, self.targets)
        self.log_q = log_frequency(ready.events.items[ready.train], shop.n_items)

    @property
    def loss(self):
        return self.objective(self.model, self.batch).item()

    def in_batch(self):
        wanted = self.items[self.targets]
        return sampled_softmax(self.people[:, 0], wanted, self.log_q[self.targets], self.hits, T, self.weights).item()


@pytest.mark.parametrize("kind", ["mixed", "full"])
def test_what_a_batch_reads_is_there_once_and_pointed_to(shop, small, kind):
    case = Case(shop, small, loss={"user_item": kind, "tag": 0.5})
    events, keys, history = case.ready.events, case.ready.features.keys, case.config.features.history
    first = case.ready.train[torch.isin(case.ready.train, (events.items == 0).nonzero()[:, 0] + 1)]  # after item 0
    drawn = torch.arange(3, 60, 5)
    places = torch.cat([case.batch.places, first])
    batch = replace(case.batch, places=places, moments=events.times[places], negatives=drawn)
    read = case.objective.inputs(batch)
    window = events.before(batch.places, case.ready.users[batch.places], history)
    assert (window.items == 0).any()
    assert torch.equal(read.window.items < 0, window.items < 0)
    known = window.items >= 0
    for places, rows in (
        (read.targets, events.items[batch.places]),
        (read.negatives, drawn),
        (read.described, case.ready.tag_items[batch.pairs]),
        (read.window.items[known], window.items[known]),
    ):
        assert len(rows)
        assert torch.equal(read.items.keys[places], keys[rows])
    assert len(torch.unique(read.items.keys[:, 0])) == len(read.items)
    assert torch.equal(read.items.keys, keys) == (kind == "full")
    assert torch.equal(read.people.keys, case.ready.people.keys[case.ready.users[batch.places]])
    assert torch.equal(read.tags.bags.rows, case.ready.tags.bags.select(case.ready.tag_rows[batch.pairs]).rows)


def test_in_batch_is_the_base_and_weights_of_0_leave_all_else_out(shop, small):
    case = Case(shop, small)
    assert case.loss == pytest.approx(case.in_batch(), rel=1e-5)


@pytest.mark.parametrize("kind", ["mixed", "full", "gbce"])
def test_other_kinds_of_user_item_loss(shop, small, kind):
    case = Case(shop, small, loss={"user_item": kind, "calibration": 0.6})
    asked, wanted, drawn = case.people[:, 0], case.items[case.targets], case.batch.negatives
    if kind == "full":
        expected = full_softmax(asked, case.items, case.targets, T, case.weights)
    elif kind == "mixed":
        rows, hits = torch.cat([case.targets, drawn]), torch.cat([case.hits, drawn_hits(case.targets, drawn)], 1)
        log_q = case.log_q[rows]
        expected = mixed_softmax(asked, wanted, case.items[drawn], log_q, hits, shop.n_items, T, case.weights)
    else:
        hits = drawn_hits(case.targets, drawn)
        bias = -math.log(shop.n_items - 1)
        assert case.objective.bias.item() == pytest.approx(bias)
        assert case.objective.bias.requires_grad
        expected = gbce(asked, wanted, case.items[drawn], hits, shop.n_items, 0.6, T, case.weights, bias)
    assert case.loss == pytest.approx(expected.item(), rel=1e-5)


def test_auto_is_the_whole_catalogue_while_it_is_small(shop, small):
    full = Case(shop, small, loss={"user_item": "full"}).loss
    assert Case(shop, small, loss={"user_item": "auto", "full_items": shop.n_items}).loss == full
    mixed = Case(shop, small, loss={"user_item": "auto", "full_items": shop.n_items - 1})
    assert mixed.loss == Case(shop, small, loss={"user_item": "mixed"}).loss
    assert mixed.objective.n_negatives == small.loss.negatives
    again = Case(shop, small, loss={"user_item": "auto"}, network={"repeats": True})
    assert again.objective.user_item == "mixed"  # the whole catalogue has no term for repeats


def test_members_of_a_pair_learn_each_by_its_own_loss(shop, small):
    case = Case(shop, small, network={"pair": True}, loss={"tag": 0.3})
    rows, items = case.ready.tag_rows[case.batch.pairs], case.ready.tag_items[case.batch.pairs]
    tags = case.model.tags(case.ready.tags.select(rows))
    log_q = log_frequency(case.ready.tag_items, shop.n_items)[items]
    expected = 0.0
    for half in (slice(0, 16), slice(16, 32)):
        users, wanted = (side[:, half] * 2**0.5 for side in (case.people[:, 0], case.items))
        event = sampled_softmax(users, wanted[case.targets], case.log_q[case.targets], case.hits, T, case.weights)
        tag = sampled_softmax(tags[:, half] * 2**0.5, wanted[items], log_q, accidental_hits(rows, items), T)
        expected += (event.item() + 0.3 * tag.item()) / 2
    assert case.loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("pair", [False, True])
def test_a_prior_is_added_to_what_each_member_says(shop, small, pair):
    case = Case(shop, small, network={"pair": pair, "prior": True}, loss={"user_item": "full"})
    torch.nn.init.normal_(case.model.prior.weight)
    case.items = encode_items(case.model, case.ready.features)
    prior = case.items[:, -1:]
    assert prior.std() > 0
    expected = 0.0
    for start in range(0, 32 if pair else 16, 16):
        users, items = (
            side[:, start : start + 16] * (2 if pair else 1) ** 0.5 for side in (case.people[:, 0], case.items)
        )
        users, items = torch.cat([users, torch.ones(len(users), 1)], 1), torch.cat([items, prior], 1)
        expected += full_softmax(users, items, case.targets, T, case.weights).item() / (2 if pair else 1)
    assert case.loss == pytest.approx(expected, rel=1e-5)


def test_tags_and_their_categories(shop, small):
    case = Case(shop, small, loss={"tag": 0.3, "category": 0.7})
    rows, items = case.ready.tag_rows[case.batch.pairs], case.ready.tag_items[case.batch.pairs]
    said, wanted = case.model.tags(case.ready.tags.select(rows)), case.items[items]
    log_q = log_frequency(case.ready.tag_items, shop.n_items)[items]
    tag = sampled_softmax(said, wanted, log_q, accidental_hits(rows, items), T)
    kinds = torch.from_numpy(shop.kinds)[items]
    category = category_contrast(said, wanted, kinds, kinds, log_q, items[:, None] == items, T)
    assert case.loss == pytest.approx(case.in_batch() + 0.3 * tag.item() + 0.7 * category.item(), rel=1e-5)
    alone = Case(shop, small, loss={"category": 0.7})
    assert alone.loss == pytest.approx(alone.in_batch() + 0.7 * category.item(), rel=1e-5)


def test_each_task_is_asked_of_its_own_vector(shop, small):
    case = Case(shop, small, network={"tasks": ("purchase", "view")})
    kinds = case.ready.events.behaviours[case.batch.places]
    assert len(kinds.unique()) == 2
    tasks = 1 - kinds  # purchase, which is behaviour 1, is the first task
    asked = case.people[torch.arange(20), tasks]
    hits = accidental_hits(case.users * 2 + tasks, case.targets)
    wanted, log_q = case.items[case.targets], case.log_q[case.targets]
    expected = sampled_softmax(asked, wanted, log_q, hits, T, case.weights)
    assert case.loss == pytest.approx(expected.item(), rel=1e-5)
    assert not torch.equal(hits, case.hits)


def test_the_chain_goes_from_the_last_task_to_the_first(shop, small):
    case = Case(shop, small, network={"tasks": ("purchase", "view")}, loss={"chain": 0.5})
    base = Case(shop, small, network={"tasks": ("purchase", "view")})
    with torch.no_grad():
        case.objective.chain_bias.copy_(torch.tensor([0.3, -0.2]))
    kinds, wanted = case.ready.events.behaviours[case.batch.places], case.items[case.targets]
    logits, labels, weights = [], [], []
    for row in range(20):
        other = (row + 1) % 20
        same = case.targets[row] == case.targets[other] or (
            case.users[row] == case.users[other] and kinds[row] == kinds[other]
        )
        for item, bought, viewed, weight in (
            (wanted[row], float(kinds[row] == 1), 1.0, case.weights[row]),
            (wanted[other], 0.0, 0.0, case.weights[row] * (not same)),
        ):
            viewing, buying = (case.people[row, task] @ item / T for task in (1, 0))
            logits.append(torch.stack([viewing + 0.3, buying - 0.2]))
            labels.append([viewed, bought])
            weights.append(weight)
    expected = chain_loss(torch.stack(logits), torch.tensor(labels), torch.stack(weights))
    assert case.loss == pytest.approx(base.loss + 0.5 * expected.item(), rel=1e-5)


def test_corruption_contrasts_two_views_of_each_item_once(shop, small, monkeypatch):
    seen = []

    def contrast(first, second, temperature):
        seen.append((first, second, float(temperature)))
        return first.new_tensor(2.0)

    monkeypatch.setattr("towers.training.objective.info_nce", contrast)
    case = Case(shop, small, loss={"corruption": 0.25, "corruption_share": 0.34})
    assert case.loss == pytest.approx(case.in_batch() + 0.25 * 2, rel=1e-5)
    (first, second, temperature) = seen[0]
    assert first.shape == second.shape == (len(case.targets.unique()), small.network.dim)
    assert temperature == pytest.approx(T)
    assert torch.allclose(first.norm(dim=1), torch.ones(len(first)), atol=1e-5)
    assert not torch.allclose(first, second, atol=0.01)


@pytest.mark.parametrize("kind", ["in_batch", "mixed"])
def test_vectors_learn_what_is_new_and_the_term_what_was_had(shop, small, kind):
    data = replace(shop.data, items=np.where(np.arange(len(shop.data.items)) % 5 == 2, 3, shop.data.items))
    case = Case(replace(shop, data=data), small, network={"repeats": True}, loss={"user_item": kind})
    with torch.no_grad():
        case.model.repeats.down.weight.normal_()
    known, drawn = past(case.ready.events, 2), case.batch.negatives
    sampled = torch.cat([case.targets, drawn])
    own = known.own(case.batch.places, case.users)
    had = [set(own.items[own.rows == row].tolist()) for row in range(20)]
    new = torch.tensor([item not in had[row] for row, item in enumerate(case.targets.tolist())])
    assert 0 < new.sum() < 20
    hits = torch.cat([case.hits, drawn_hits(case.targets, drawn)], 1)
    mine = torch.tensor([[item in had[row] for item in sampled.tolist()] for row in range(20)])
    hits, weights, log_q = hits | (mine & new[:, None]), case.weights * new, case.log_q[sampled]
    vectors = case.items[case.targets], case.items[drawn]
    if kind == "mixed":
        of_new = mixed_softmax(case.people[:, 0], *vectors, log_q, hits, shop.n_items, T, weights)
    else:
        of_new = sampled_softmax(case.people[:, 0], vectors[0], log_q, hits, T, weights)
    asked = Asking(case.ready, 0.0).questions(case.batch.places, case.batch.moments)
    of_own = own_loss(
        case.model.repeats, case.ready.features.habits, had_before(known, asked, case.targets, sampled),
        case.people[:, 0], torch.cat(vectors), log_mixture(log_q, 20, len(drawn), shop.n_items), torch.tensor(T),
        case.weights,
    )  # fmt: skip
    assert case.loss == pytest.approx(of_new.item() + of_own.item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["in_batch", "mixed"])
@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("tasks", [(), ("purchase", "view")])
def test_with_a_horizon_many_events_are_one_question(shop, small, kind, repeats, tasks):
    data = replace(shop.data, items=np.where(np.arange(len(shop.data.items)) % 5 == 2, 3, shop.data.items))
    settings = {"network": {"repeats": repeats, "tasks": tasks}, "training": {"horizon": 4.0}}
    case = Case(replace(shop, data=data), small, loss={"user_item": kind}, **settings)
    places, t, drawn = case.batch.places, torch.tensor(T), case.batch.negatives
    moments = Asking(case.ready, 4.0).moments(places, 0)
    case.batch = replace(case.batch, moments=moments)
    asked = Asking(case.ready, 4.0).questions(places, moments)
    assert 1 < len(asked.users) < 20
    window = case.ready.events.before(asked.ends, asked.users, case.config.features.history, asked.moments)
    people = case.model.users(case.ready.people.select(asked.users), window, case.items)[asked.rows]  # (B, T, D)
    of_task = 1 - case.ready.events.behaviours[places] if tasks else torch.zeros_like(places)
    sampled = torch.cat([case.targets, drawn])
    wanted = [
        {item for item, row, task in zip(case.targets.tolist(), asked.rows.tolist(), of_task.tolist(), strict=True)
         if (row, task) == mine}
        for mine in zip(asked.rows.tolist(), of_task.tolist(), strict=True)
    ]  # fmt: skip
    weights, extra = case.weights, 0.0
    log_shares = log_mixture(case.log_q[sampled], 20, len(drawn), shop.n_items)
    vectors = case.items[sampled]
    if repeats:
        with torch.no_grad():
            case.model.repeats.down.weight.normal_()
        had = had_before(past(case.ready.events, 2), asked, case.targets, sampled)
        for row, mine in zip(asked.rows.tolist(), wanted, strict=True):
            mine |= set(had.own.items[had.own.rows == row].tolist())
        weights, habits = weights * had.new, case.ready.features.habits
        assert 0 < had.new.sum() < 20
        extra = own_loss(case.model.repeats, habits, had, people[:, 0], vectors, log_shares, t, case.weights).item()
    hits = torch.tensor([[item in mine for item in sampled.tolist()] for mine in wanted])
    queries = people[torch.arange(20), of_task]
    expected = shared_softmax(queries, torch.arange(20), vectors, log_shares, hits, t, weights)
    assert case.loss == pytest.approx(expected.item() + extra, rel=1e-5)


@pytest.mark.parametrize("tasks", [(), ("purchase", "view")])
def test_a_teacher_is_followed_by_the_auxiliary_head(shop, small, tasks):
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(2000, shop.n_items, generator=generator)
    case = Case(
        shop, small, lambda places, items: table[places][:, items], loss={"distillation": 0.4}, network={"tasks": tasks}
    )
    with torch.no_grad():
        case.objective.auxiliary.turn.weight.normal_()
    wanted, log_q = case.items[case.targets], case.log_q[case.targets]
    student = case.objective.auxiliary(case.people[:, 0]) @ wanted.T / T
    kinds = 1 - case.ready.events.behaviours[case.batch.places] if tasks else 0
    hits = accidental_hits(case.users * 2 + kinds, case.targets)
    expected = distillation(student, table[case.batch.places][:, case.targets], log_q, hits)
    alone = Case(shop, small, network={"tasks": tasks})
    assert case.loss == pytest.approx(alone.loss + 0.4 * expected.item(), rel=1e-5)


def test_a_learnt_temperature_is_learnt(shop, small):
    case = Case(shop, small, loss={"learn_temperature": True})
    case.objective(case.model, case.batch).backward()
    assert [name for name, _ in case.objective.named_parameters()] == ["temperature.log"]
    assert case.objective.temperature.log.grad.abs() > 0
    assert not list(Case(shop, small).objective.parameters())


def test_what_is_drawn_follows_from_the_loss(shop, small):
    assert Case(shop, small).objective.n_negatives == 0
    assert Case(shop, small, loss={"user_item": "gbce", "negatives": 9}).objective.n_negatives == 9
    assert not Case(shop, small).objective.with_tags
    assert Case(shop, small, loss={"tag": 0.1}).objective.with_tags
    untold = replace(shop, data=replace(shop.data, tag_texts=(), tag_items=None, tag_rows=None))
    assert not Case(untold, small, loss={"tag": 0.1}).objective.with_tags
    assert Case(untold, small, loss={"tag": 0.1}).loss == Case(shop, small).loss


def test_parts_of_a_batch_in_the_order_in_which_they_are_joined():
    batch = Batch(torch.arange(5), torch.arange(3), torch.arange(4), torch.arange(5) * 10)
    whole, mine = batch.split(World(1, 2))
    assert whole.places.tolist() == [0, 2, 4, 1, 3]
    assert whole.moments.tolist() == [0, 20, 40, 10, 30]
    assert mine.moments.tolist() == [10, 30]
    assert (mine.places.tolist(), mine.pairs.tolist(), mine.negatives.tolist()) == ([1, 3], [1], [1, 3])
