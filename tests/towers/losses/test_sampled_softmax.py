import itertools
import math

import pytest
import torch

from towers.losses.sampled_softmax import accidental_hits, log_frequency, sampled_softmax, shared_softmax


def test_formula_by_hand():
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    items = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    log_q = torch.log(torch.tensor([0.75, 0.25]))
    # s = <q, v> / 0.5 - log Q: row 0: 2 - log .75, 1.2 - log .25; row 1: 0 - log .75, 1.6 - log .25
    first = -math.log((math.e**2 / 0.75) / (math.e**2 / 0.75 + math.e**1.2 / 0.25))
    second = -math.log((math.e**1.6 / 0.25) / (1 / 0.75 + math.e**1.6 / 0.25))
    none = torch.zeros(2, 2, dtype=torch.bool)
    assert sampled_softmax(queries, items, log_q, none, 0.5).item() == pytest.approx((first + second) / 2, rel=1e-5)
    weighed = sampled_softmax(queries, items, log_q, none, 0.5, torch.tensor([3.0, 1.0])).item()
    assert weighed == pytest.approx((3 * first + second) / 4, rel=1e-5)


def test_masked_places_are_not_in_the_sum():
    queries, items = torch.eye(3), torch.eye(3)
    hits = torch.zeros(3, 3, dtype=torch.bool)
    hits[0, 1] = True
    each = -math.log(math.e / (math.e + 2))
    less = -math.log(math.e / (math.e + 1))
    assert sampled_softmax(queries, items, torch.zeros(3), hits, 1.0).item() == pytest.approx((2 * each + less) / 3)


def test_accidental_hits_are_the_same_item_or_the_same_query():
    hits = accidental_hits(torch.tensor([7, 7, 8, 9]), torch.tensor([1, 2, 1, 3]))
    assert hits.nonzero().tolist() == [[0, 1], [0, 2], [1, 0], [2, 0]]


def test_log_frequency():
    assert log_frequency(torch.tensor([0, 0, 0, 2]), 3).exp().tolist() == pytest.approx([0.75, 0.125, 0.25])
    assert log_frequency(torch.tensor([1]), 2).exp().tolist() == pytest.approx([0.5, 1.0])
    assert log_frequency(torch.zeros(0, dtype=torch.int64), 2).exp().tolist() == pytest.approx([0.5, 0.5])


def test_gradients_flow_to_both_sides():
    queries, items = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    sampled_softmax(queries, items, torch.zeros(4), torch.zeros(4, 4, dtype=torch.bool), 0.1).backward()
    assert (queries.grad.abs().sum(1) > 0).all()
    assert (items.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("corrected", [True, False])
def test_log_q_undoes_the_bias_of_popularity(corrected):
    """Free scores learnt from one query whose items are drawn as often as `shares`.

    With the correction the softmax of the scores becomes the shares; without it, every score is as good as any other,
    because an item is pushed down exactly as often as it is pulled up.
    """
    generator = torch.Generator().manual_seed(3)
    shares = torch.tensor([0.6, 0.25, 0.1, 0.05])
    scores = torch.zeros(4, requires_grad=True)
    optimiser = torch.optim.Adam([scores], lr=0.1)
    log_q = shares.log() if corrected else torch.zeros(4)
    for step in range(600):
        drawn = torch.multinomial(shares, 128, replacement=True, generator=generator)
        # <q, v> is the item's free score for every query
        loss = sampled_softmax(
            torch.ones(128, 1), scores[drawn][:, None], log_q[drawn], torch.zeros(128, 128, dtype=torch.bool), 1.0
        )
        optimiser.param_groups[0]["lr"] = 0.1 / (1 + step / 60)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    learnt = scores.softmax(0).detach()
    target = shares if corrected else torch.full((4,), 0.25)
    assert torch.allclose(learnt, target, atol=0.03), learnt


def test_further_columns_are_negatives_of_every_row():
    queries, items = torch.eye(2), torch.cat([torch.eye(2), torch.ones(1, 2)])
    each = -math.log(math.e / (2 * math.e + 1))
    none = torch.zeros(2, 3, dtype=torch.bool)
    assert sampled_softmax(queries, items, torch.zeros(3), none, 1.0).item() == pytest.approx(each)


def test_bf16_is_widened():
    narrow, none = torch.randn(4, 3, dtype=torch.bfloat16), torch.zeros(4, 4, dtype=torch.bool)
    got = sampled_softmax(narrow, narrow, torch.zeros(4), none, 0.1)
    assert got.dtype == torch.float32
    assert got.item() == sampled_softmax(narrow.float(), narrow.float(), torch.zeros(4), none, 0.1).item()


def test_a_learnt_temperature_gets_its_gradient():
    torch.manual_seed(0)
    queries, items = torch.randn(4, 3).double(), torch.randn(4, 3).double()
    none = torch.zeros(4, 4, dtype=torch.bool)
    t = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: sampled_softmax(queries, items, torch.zeros(4), none, t), (t,))


def test_rows_that_share_a_query_share_its_sum():
    queries = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    items, log_q = (
        torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0], [0.25, 1.0]]),
        torch.tensor([0.1, 0.2, 0.3, 0.4]).log(),
    )
    # exp(<q, v> / .5 - log Q); rows 0 and 2 are the first query's, row 1 the second's; item 3 is nobody's
    hits = torch.tensor([[True, False, True, False], [False, True, False, False]])
    first = [math.e ** (one / 0.5) / q for one, q in ((0.5, 0.1), (1.0, 0.2), (0.0, 0.3), (0.25, 0.4))]
    second = [math.e ** (one / 0.5) / q for one, q in ((1.0, 0.1), (0.0, 0.2), (2.0, 0.3), (2.0, 0.4))]
    others = (first[1] + first[3]) / 4, (second[0] + second[2] + second[3]) / 4
    each = [math.log(1 + others[n] / math.e ** (own / 0.5)) for n, own in ((0, 0.5), (1, 0.0), (0, 0.0))]
    rows, weights = torch.tensor([0, 1, 0]), torch.tensor([1.0, 0.5, 2.0])
    found = shared_softmax(queries, rows, items, log_q, hits, 0.5, weights)
    assert found.item() == pytest.approx((each[0] + 0.5 * each[1] + 2 * each[2]) / 3.5)
    assert shared_softmax(queries, rows, items, log_q, hits, 0.5).item() == pytest.approx(sum(each) / 3)


def test_a_shared_sum_is_that_of_the_catalogue_on_average():
    """Over all draws of three of four items, each with its share, the mean of Z is the sum over what is not wanted."""
    query, items = torch.tensor([[1.0, 0.5]]), torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0], [0.25, 1.0]])
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4])
    mean = 0.0
    for drawn in itertools.product(range(4), repeat=3):
        rows = torch.tensor([0, *drawn])  # the wanted one, which is item 0, and three drawn ones
        hits = (rows == 0)[None]
        loss = shared_softmax(query, torch.tensor([0]), items[rows], shares[rows].log(), hits, 1.0)
        z = (loss.exp() - 1) * (query[0] @ items[0]).exp()  # of four at hand, of which one was not drawn
        mean += math.prod(shares[n].item() for n in drawn) * z.item() * 4 / 3
    assert mean == pytest.approx((items[1:] @ query[0]).exp().sum().item(), rel=1e-5)


def test_a_shared_sum_has_gradients():
    torch.manual_seed(0)
    queries, items = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (2, 5))
    rows, hits = torch.tensor([0, 1, 0]), torch.tensor([[True, False, True, False, False], [False, True] + [False] * 3])
    log_q = torch.rand(5, dtype=torch.float64).log()
    assert torch.autograd.gradcheck(lambda q, v: shared_softmax(q, rows, v, log_q, hits, 0.3), (queries, items))
    narrow = [one.detach().to(torch.bfloat16) for one in (queries, items)]
    assert shared_softmax(narrow[0], rows, narrow[1], log_q.float(), hits, 0.3).dtype == torch.float32
