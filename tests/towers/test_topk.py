import numpy as np
import torch

from towers import topk


def by_sorting(queries, items, k, exclude=None):
    scores = (queries @ items.T).numpy().copy()
    rows = np.full((len(queries), k), -1)
    best = np.full((len(queries), k), -np.inf, dtype=np.float32)
    for q in range(len(queries)):
        if exclude is not None:
            scores[q, [e for e in exclude[q] if e >= 0]] = -np.inf
        order = sorted((n for n in range(len(items)) if scores[q, n] > -np.inf), key=lambda n: (-scores[q, n], n))[:k]
        rows[q, : len(order)] = order
        best[q, : len(order)] = scores[q, order]
    return best, rows


def check(queries, items, k, exclude=None):
    scores, rows = topk.top_k(queries, items, k, exclude=exclude)
    best, expected = by_sorting(queries, items, k, exclude)
    assert np.array_equal(rows.numpy(), expected)
    assert np.allclose(scores.numpy(), best, atol=1e-6)


def test_equals_a_full_sort_in_several_blocks(monkeypatch):
    monkeypatch.setattr(topk, "BLOCK", 700)
    torch.manual_seed(0)
    check(torch.randn(37, 8), torch.randn(100, 8), 7)


def test_ties_stand_in_row_order_also_across_the_cut():
    torch.manual_seed(0)
    # whole numbers, so scores are exact and many are equal
    queries, items = torch.randint(-1, 2, (50, 2)).float(), torch.randint(-1, 2, (60, 2)).float()
    for k in (1, 5, 59, 60):
        check(queries, items, k)


def test_left_out_items_never_appear():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    exclude = [rng.integers(-1, 30, size) for size in (0, 3, 25, 200, 1)]
    check(torch.randn(5, 4), torch.randn(30, 4), 10, exclude)


def test_a_row_of_minus_one_leaves_nothing_out():
    check(torch.ones(1, 1), torch.arange(4.0)[:, None], 4, [np.array([-1, 1, -1])])


def test_fewer_items_than_asked_for():
    torch.manual_seed(0)
    check(torch.randn(2, 4), torch.randn(3, 4), 5, [np.array([0, 1, 2]), np.array([1])])
    scores, rows = topk.top_k(torch.randn(2, 4), torch.zeros(0, 4), 3)
    assert rows.tolist() == [[-1] * 3] * 2
    assert torch.isinf(scores).all()
