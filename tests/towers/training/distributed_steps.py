"""Alone or under torchrun: a few steps of a small two-tower network, and a training of the towers.

python distributed_steps.py OUT. Rank 0 writes.
"""

import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from towers.config import FeatureSettings, NetworkSettings, TowersConfig, TrainingSettings
from towers.data import TrainingData
from towers.training.distributed import World, world
from towers.training.loop import train


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.users = nn.Embedding(12, 4, sparse=True)
        self.items = nn.Embedding(12, 4, sparse=True)
        self.rare = nn.Embedding(12, 4, sparse=True)  # read by the rank alone that holds user 0
        self.only = nn.Linear(4, 4)  # the same, with dense gradients
        self.never = nn.Linear(2, 2)
        self.tower = nn.Linear(4, 4)
        self.temperature = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("scale", torch.rand(1) + 1)
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)

    def query(self, users):
        x = self.users(users)
        if (users == 0).any():
            x = torch.where((users == 0)[:, None], self.only(x + self.rare(users)), x)
        return F.normalize(self.tower(x), dim=-1) * self.scale


def steps(here: World) -> tuple[Net, list[float]]:
    torch.manual_seed(here.rank)  # every rank begins elsewhere: rank 0's weights must win
    net = Net().double()
    here.share(net)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.5)
    order = torch.Generator().manual_seed(7)
    losses = []
    for _ in range(4):
        users, items = (torch.randperm(12, generator=order)[:9] for _ in range(2))  # 9: the parts are unequal
        users[0] = 0
        queries, vectors = net.query(here.part(users)), F.normalize(net.items(here.part(items)), dim=-1)
        queries, vectors = here.gather(queries), here.gather(vectors)
        assert set(here.gather(here.part(items)).tolist()) == set(items.tolist())
        loss = F.cross_entropy(queries @ vectors.T * net.temperature.exp(), torch.arange(9))
        optimiser.zero_grad()
        loss.backward()
        here.average(net)
        optimiser.step()
        assert here.agreed(float(here.rank)) == (0.0,)
        losses.append(here.agreed(loss.item())[0])
    return net, losses


def training():
    """Weights and losses of a training without dropout, which each rank draws for itself."""
    rng = np.random.default_rng(0)
    n_users, n_items, length = 30, 40, 8
    data = TrainingData(
        item_ids=[f"i{n}" for n in range(n_items)],
        titles=[f"thing {n % 7}" for n in range(n_items)],
        categories=[f"kind {n % 5}" for n in range(n_items)],
        user_ids=[f"u{n}" for n in range(n_users)],
        users=np.repeat(np.arange(n_users), length),
        items=rng.integers(0, n_items, n_users * length),
        behaviours=np.zeros(n_users * length, dtype=np.int64),
        times=np.sort(rng.integers(0, 90 * 86400, (n_users, length))).flatten(),
    )
    config = TowersConfig(
        features=FeatureSettings(history=4, table_rows=256, text_rows=256),
        network=NetworkSettings(dim=8, hidden=16, dropout=0.0, id_dropout=0.0, repeats=True),
        training=TrainingSettings(batch_size=61, max_epochs=2, clip_norm=1.0, tables="row_wise_adam", repeats=True),
    )
    trained = train(data, config)
    return trained.model.state_dict(), [(epoch.loss, epoch.ndcg) for epoch in trained.epochs]


if __name__ == "__main__":
    here = world()
    net, losses = steps(here)
    trained = training()
    if here.writes:
        facts = {"weights": net.state_dict(), "losses": losses, "size": here.size, "trained": trained}
        torch.save(facts, sys.argv[1])
