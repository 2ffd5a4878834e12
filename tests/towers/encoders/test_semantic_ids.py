from itertools import pairwise

import numpy as np
import pytest
import torch

from towers.config import TowersError
from towers.encoders import semantic_ids
from towers.encoders.semantic_ids import Codebooks, fit, joined, prefix_keys
from towers.encoders.table import keys


def clustered(n=2000, clusters=40, width=16, noise=0.5, seed=0):
    """Skewed clusters: the first holds a quarter of the vectors."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(clusters, width, generator=generator)
    kind = torch.multinomial(1 / torch.arange(1.0, clusters + 1), n, replacement=True, generator=generator)
    return centres[kind] + noise * torch.randn(n, width, generator=generator), kind


def test_codes_by_hand():
    books = Codebooks(2, 2, 1)
    books.centres[:] = torch.tensor([[[0.0], [10.0]], [[-1.0], [2.0]]])
    books.prices[:] = torch.tensor([[0.0, 20.0], [0.0, 0.0]])
    # Level 1: x^2 against (x - 10)^2 + 20, that is 0 below 6. Level 2 of what is left: -1 below 0.5, else 2.
    x = torch.tensor([[-3.0], [0.4], [0.6], [5.9], [6.1], [10.4], [10.6]])
    assert books.assign(x).tolist() == [[0, 0], [0, 0], [0, 1], [0, 1], [1, 0], [1, 0], [1, 1]]
    assert books.assign(x[:0]).shape == (0, 2)


def test_blocks_do_not_change_the_codes(monkeypatch):
    x, _ = clustered(500)
    books = fit(x, 2, 8)
    whole = books.assign(x)
    monkeypatch.setattr(semantic_ids, "BLOCK", 8 * 33)
    assert torch.equal(books.assign(x), whole)


def test_centres_are_the_means_of_clusters_that_lie_apart():
    corners = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    offsets = np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.25], [0.0, -0.25]])
    x = (corners[:, None] + offsets).reshape(-1, 2)  # 16 points
    books = fit(torch.tensor(x), 2, 4, seed=2)
    centres = books.centres[0].numpy()
    np.testing.assert_allclose(centres[np.lexsort(centres.T)], corners, atol=1e-5)
    assert not books.prices[0].any()
    codes = books.assign(torch.tensor(x))
    assert all(len(set(codes[4 * n : 4 * n + 4, 0].tolist())) == 1 for n in range(4))
    # The second level has the four offsets left, the same in each corner.
    second = books.centres[1].numpy()
    np.testing.assert_allclose(second[np.lexsort(second.T)], offsets[np.lexsort(offsets.T)], atol=1e-5)
    assert len(torch.unique(codes, dim=0)) == 16


def test_each_level_leaves_less_over():
    x, _ = clustered()
    books = fit(x, 4, 16)
    codes = books.assign(x)
    left, rest = [x.square().sum().item()], x
    for level in range(4):
        rest = rest - books.centres[level][codes[:, level]]
        left.append(rest.square().sum().item())
    assert all(after < 0.9 * before for before, after in pairwise(left))
    assert left[-1] < 0.35 * left[0]


@pytest.mark.parametrize("codes", [5, 16, 64])
@pytest.mark.parametrize("noise", [0.5, 1.5])
def test_no_code_holds_more_than_its_share_and_new_vectors_keep_to_it(codes, noise):
    x, _ = clustered(6000, noise=noise)
    x, new = x[:3000], x[3000:]
    books = fit(x, 3, codes)
    for level in range(3):
        held = torch.bincount(books.assign(x)[:, level], minlength=codes)
        # At the coarsest level of few tight clusters no price divides what lies together; elsewhere the bound holds.
        bound = np.ceil((1.6 if codes == 64 and not level else 1) * 2 * 3000 / codes)
        assert held.max() <= bound
        assert (held > 0).float().mean() > 0.8
        assert torch.bincount(books.assign(new)[:, level]).max() <= 1.3 * bound


def test_without_prices_codes_crowd(monkeypatch):
    """What the prices are for; and they cost little in distance."""
    x, _ = clustered(3000, clusters=300, width=48, noise=0.3)
    even = len(x) / 32
    priced = fit(x, 2, 32)
    monkeypatch.setattr(semantic_ids, "MOST", 1000.0)
    plain = fit(x, 2, 32)
    assert not plain.prices.any()
    most = [torch.bincount(books.assign(x)[:, 1]).max().item() for books in (priced, plain)]
    assert most[0] <= np.ceil(2 * even)
    assert most[1] > 6 * even
    left = [(x - books.centres[0][books.assign(x)[:, 0]]).square().sum().item() for books in (priced, plain)]
    assert left[0] < 1.05 * left[1]


def test_prices_follow_the_formula():
    costs = torch.tensor([[0.0, 1.0], [0.5, 0.0], [0.0, 2.0]])
    prices = torch.tensor([0.3, 0.01])
    shares = np.exp(-costs.numpy() / 0.5)
    mass = (shares / shares.sum(1, keepdims=True)).sum(0)
    expected = np.maximum(0, prices.numpy() + 0.5 * np.log(mass / (semantic_ids.GOAL * 2)))
    np.testing.assert_allclose(semantic_ids._followed(prices, costs, torch.tensor(0.5), 2), expected, rtol=1e-5)
    assert expected[1] == 0


def test_alike_items_share_codes():
    x, kind = clustered(noise=0.1)
    first = fit(x, 1, 64).assign(x)[:, 0]
    # Of the pairs with one code nearly all are of one kind; by chance it would be one in ten.
    same = (first[:, None] == first).fill_diagonal_(False)
    assert (kind[:, None] == kind)[same].float().mean() > 0.95


def test_the_same_seed_gives_the_same_codes():
    x, _ = clustered(600)
    first, again, other = fit(x, 2, 8, seed=3), fit(x, 2, 8, seed=3), fit(x, 2, 8, seed=4)
    assert torch.equal(first.centres, again.centres)
    assert torch.equal(first.prices, again.prices)
    assert not torch.equal(first.centres, other.centres)


def test_a_checkpoint_carries_the_codebooks():
    x, _ = clustered(600)
    books, fresh = fit(x, 2, 8), Codebooks(2, 8, 16)
    fresh.load_state_dict(books.state_dict())
    assert torch.equal(fresh.assign(x), books.assign(x))


@pytest.mark.parametrize("x", [torch.ones(50, 3), torch.zeros(4, 2), torch.randn(1, 2), torch.randn(3, 2)])
def test_equal_or_few_vectors_are_no_error(x):
    books = fit(x, 2, 8)
    assert books.centres.isfinite().all()
    assert books.prices.isfinite().all()
    assert books.assign(x).shape == (len(x), 2)
    rest = x - books.centres[0][books.assign(x)[:, 0]]
    assert rest.abs().max() < 1e-5 or len(x) > 8


def test_the_key_of_a_level_is_that_of_its_prefix():
    found = prefix_keys(torch.tensor([[3, 17, 0], [3, 5, 0], [31, 7, 0]]))
    assert found[:, 0].tolist() == keys(["3", "3", "31"]).tolist()
    assert found[:, 1].tolist() == keys(["3-17", "3-5", "31-7"]).tolist()
    assert found[:, 2].tolist() == keys(["3-17-0", "3-5-0", "31-7-0"]).tolist()
    assert prefix_keys(torch.zeros(0, 2, dtype=torch.int64)).shape == (0, 2)


def test_joined_parts_weigh_the_same():
    found = joined(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[0.0, -20.0, 0.0], [1.0, 2.0, 2.0]]))
    expected = [[0.6, 0.8, 0, -1, 0], [0, 0, 1 / 3, 2 / 3, 2 / 3]]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("wrong", [torch.zeros(0, 3), torch.zeros(4), torch.tensor([[1.0], [float("nan")]])])
def test_impossible_vectors_are_refused(wrong):
    with pytest.raises(TowersError):
        fit(wrong, 1, 2)


def test_impossible_sizes_are_refused():
    for sizes in ((0, 2, 3), (2, 0, 3), (2, 3, 0)):
        with pytest.raises(TowersError):
            Codebooks(*sizes)
