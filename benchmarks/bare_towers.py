"""The training of items and users as one would write it for one shop in plain PyTorch, to measure the towers against.

The same sums as theirs: an item is its id, its category's levels summed, its brand and the mean of its word pieces; a
user is the pooled vectors of what they did before; each member of the network has two layers beside a straight path,
unit vectors, and an in-batch or a full softmax of its own. But there is no option, and nothing to look up or to hash at
run time: rows of tables, histories and lists of pieces are ready tensors.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from towers.config import TowersConfig
from towers.data import Prepared
from towers.losses.sampled_softmax import log_frequency
from towers.model import ThreeTowers
from towers.training.optimisers import RowWiseAdam

ITEM_FIELDS = ([0, 1, 2, 3], [0, 1, 3])  # that each member reads: id, category, brand, words


class BareTower(nn.Module):
    """(N, n_in) to unit vectors (N, D)."""

    def __init__(self, n_in: int, hidden: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.straight = nn.Linear(n_in, dim, bias=False)
        self.up, self.down, self.dropout = nn.Linear(n_in, hidden), nn.Linear(hidden, dim), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.straight(x) + self.down(self.dropout(F.gelu(self.up(x)))), dim=1)


class BareTowers(nn.Module):
    def __init__(self, config: TowersConfig) -> None:
        super().__init__()
        read, network = config.features, config.network
        self.dim, self.members, self.id_dropout = network.dim, network.members, network.id_dropout
        width, sparse = self.dim * self.members, config.training.tables != "adamw"
        self.ids = nn.Embedding(read.table_rows, width, sparse=sparse)
        self.pieces = nn.EmbeddingBag(read.text_rows, width, mode="mean", sparse=sparse, include_last_offset=True)
        self.places = nn.Parameter(torch.empty(2, read.history))  # logits of a place in the history, two horizons
        self.item = nn.ModuleList(
            BareTower(len(fields) * self.dim, network.hidden, self.dim, network.dropout)
            for fields in ITEM_FIELDS[: self.members]
        )
        self.user = nn.ModuleList(
            BareTower(2 * self.dim, network.hidden, self.dim, network.dropout) for _ in range(self.members)
        )

    def items(self, rows: Tensor, pieces: Tensor, offsets: Tensor) -> list[Tensor]:
        """Each member's (M, D) of items with rows (M, 1 + levels + 1) of the table of ids."""
        ids = self.ids(rows)  # (M, 1 + levels + 1, W)
        own, path, brand = ids[:, 0], ids[:, 1:-1].sum(1), ids[:, -1]
        if self.training:
            own = own * (torch.rand(len(rows), 1) >= self.id_dropout)
        fields = [part.split(self.dim, dim=1) for part in (own, path, brand, self.pieces(pieces, offsets))]
        return [
            tower(torch.cat([fields[n][member] for n in ITEM_FIELDS[member]], dim=1))
            for member, tower in enumerate(self.item)
        ]

    def users(self, past: Tensor, vectors: list[Tensor]) -> list[Tensor]:
        """Each member's (B, D) of users with pasts (B, H), places in vectors (M, D); -1: nothing."""
        shares = self.places.exp() * (past >= 0)[:, None]  # (B, 2, H)
        shares = shares / shares.sum(2, keepdim=True).clamp(min=1e-9)
        known = past.clamp(min=0)
        return [tower((shares @ own[known]).flatten(1)) for tower, own in zip(self.user, vectors, strict=True)]

    def like(self, model: ThreeTowers) -> None:
        """Take over the weights of the towers."""
        theirs = [model.table.weight, model.text.weight, model.pools[0].place[0]]
        mine = [self.ids.weight, self.pieces.weight, self.places]
        members = [*zip(self.item, model.item.members, strict=True), *zip(self.user, model.user.members, strict=True)]
        for bare, tower in members:
            mine += [bare.straight.weight, *bare.up.parameters(), *bare.down.parameters()]
            body = tower.body
            theirs += [body.straight.weight, *body.layers[0].linear.parameters(), *body.down.parameters()]
        with torch.no_grad():
            for here, there in zip(mine, theirs, strict=True):
                here.copy_(there)


class BareLoop:
    """The towers again, their data as ready tensors, and their optimisers: one `step` after another."""

    def __init__(
        self, ready: Prepared, config: TowersConfig, model: ThreeTowers, *, full: bool, own_adam: bool = True
    ) -> None:
        """full: softmax over all items. own_adam: sparse tables have the towers' own optimiser, not SparseAdam."""
        self.full, self.temperature = full, config.loss.temperature
        self.model = BareTowers(config)
        self.model.like(model)
        every = torch.arange(len(ready.events.items))
        self.users, self.targets = ready.users, ready.events.items
        self.past = ready.events.before(every, ready.users, config.features.history).items  # (E, H)
        self.rows = model.table.rows_of(ready.features.keys, model.of_items)[..., 0]  # (N, 1 + levels + 1)
        bags = ready.features.text.bags
        self.pieces, self.offsets, self.lengths = bags.rows, bags.offsets, bags.offsets.diff()
        self.log_q = log_frequency(self.targets[ready.train], len(self.rows))
        rules = config.training
        tables = [self.model.ids.weight, self.model.pieces.weight] if rules.tables != "adamw" else []
        dense = [p for p in self.model.parameters() if not any(p is table for table in tables)]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(dense, lr=rules.learning_rate, weight_decay=rules.weight_decay, fused=True)
        ]
        if tables:
            kind = RowWiseAdam if own_adam else torch.optim.SparseAdam
            self.optimisers.append(kind(tables, lr=rules.learning_rate))

    def step(self, places: Tensor) -> None:
        """Learn from a batch of events (B,)."""
        loss = self.loss(places)
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in self.optimisers:
            optimiser.step()

    def loss(self, places: Tensor) -> Tensor:
        """The mean of the members' losses."""
        losses = (self._over_all if self.full else self._in_batch)(places)
        return torch.stack(losses).mean()

    def _over_all(self, places: Tensor) -> list[Tensor]:
        vectors = self.model.items(self.rows, self.pieces, self.offsets)  # (N, D) each
        asked = self.model.users(self.past[places], vectors)  # (B, D) each
        return [
            F.cross_entropy((own / self.temperature) @ items.T, self.targets[places])  # (B, N)
            for own, items in zip(asked, vectors, strict=True)
        ]

    def _in_batch(self, places: Tensor) -> list[Tensor]:
        targets, past, users = self.targets[places], self.past[places], self.users[places]  # (B,), (B, H), (B,)
        items, local = torch.unique(torch.cat([targets, past.flatten()]), return_inverse=True)
        empty = int(items[0] == -1)  # a place of the pasts that are shorter
        vectors = self.model.items(self.rows[items[empty:]], *self._bags(items[empty:]))  # (M, D) each
        wanted, read = (local - empty).split([len(targets), past.numel()])
        asked = self.model.users(read.view_as(past), vectors)  # (B, D) each
        hits = (users[:, None] == users) | (targets[:, None] == targets)
        hits.fill_diagonal_(False)
        losses = []
        for own, known in zip(asked, vectors, strict=True):
            logits = (own / self.temperature) @ known[wanted].T - self.log_q[targets]  # (B, B)
            losses.append(F.cross_entropy(logits.masked_fill(hits, -torch.inf), torch.arange(len(places))))
        return losses

    def _bags(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """The pieces of these items in a row, and where each item's begin."""
        lengths = self.lengths[items]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        shift = torch.repeat_interleave(self.offsets[items] - offsets[:-1], lengths)
        return self.pieces[torch.arange(len(shift)) + shift], offsets
