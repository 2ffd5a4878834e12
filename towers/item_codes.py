"""Which semantic ids an item has: codes by residual k-means (encoders/semantic_ids.py) of what it is and who takes it.

    vector(i) = [ content / |content| , collaborative / |collaborative| ]

Content is the sentence encoder's vector, or, where the towers read none, the mean over the title's word pieces of fixed
random vectors, which keeps how alike two titles are (Johnson and Lindenstrauss, 1984). Collaborative is the item's row
of the normalised event matrix's first singular vectors (items x users, counts / sqrt(item's * user's events)).

Codes of the items that training saw are kept with the weights; an item that came later is coded by its content alone.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from towers.config import TowersConfig
from towers.data import Prepared
from towers.encoders.semantic_ids import Codebooks, fit, joined, prefix_keys
from towers.features import ItemFeatures, TextFeatures

HASHED = 64  # width of the content made of word pieces
SINGULAR = 32  # width of the collaborative part
SAMPLE = 256  # vectors a code, at most, that the centres are fitted to


class ItemCodes(nn.Module):
    known: Tensor
    codes: Tensor

    def __init__(self, config: TowersConfig) -> None:
        super().__init__()
        self.config = config
        levels, codes = config.features.semantic_levels, config.features.semantic_codes
        self.books = Codebooks(levels, codes, (config.inputs.vector_dim or HASHED) + SINGULAR)
        self.register_buffer("known", torch.zeros(0, dtype=torch.int64))  # (N,) keys of ids, ascending
        self.register_buffer("codes", torch.zeros(0, levels, dtype=torch.int64))  # (N, L)

    @torch.no_grad()
    def fit(self, ready: Prepared) -> None:
        """Find the centres and code the catalogue; the same data and seed give the same codes."""
        device, seed = self.known.device, self.config.training.seed
        vectors = joined(self._content(ready.features.text), collaborative(ready, seed)).cpu()
        generator = torch.Generator().manual_seed(seed)
        most = SAMPLE * self.config.features.semantic_codes
        sample = torch.randperm(len(vectors), generator=generator)[:most]
        found = fit(vectors[sample], self.codes.shape[1], self.config.features.semantic_codes, seed)
        self.books.load_state_dict(found.state_dict())
        known, order = ready.features.keys[:, 0].cpu().sort()
        self.known, self.codes = known.to(device), found.assign(vectors)[order].to(device)

    @torch.no_grad()
    def add(self, features: ItemFeatures) -> ItemFeatures:
        """The features with a key for each level of the codes, after the other keys."""
        content = self._content(features.text)
        codes = self.books.assign(joined(content, content.new_zeros(len(content), SINGULAR)))  # (N, L)
        if len(self.known):
            ids = features.keys[:, 0].contiguous()
            at = torch.searchsorted(self.known, ids).clamp(max=len(self.known) - 1)  # (N,)
            codes = torch.where((self.known[at] == ids)[:, None], self.codes[at], codes)
        return replace(features, keys=torch.cat([features.keys, prefix_keys(codes).to(features.keys.device)], dim=1))

    def _content(self, text: TextFeatures) -> Tensor:
        """(N, V)."""
        if text.vectors is not None:
            return text.vectors
        generator = torch.Generator().manual_seed(0)  # the same for every training and every later item
        pieces = torch.randn(self.config.features.text_rows, HASHED, generator=generator).to(text.bags.rows.device)
        return F.embedding_bag(text.bags.rows, pieces, text.bags.offsets, mode="mean", include_last_offset=True)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        # As many items as there were at training, whatever this module holds now.
        for name in ("known", "codes"):
            if prefix + name in state:
                setattr(self, name, torch.zeros_like(state[prefix + name], device=self.known.device))
        super()._load_from_state_dict(state, prefix, *rest)


def collaborative(ready: Prepared, seed: int) -> Tensor:
    """(N, SINGULAR) U S of the events learnt from; zeros for an item without any, and beyond the matrix's own size."""
    items, users = ready.events.items[ready.train], ready.users[ready.train]
    shape = len(ready.features), ready.events.n_users
    of_item, of_user = torch.bincount(items, minlength=shape[0]), torch.bincount(users)
    share = (of_item[items] * of_user[users]).double().rsqrt().float()
    pairs = torch.stack([items, users])
    matrix = torch.sparse_coo_tensor(pairs, share, shape, check_invariants=False).coalesce()
    with torch.random.fork_rng(devices=[items.device] if items.is_cuda else []):
        torch.manual_seed(seed)
        left, sizes, _ = torch.svd_lowrank(matrix, q=min(SINGULAR, *shape))
    vectors = torch.where(of_item[:, None] > 0, left * sizes, 0.0)  # (N, at most SINGULAR)
    return F.pad(vectors, (0, SINGULAR - vectors.shape[1]))
