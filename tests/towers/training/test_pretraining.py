import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from towers.config import TowersError
from towers.encoders.history import events
from towers.training.pretraining import freeze, pair_loss, pretrain_ids, reset, sample_pairs

N = 20  # items of two kinds: a user takes even ones or odd ones


def two_kinds(users=40, length=10, seed=0):
    rng = np.random.default_rng(seed)
    return events(
        [(rng.integers(0, N // 2, length) * 2 + user % 2, np.zeros(length), np.arange(length)) for user in range(users)]
    )


def run(rows, train=None, seed=0, **settings):
    torch.manual_seed(1)
    table = nn.Embedding(N, 8, sparse=True)
    nn.init.normal_(table.weight, std=0.02)
    optimiser = torch.optim.SparseAdam(table.parameters(), lr=0.02)
    train = torch.arange(len(rows.items)) if train is None else train
    settings = {"epochs": 8, "batch_size": 64, **settings}
    read = [rows] * settings.pop("epochs")
    losses = pretrain_ids(table, optimiser, read, train, N, **settings, seed=seed)
    return table.weight.detach(), losses


def test_items_that_go_together_come_close():
    weight, losses = run(two_kinds())
    near = F.normalize(weight, dim=-1) @ F.normalize(weight, dim=-1).T
    same = near[::2, ::2].mean() + near[1::2, 1::2].mean()
    assert same > near[::2, 1::2].mean() + near[1::2, ::2].mean() + 1
    assert len(losses) == 8
    assert losses[-1] < losses[0] - 0.3


def test_the_loss_of_pairs_is_its_formula():
    rng = np.random.default_rng(0)
    e_i, e_j, w = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.normal(size=(3, 3))
    asked, wanted, log_q = [1, 2, 1, 4, 5], [6, 7, 8, 7, 2], rng.normal(size=5)

    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    turn = nn.Linear(3, 3, bias=False).double()
    with torch.no_grad():
        turn.weight.copy_(torch.from_numpy(w))
    losses = []
    for i in range(5):
        q = unit(w @ unit(e_i[i]))
        logits = {j: q @ unit(e_j[j]) / 0.07 - log_q[j] for j in range(5)
                  if j == i or (asked[j] != asked[i] and wanted[j] != wanted[i])}  # fmt: skip
        losses.append(np.log(sum(np.exp(x) for x in logits.values())) - logits[i])
    loss = pair_loss(turn, *(torch.tensor(x) for x in (e_i, e_j, log_q, asked, wanted)))
    assert loss.item() == pytest.approx(np.mean(losses))


def test_the_first_epoch_is_the_loss_of_its_pairs_as_the_ids_began():
    """One batch before any step, from the same draws; some events are left out and one item is not known."""
    rows = two_kinds(users=6)
    rows.items[7] = -1
    train = torch.arange(45)
    usable = torch.zeros(60, dtype=torch.bool)
    usable[train] = True
    usable[7] = False
    users = torch.arange(6).repeat_interleave(10)
    later, earlier = sample_pairs(rows, usable, users, 3, torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    table = nn.Embedding(N, 8)
    nn.init.normal_(table.weight, std=0.02)
    turn = nn.Linear(8, 8, bias=False)
    nn.init.eye_(turn.weight)
    asked, wanted = rows.items[earlier], rows.items[later]
    counts = np.maximum(np.bincount(rows.items[usable].numpy(), minlength=N), 0.5) / 44
    log_q = torch.from_numpy(np.log(counts)).float()[wanted]
    expected = pair_loss(turn, table(asked), table(wanted), log_q, asked, wanted)
    _, found = run(rows, train, epochs=1, reach=3, batch_size=1000)
    assert found[0] == pytest.approx(expected.item(), rel=1e-4)


def test_the_turn_is_learnt_too():
    """Ids that can't move, and each has one that follows it: only W can learn to say which."""
    cycle = events([(np.arange(user, user + 12) % 6, np.zeros(12), np.arange(12)) for user in range(20)])
    fixed = torch.eye(6)
    nothing = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    losses = pretrain_ids(
        lambda items: fixed[items], nothing, [cycle] * 30, torch.arange(240), 6, reach=1, batch_size=32, seed=0
    )
    assert losses[-1] < losses[0] - 1


def test_the_loss_of_an_epoch_is_the_mean_over_its_pairs():
    """Batches of different sizes count by their pairs: with one row a batch every loss is 0."""
    _, losses = run(two_kinds(users=3), epochs=2, batch_size=1)
    assert losses == [0.0, 0.0]


def test_batches_have_a_largest_size(monkeypatch):
    monkeypatch.setattr("towers.training.pretraining.LARGEST_BATCH", 16)
    weight, _ = run(two_kinds(), epochs=2, batch_size=1000)
    same, _ = run(two_kinds(), epochs=2, batch_size=16)
    other, _ = run(two_kinds(), epochs=2, batch_size=15)
    assert torch.equal(weight, same)
    assert not torch.equal(weight, other)


def test_no_pairs_teach_nothing():
    alone = events([(np.array([1]), np.zeros(1), np.zeros(1))])
    _, losses = run(alone, epochs=2)
    assert losses == [0.0, 0.0]


def test_the_same_seed_gives_the_same_vectors_and_another_does_not():
    rows = two_kinds()
    first, again, other = (run(rows, epochs=2, seed=seed)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_before_the_first_event_of_all_there_is_none():
    alone = events([(np.arange(3), np.zeros(3), np.arange(3))])
    whole, users = torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.int64)
    for seed in range(20):
        later, earlier = sample_pairs(alone, whole, users, 2, torch.Generator().manual_seed(seed))
        assert ((earlier >= 0) & (earlier < later)).all()


def test_pairs_are_of_one_user_on_different_items_within_reach():
    rows = events(
        [
            (np.array([1, 1, 2, -1, 3]), np.zeros(5), np.arange(5)),
            (np.array([4]), np.zeros(1), np.zeros(1)),
            (np.array([5, 6, 7]), np.zeros(3), np.arange(3)),
        ]
    )
    usable = rows.items >= 0
    usable[7] = False  # the second event of the third user is held out
    users = torch.tensor([0, 0, 0, 0, 0, 1, 2, 2, 2])
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(200):
        later, earlier = sample_pairs(rows, usable, users, 2, generator)
        seen |= set(zip(later.tolist(), earlier.tolist(), strict=True))
    assert seen == {(2, 1), (2, 0), (4, 2), (8, 6)}
    for _ in range(5):  # within reach 1 there is no choice
        later, earlier = sample_pairs(rows, usable, users, 1, generator)
        assert (later.tolist(), earlier.tolist()) == ([2], [1])


def test_events_left_out_move_nothing():
    """Rows of items that only held-out events have stay as they began."""
    rows = two_kinds()
    train = torch.arange(200)
    torch.manual_seed(1)
    start = nn.Embedding(N, 8).weight.detach()
    nn.init.normal_(start, std=0.02)
    rows.items[200:] = 19
    rows.items[:200] = rows.items[:200].clamp(max=18)
    weight, _ = run(rows, train)
    assert torch.equal(weight[19], start[19])
    assert not torch.equal(weight[2], start[2])


def test_nothing_to_pair_is_no_error():
    _, losses = run(events([(np.array([1]), np.zeros(1), np.zeros(1))] * 3))
    assert losses == [0.0] * 8


def test_divergence_is_said():
    def broken(rows):
        return torch.full((len(rows), 2), float("nan"), requires_grad=True)

    rows = two_kinds(users=3)
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1)
    with pytest.raises(TowersError, match="learning_rate"):
        pretrain_ids(broken, optimiser, [rows], torch.arange(30), N, seed=0)


def test_frozen_ids_stay_and_the_rest_goes_on():
    table, line = nn.Embedding(3, 2), nn.Linear(2, 1)
    optimiser = torch.optim.Adam([*table.parameters(), *line.parameters()], lr=0.1)

    def step():
        optimiser.zero_grad()
        line(table(torch.tensor([0, 1]))).sum().backward()
        optimiser.step()

    step()
    freeze(table.parameters())
    before, line_before = table.weight.clone(), line.weight.clone()
    step()
    assert torch.equal(table.weight, before)
    assert not torch.equal(line.weight, line_before)


def test_reset_ids_begin_again_in_the_optimiser_too():
    table, line = nn.Embedding(3, 2), nn.Linear(2, 1)
    start = table.weight.detach().clone()
    optimiser = torch.optim.Adam([*table.parameters(), *line.parameters()], lr=0.1)
    line(table(torch.tensor([0, 1]))).sum().backward()
    optimiser.step()
    kept = line.weight.detach().clone()
    reset(table.parameters(), [start], optimiser)
    assert torch.equal(table.weight, start)
    assert torch.equal(line.weight, kept)
    assert table.weight.grad is None
    assert table.weight.requires_grad
    assert table.weight not in optimiser.state
    assert line.weight in optimiser.state
    with pytest.raises(ValueError, match="zip"):
        reset(table.parameters(), [start, start], optimiser)
