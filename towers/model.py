"""Three towers into one space: items, users and tags as vectors of the same width, whose dot product is the score.

    item = tower[ ids, categories, semantic ids | numbers | text ]
    user = tower[ ids and base features | numbers | pooled history ]     one vector for each task
    tag  = tower[ text ]

    tower(fields) = normalise(head(body(interaction(fields))))           fields (N, F, D)

Every kind of input becomes field vectors of one width; which there are, and what joins them, follows from the config.
Items and tags share the table of word pieces, so a word that items taught means the same in a tag. The history is
pooled from the item tower's own vectors, so a new event changes a user without training. An item, tag, user or category
never seen before always gets a vector.

Two members (network.pair). Every vector is then made of two halves by two networks that share nothing but the inputs:
the first reads every field, the second an item's id, category and words, and of a user the history alone. Trained
each by its own loss, they err differently, one by what things are like and one by what is taken with what; the score is
the mean of their cosines, still one dot product. On 198,502 reviews the pair ranked the validation at NDCG@10 .066, the
first alone at .0625, the second alone at .0595; two of the first kind with other seeds at .063.

Prior (network.prior). The score of an item begins from how often it is taken, and the cosine says what differs:

    <u, v> = cosine + w . h(v),         h = (log10(1 + events), log(events a user)) of the item

with w learnt, from softmax(score / temperature) = shares of 1 + events on. It is one more number of every vector: 1 of
a user, w . h of an item, 0 of a tag. Where a few are taken by everybody, cosines alone spend themselves on that: new
products of the next two weeks for 2,500 households were ranked at NDCG@10 .026 without it, at .029 with it.

Source: the three towers of RecGPT, arXiv 2507.22879; there a user has an id embedding and a plain mean per behaviour.
Here ids of users are off by default (`features.user_id`): on 198,502 reviews they took the validation NDCG@10 from .060
to .049 after four epochs, because a user's few events are learnt by heart.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from towers.blocks.bodies import body
from towers.blocks.heads import head
from towers.blocks.interactions import interaction
from towers.config import NetworkSettings, TowersConfig
from towers.data import Prepared
from towers.encoders.history import Window, history_encoder
from towers.encoders.numeric import NumericEncoder, numeric_encoder
from towers.encoders.table import UnifiedTable
from towers.encoders.text import TextEncoder
from towers.features import (
    HABITS,
    ItemFeatures,
    TextFeatures,
    UserFeatures,
    item_fields,
    item_numbers,
    user_fields,
    user_numbers,
)
from towers.item_codes import ItemCodes
from towers.repeats import RepeatTerm


class Tower(nn.Module):
    """Field vectors (N, F, M D) to unit vectors (N, T, M D), one for each of T tasks, of one or two members."""

    def __init__(
        self, fields: int, network: NetworkSettings, kind: str = "none", tasks: int = 1, plain: Sequence[int] = ()
    ) -> None:
        """plain: the fields that the second member reads."""
        super().__init__()
        self.fields = fields
        self.read = [list(range(fields)), list(plain)][: network.members]
        self.members = nn.ModuleList(_Member(len(read), network, kind, tasks) for read in self.read)

    def forward(self, fields: Tensor) -> Tensor:
        out = []
        for member, part, read in zip(self.members, fields.chunk(len(self.members), dim=-1), self.read, strict=True):
            each = part.unbind(1)  # F of (N, D)
            out.append(member(torch.stack([each[field] for field in read], dim=1)))  # (N, T, D)
        return torch.cat(out, dim=-1) / math.sqrt(len(out))


class _Member(nn.Module):
    """Field vectors (N, F, D) to unit vectors (N, T, D).

    Without several tasks or experts there is nothing for a head to share, and the body's output is the vector.
    """

    def __init__(self, fields: int, network: NetworkSettings, kind: str, tasks: int) -> None:
        super().__init__()
        dim, hidden = network.dim, network.hidden
        self.interaction = interaction(kind, fields, dim, layers=network.interaction_layers)
        headed = tasks > 1 or network.head != "shared"
        n_out = hidden if headed else dim
        self.body = body(network.body, self.interaction.width, hidden, n_out, network.depth, network.dropout)
        self.head = head(network.head, hidden, hidden, dim, tasks, network.experts, network.dropout) if headed else None

    def forward(self, fields: Tensor) -> Tensor:
        x = self.body(self.interaction(fields))  # (N, n_out)
        out = x[:, None] if self.head is None else self.head(x)  # (N, T, D)
        return F.normalize(out.float(), dim=-1)


class ThreeTowers(nn.Module):
    """The network. All outputs are unit vectors, so a dot product is a cosine; a prior's number stands beside them."""

    def __init__(self, config: TowersConfig) -> None:
        super().__init__()
        self.config = config
        read, network, inputs = config.features, config.network, config.inputs
        of_items, of_users = item_fields(config), user_fields(config)
        self.codes = ItemCodes(config) if read.semantic_levels else None
        self.uncoded = len(of_items)
        of_items += tuple(f"code {level}" for level in range(1, read.semantic_levels + 1))
        self.of_items = slice(0, len(of_items))
        self.of_users = slice(len(of_items), len(of_items) + len(of_users))
        width = network.width
        sparse = config.training.tables != "adamw"
        names = (*of_items, *of_users)
        self.table = (
            UnifiedTable(read.table_rows, width, names, hashes=read.hashes, sparse=sparse, rare=read.rare)
            if names
            else None
        )
        self.item_numbers = _numeric(config, item_numbers(config))
        self.user_numbers = _numeric(config, user_numbers(config))
        self.text = TextEncoder(read.text_rows, width, read.text_pooling, inputs.vector_dim, sparse)
        n_behaviours = len(inputs.behaviours)
        pools = [
            history_encoder(kind, n_behaviours, read.history, width, dropout=network.dropout) for kind in read.pools
        ]
        self.pools = nn.ModuleList(pools)
        self.repeats = RepeatTerm(n_behaviours, config.loss.temperature) if network.repeats else None
        self.prior = nn.Linear(HABITS, 1, bias=False) if network.prior else None
        if self.prior is not None:  # softmax(score / temperature) begins with the shares of 1 + events
            with torch.no_grad():
                self.prior.weight.copy_(torch.tensor([[config.loss.temperature * math.log(10), 0.0]]))

        n_item = len(of_items) - max(0, read.category_levels - 1) + _columns(self.item_numbers) + self.text.fields
        n_pooled = sum(pool.width for pool in pools)
        n_user = len(of_users) + _columns(self.user_numbers) + n_pooled
        first_words = n_item - self.text.fields
        ids = list(range(int(read.item_id) + min(1, read.category_levels)))  # an item's id, and its category
        self.item = Tower(n_item, network, network.interaction, plain=[*ids, first_words])
        self.user = Tower(
            n_user,
            network,
            network.interaction,
            tasks=max(1, len(network.tasks)),
            plain=range(n_user - n_pooled, n_user),
        )
        self.tag = Tower(self.text.fields, network, plain=[0])

    def items(self, features: ItemFeatures) -> Tensor:
        """(N, D)."""
        out: Tensor = self.item(self.item_fields(features))
        return out[:, 0] if self.prior is None else torch.cat([out[:, 0], self.prior(features.habits)], dim=1)

    def item_fields(self, features: ItemFeatures) -> Tensor:
        """(N, F, D), what the item tower reads."""
        parts = [self._hidden(self._summed(self._ids(features.keys, self.of_items)), self.config.features.item_id)]
        if self.item_numbers is not None:
            parts.append(self.item_numbers(features.numbers))
        return torch.cat([*parts, self._texts(features.text)], dim=1)

    def users(self, people: UserFeatures, window: Window, item_vectors: Tensor) -> Tensor:
        """(B, T, D) of B users with windows (B, H); item_vectors (N, D): what the windows' items point to."""
        parts = [self._hidden(self._ids(people.keys, self.of_users), self.config.features.user_id)]
        if self.user_numbers is not None:
            parts.append(self.user_numbers(people.numbers))
        network = self.config.network
        unit = item_vectors[:, : network.width] * math.sqrt(network.members)  # each member's part
        parts += [pool(window, unit) for pool in self.pools]
        out: Tensor = self.user(torch.cat(parts, dim=1))
        return out if self.prior is None else F.pad(out, (0, 1), value=1.0)

    def tags(self, text: TextFeatures) -> Tensor:
        """(N, D)."""
        out: Tensor = self.tag(self._texts(text))
        return F.pad(out[:, 0], (0, int(self.prior is not None)))

    def tables(self) -> list[nn.Parameter]:
        """The large tables, of which a batch reads a few rows: ids, and word pieces."""
        return [*self.id_tables(), self.text.weight]

    def id_tables(self) -> list[nn.Parameter]:
        return [] if self.table is None else [self.table.weight]

    def coded(self, features: ItemFeatures) -> ItemFeatures:
        """The features with the items' semantic ids, where these towers read some and they are not there yet."""
        if self.codes is None or features.keys.shape[1] > self.uncoded:
            return features
        return self.codes.add(features)

    def observe(self, ready: Prepared, *, measure: bool) -> Prepared:
        """What training has to know before it starts: how often ids occur and, with `measure`, the range of numbers and
        the centres of semantic ids. Gives the data with these ids."""
        if measure and self.codes is not None:
            self.codes.fit(ready)
        ready = replace(ready, features=self.coded(ready.features))
        items, users = ready.events.items[ready.train], ready.users[ready.train]
        if self.table is not None:
            for keys, rows, part in (
                (ready.features.keys, items, self.of_items),
                (ready.people.keys, users, self.of_users),
            ):
                if keys.shape[1]:
                    self.table.observe(keys[rows], part=part)
        if measure and ready.features.text.vectors is not None:
            self.text.fit(ready.features.text.vectors)
        if measure and self.item_numbers is not None:
            self.item_numbers.fit(ready.features.numbers[torch.unique(items)])
        if measure and self.user_numbers is not None:
            self.user_numbers.fit(ready.people.numbers[torch.unique(users)])
        return ready

    def item_ids(self, keys: Tensor) -> Tensor:
        """(N, D) of the ids alone, from items' keys (N, F): what pre-training learns."""
        assert self.table is not None
        vectors: Tensor = self.table(keys[:, :1], part=slice(0, 1))
        return vectors[:, 0]

    def _summed(self, ids: Tensor) -> Tensor:
        """(N, F, D) with the levels of the category as one field, their sum, in the place of the first."""
        levels, first = self.config.features.category_levels, int(self.config.features.item_id)
        if levels < 2:
            return ids
        own, path, others = torch.split(ids, [first, levels, ids.shape[1] - first - levels], dim=1)
        return torch.cat([own, path.sum(1, keepdim=True), others], dim=1)

    def _texts(self, text: TextFeatures) -> Tensor:
        out: Tensor = self.text(text.bags, text.vectors)  # (N, 1 or 2, D)
        return out

    def _ids(self, keys: Tensor, part: slice) -> Tensor:
        """(N, F, D)."""
        if self.table is None or not keys.shape[1]:
            return torch.zeros(len(keys), 0, self.config.network.width, device=keys.device)
        vectors: Tensor = self.table(keys, part=part)
        return vectors

    def _hidden(self, fields: Tensor, id_first: bool) -> Tensor:
        """(N, F, D). In training a share of the ids, whole rows, is zeroed, so that other fields must carry them."""
        share = self.config.network.id_dropout
        if not self.training or not share or not id_first:
            return fields
        kept = torch.ones(fields.shape[:2], device=fields.device)  # (N, F)
        kept[:, 0] = (torch.rand(len(fields), device=fields.device) >= share).float()
        return fields * kept[..., None]


def part_of(vectors: Tensor, member: int, network: NetworkSettings) -> Tensor:
    """(..., D) what one member made of vectors (..., M D), of length 1; with a prior both have its number beside it."""
    unit, prior = torch.split(vectors, [network.width, int(network.prior)], dim=-1)
    part = unit.chunk(network.members, dim=-1)[member] * math.sqrt(network.members)
    return torch.cat([part, prior], dim=-1)


def _numeric(config: TowersConfig, names: tuple[str, ...]) -> NumericEncoder | None:
    if not names:
        return None
    return numeric_encoder(config.features.numeric, len(names), config.network.width)


def _columns(encoder: NumericEncoder | None) -> int:
    return 0 if encoder is None else encoder.columns
