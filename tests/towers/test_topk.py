import math
import struct

import numpy as np
import pytest
import torch

from towers import topk, topk_cuda
from towers.config import TowersError
from towers.topk_order import NOTHING, packed, unpacked


def by_sorting(queries, items, k, exclude=None):
    scores = queries.numpy().astype(np.float64) @ items.numpy().astype(np.float64).T
    rows = np.full((len(queries), k), -1)
    best = np.full((len(queries), k), -np.inf)
    for q in range(len(queries)):
        if exclude is not None:
            scores[q, [e for e in exclude[q] if e >= 0]] = -np.inf
        order = sorted((n for n in range(len(items)) if scores[q, n] > -np.inf), key=lambda n: (-scores[q, n], n))[:k]
        rows[q, : len(order)] = order
        best[q, : len(order)] = scores[q, order]
    return best, rows


def check(queries, items, k, exclude=None, search=topk.top_k):
    scores, rows = search(queries, items, k, exclude=exclude)
    best, expected = by_sorting(queries, items, k, exclude)
    assert np.array_equal(rows.numpy(), expected)
    assert np.allclose(scores.numpy(), best, atol=1e-5)
    assert (scores.dtype, rows.dtype) == (torch.float32, torch.int64)


def whole_numbers(*shape):
    """Scores of these are exact in float32 and in bfloat16, and many are equal."""
    return torch.randint(-1, 2, shape).float()


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(params=[(7, 64), (16, 40), (256, 8192)], ids=str)
def blocks(request, monkeypatch):
    """Several blocks of queries and of items, the last ones not whole, and one block of all."""
    monkeypatch.setattr(topk, "ROWS", request.param[0])
    monkeypatch.setattr(topk, "COLUMNS", request.param[1])


@pytest.mark.usefixtures("blocks")
class TestTopK:
    @pytest.mark.parametrize("k", [1, 7, 30, 299, 300, 301])
    def test_equals_a_full_sort(self, k):
        check(torch.randn(37, 8), torch.randn(300, 8), k)

    @pytest.mark.parametrize("k", [1, 2, 5, 100, 299, 300])
    def test_ties_stand_in_row_order_also_across_blocks_and_the_cut(self, k):
        check(whole_numbers(50, 2), whole_numbers(300, 2), k)

    def test_all_scores_equal(self):
        check(torch.zeros(20, 4), torch.randn(200, 4), 3)

    def test_all_scores_below_zero(self):
        # A block is filled up with zero vectors to whole groups; they must not win.
        check(torch.ones(9, 1), -torch.rand(45, 1) - 0.1, 4)

    def test_zeros_of_either_sign_are_equal(self):
        check(torch.tensor([[-1.0], [1.0]]), torch.tensor([[0.0], [-0.0], [0.0], [-0.0], [1.0]]), 5)

    def test_left_out_items_never_appear(self):
        rng = np.random.default_rng(0)
        exclude = [rng.integers(-1, 200, size) for size in (0, 3, 25, 2000, 1, *rng.integers(0, 100, 20))]
        exclude[4] = np.arange(198)  # two are left
        check(torch.randn(25, 4), torch.randn(200, 4), 10, exclude)

    def test_left_out_among_ties(self):
        exclude = [np.array([0, 1, 2]), np.array([100]), np.array([], int)]
        check(torch.ones(3, 1), torch.ones(150, 1), 120, exclude)

    def test_several_threads(self):
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(3)
            check(torch.randn(40, 8), torch.randn(300, 8), 7)
            assert torch.get_num_threads() == 3
        finally:
            torch.set_num_threads(before)

    def test_a_vector_that_is_no_number_is_refused(self):
        items = torch.randn(100, 4)
        items[70, 2] = math.nan
        with pytest.raises(TowersError, match="made again"):
            topk.top_k(torch.randn(3, 4), items, 5)

    def test_without_onednn(self, monkeypatch):
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        check(torch.randn(37, 8), torch.randn(300, 8), 7)


def test_a_row_of_minus_one_leaves_nothing_out():
    check(torch.ones(1, 1), torch.arange(4.0)[:, None], 4, [np.array([-1, 1, -1])])


def test_fewer_items_than_asked_for():
    check(torch.randn(2, 4), torch.randn(3, 4), 5, [np.array([0, 1, 2]), np.array([1])])
    scores, rows = topk.top_k(torch.randn(2, 4), torch.zeros(0, 4), 3)
    assert rows.tolist() == [[-1] * 3] * 2
    assert torch.isinf(scores).all()


def test_no_queries():
    scores, rows = topk.top_k(torch.zeros(0, 4), torch.randn(5, 4), 3)
    assert scores.shape == rows.shape == (0, 3)


def test_vectors_under_training_are_taken():
    scores, rows = topk.top_k(torch.randn(2, 4, requires_grad=True), torch.randn(5, 4, dtype=torch.float64), 2)
    assert not scores.requires_grad
    assert rows.shape == (2, 2)


def test_few_scores_are_looked_into(monkeypatch):
    """The bound is near the k-th best score, so what is packed is a small part of the product."""
    seen = []
    monkeypatch.setattr(topk, "packed", lambda scores, rows: seen.append(len(rows)) or packed(scores, rows))
    monkeypatch.setattr(topk, "COLUMNS", 4096)
    check(torch.randn(4, 8), torch.randn(16384, 8), 20)
    # 20 and a few of the first block, then 20 ln 4 = 28 on average
    assert sum(seen) < 4 * 100


class TestPacked:
    def test_order_is_by_score_then_by_row(self):
        values = [math.inf, 3.5, 1.0000001, 1.0, 1e-40, 0.0, -1e-40, -2.0, -2.0000002, -math.inf]
        keys = packed(torch.tensor(values), torch.zeros(len(values), dtype=torch.int64))
        assert keys.tolist() == sorted(keys.tolist())
        assert len(set(keys.tolist())) == len(values)
        same = packed(torch.tensor([-2.0, -2.0, -2.0]), torch.tensor([0, 1, (1 << 32) - 1]))
        assert same.tolist() == sorted(same.tolist())
        assert same[-1] < packed(torch.tensor(-2.0000002), torch.tensor(0))

    def test_by_hand(self):
        # 1.0 is 0x3F800000, whose complement stands above the row; -1.0 is 0xBF800000, flipped 0xC07FFFFF
        one, minus = packed(torch.tensor([1.0, -1.0]), torch.tensor([5, 6])).tolist()
        assert one == struct.unpack(">q", bytes.fromhex("C07FFFFF00000005"))[0]
        assert minus == struct.unpack(">q", bytes.fromhex("3F80000000000006"))[0]

    def test_zeros_of_either_sign_are_equal(self):
        assert packed(torch.tensor(-0.0), torch.tensor(3)) == packed(torch.tensor(0.0), torch.tensor(3))

    def test_comes_back(self):
        scores = torch.cat([torch.randn(1000), torch.tensor([math.inf, -math.inf, 0.0])])
        rows = torch.randint(0, 1 << 32, (1003,))
        back, where = unpacked(packed(scores, rows))
        assert torch.equal(back, scores)
        assert torch.equal(where, rows)

    def test_nothing_is_behind_everything(self):
        scores, rows = unpacked(torch.tensor([NOTHING]))
        assert (scores.item(), rows.item()) == (-math.inf, -1)
        last = packed(torch.tensor(-math.inf), torch.tensor((1 << 32) - 1))
        assert last < NOTHING


def test_the_way_of_an_accelerator_with_the_blocks_it_has():
    check(torch.randn(5, 8), torch.randn(100, 8), 3, search=topk_cuda.top_k_rescored)


class TestRescored:
    """The way of an accelerator, on the processor."""

    @pytest.fixture(autouse=True)
    def small_blocks(self, monkeypatch):
        monkeypatch.setattr(topk_cuda, "ROWS", 16)
        monkeypatch.setattr(topk_cuda, "COLUMNS", 150)

    @pytest.mark.parametrize("k", [1, 7, 100, 400, 500])
    def test_equals_a_full_sort(self, k):
        check(torch.randn(37, 8), torch.randn(400, 8), k, search=topk_cuda.top_k_rescored)

    def test_ties_of_candidates_stand_in_row_order(self):
        items = torch.randn(200, 8).repeat(2, 1)  # each twice, so that all the tied are candidates
        check(torch.randn(20, 8), items, 5, search=topk_cuda.top_k_rescored)

    def test_left_out_items_never_appear(self):
        exclude = [np.arange(n) for n in range(380, 400)]
        check(torch.randn(20, 4), torch.randn(400, 4), 10, exclude, search=topk_cuda.top_k_rescored)

    def test_nothing_to_find(self):
        scores, rows = topk_cuda.top_k_rescored(torch.randn(2, 4), torch.zeros(0, 4), 3)
        assert rows.tolist() == [[-1] * 3] * 2
        assert torch.isinf(scores).all()

    @pytest.mark.parametrize("k", [10, 100])
    def test_equal_in_999_places_of_1000(self, k, monkeypatch):
        monkeypatch.setattr(topk_cuda, "COLUMNS", 1 << 12)  # more groups than candidates at k = 10
        queries = torch.nn.functional.normalize(torch.randn(300, 64), dim=1)
        items = torch.nn.functional.normalize(torch.randn(5000, 64), dim=1)
        _, rows = topk_cuda.top_k_rescored(queries, items, k)
        _, exact = topk.top_k(queries, items, k)
        assert (rows == exact).float().mean() >= 0.999
