import math

import numpy as np
import pytest
import torch

from towers.encoders.history import Events, events
from towers.repeats import Own, RepeatTerm, past, top_k_with

DAY = 86400
HALF_LIVES, GAPS = (7, 30, 90, 1000), (2, 7, 21, 60)  # days
NONE = np.zeros(0, dtype=np.int64)


def random_events(seed=0, users=4, items=5, length=12) -> Events:
    rng = np.random.default_rng(seed)
    histories = []
    for user in range(users):
        n = 0 if user == 1 else length
        times = np.sort(rng.integers(0, 60 * DAY, n))
        histories.append((rng.integers(-1, items, n), rng.integers(0, 2, n), times))
    return events(histories)


def by_hand(rows: Events, user: int, end: int, moment: int) -> dict[int, list[float]]:
    """{item: features} from the definition, one event at a time."""
    out: dict[int, list[float]] = {}
    mine = range(int(rows.offsets[user]), end)
    for item in {int(rows.items[e]) for e in mine} - {-1}:
        ages = [((moment - int(rows.times[e])) / DAY, int(rows.behaviours[e])) for e in mine if rows.items[e] == item]
        counts = [sum(0.5 ** (age / h) for age, b in ages if b == kind) for kind in (0, 1) for h in HALF_LIVES]
        gap = min(age for age, _ in ages)
        out[item] = [math.log(1 + c) for c in counts] + [math.exp(-gap / s) for s in GAPS]
    return out


def as_dict(own: Own, row: int) -> dict[int, list[float]]:
    at = own.rows == row
    found = own.items[at].tolist()
    assert len(set(found)) == len(found)
    return dict(zip(found, own.features[at].tolist(), strict=True))


def same(found: dict[int, list[float]], expected: dict[int, list[float]]) -> bool:
    return found.keys() == expected.keys() and all(found[i] == pytest.approx(expected[i], rel=1e-5) for i in found)


def test_what_a_user_had_before_each_event_is_as_by_hand():
    rows = random_events()
    known = past(rows, 2)
    users = torch.repeat_interleave(torch.arange(rows.n_users), rows.offsets.diff())
    ends = torch.arange(len(rows.items))
    order = torch.randperm(len(ends), generator=torch.Generator().manual_seed(0))
    own = known.own(ends[order], users[order])
    assert (own.rows.diff() >= 0).all()
    for row, end in enumerate(order.tolist()):
        assert same(as_dict(own, row), by_hand(rows, int(users[end]), end, int(rows.times[end])))


def test_what_a_user_ever_had_is_as_by_hand():
    rows = random_events(1)
    now = 70 * DAY + 12345
    own = past(rows, 2).latest(torch.tensor([3, 1, 0]), now)
    for row, user in enumerate((3, 1, 0)):
        assert same(as_dict(own, row), by_hand(rows, user, int(rows.offsets[user + 1]), now))
    assert not as_dict(own, 1)  # who did nothing


def test_moments_count_forward_from_the_last_event_and_never_back():
    rows = events([(np.array([3]), np.array([0]), np.array([10 * DAY]))])
    known = past(rows, 1)
    later = known.own(torch.tensor([1]), torch.tensor([0]), torch.tensor([17 * DAY])).features[0]
    assert later[0].item() == pytest.approx(math.log(1.5))  # one half-life of 7 days
    assert later[len(HALF_LIVES)].item() == pytest.approx(math.exp(-3.5))
    earlier = known.latest(torch.tensor([0]), 0).features[0]
    assert earlier[:4].tolist() == pytest.approx([math.log(2)] * 4)
    assert earlier[4:].tolist() == [1.0] * 4


def test_the_same_item_of_two_users_is_counted_apart():
    rows = events(
        [(np.array([3, 3]), np.array([0, 0]), np.array([0, 0])), (np.array([3]), np.array([0]), np.array([0]))]
    )
    own = past(rows, 1).latest(torch.tensor([0, 1]), 0)
    assert own.rows.tolist() == [0, 1]
    assert own.features[:, 0].tolist() == pytest.approx([math.log(3), math.log(2)])


def test_nobody_had_anything():
    for rows in (events([(NONE, NONE, NONE)] * 2), events([(np.array([-1]), np.array([0]), np.array([5]))] * 2)):
        own = past(rows, 1).latest(torch.tensor([0, 1]), 10)
        assert len(own.rows) == len(own.items) == len(own.features) == 0
        assert RepeatTerm(1, 0.1)(own, torch.zeros(3, 2)).shape == (0,)
        assert own.places(torch.tensor([0, 1]), torch.tensor([0, 2])).tolist() == [-1, -1]


def own_of(rows, items):
    features = torch.randn(len(rows), 4 + 4, generator=torch.Generator().manual_seed(0))
    return Own(torch.tensor(rows, dtype=torch.int64), torch.tensor(items, dtype=torch.int64), features)


def learnt(hidden=3):
    torch.manual_seed(0)
    term = RepeatTerm(1, 0.1, hidden).double()
    with torch.no_grad():
        term.down.weight.normal_()
        term.down.bias.fill_(0.7)
    return term


def r_by_hand(term, x, habit):
    w = {name: p.detach().numpy() for name, p in term.named_parameters()}
    up = w["up.weight"] @ x.double().numpy() + w["up.bias"] + w["item.weight"] @ habit.numpy()
    gelu = [u / 2 * (1 + math.erf(u / math.sqrt(2))) for u in up]
    return 2.0 * float(w["down.weight"][0] @ gelu + 0.7)  # 20 times the temperature


def double(own):
    return Own(own.rows, own.items, own.features.double())


HABITS = torch.tensor([[0.3, -1.0], [1.0, 2.0], [-0.5, 0.25], [0.0, 1.0]], dtype=torch.float64)


def test_the_term_is_its_formula_and_begins_at_zero():
    own = double(own_of([0, 0, 1], [3, 2, 2]))
    assert RepeatTerm(1, 0.1).double()(own, HABITS).tolist() == [0, 0, 0]
    term = learnt()
    expected = [r_by_hand(term, x, HABITS[item]) for x, item in zip(own.features, [3, 2, 2], strict=True)]
    assert term(own, HABITS).tolist() == pytest.approx(expected)


def test_it_learns_from_the_first_step_on():
    term = RepeatTerm(1, 0.1).double()
    term(double(own_of([0], [1])), HABITS).sum().backward()
    assert term.down.weight.grad.abs().sum() > 0


def test_gradients_of_the_term():
    term, own = learnt(), double(own_of([0, 0, 2], [1, 3, 2]))
    assert torch.autograd.gradcheck(lambda h: term(own, h), HABITS.clone().requires_grad_())
    term(own, HABITS).sum().backward()
    assert all(p.grad.any() for p in term.parameters())


def test_where_a_pair_stands_among_what_was_had():
    own = own_of([0, 0, 2, 2], [9, 4, 4, 1])  # a user's items in any order
    users, items = torch.tensor([0, 2, 0, 2, 1, 2, 0]), torch.tensor([4, 1, 9, 4, 4, 9, 99])
    assert own.places(users, items).tolist() == [1, 3, 0, 2, -1, -1, -1]
    assert own.places(users[:0], items[:0]).shape == (0,)
    assert own.places(torch.tensor([0, 0]), torch.tensor([24, 21])).tolist() == [-1, -1]  # user 2's, ten items later


@pytest.mark.parametrize("k", [1, 3, 8])
def test_top_k_with_equals_sorting_all_scores(k):
    torch.manual_seed(0)
    queries, items = torch.randint(-2, 3, (4, 3)).float(), torch.randint(-2, 3, (6, 3)).float()  # many ties
    own, given = own_of([0, 0, 0, 2, 3], [5, 0, 3, 1, 2]), torch.tensor([1.0, 2.0, -3.0, 0.0, 5.0])
    exclude = [np.array([0, 1, -1]), NONE, np.array([4]), np.array([2, 3])]
    scores, rows = top_k_with(queries, items, k, own, given, exclude=exclude)
    whole = queries @ items.T
    whole[own.rows, own.items] = given
    for q in range(4):
        for item in exclude[q]:
            if item >= 0:
                whole[q, item] = -torch.inf
        best = sorted((-s, i) for i, s in enumerate(whole[q].tolist()) if s > -math.inf)[:k]
        best += [(math.inf, -1)] * (k - len(best))
        assert rows[q].tolist() == [i for _, i in best]
        assert scores[q].tolist() == [-s for s, _ in best]


def test_top_k_with_without_any_own_item_is_top_k():
    queries, items = torch.eye(2), torch.eye(2)
    scores, rows = top_k_with(queries, items, 2, own_of([], []), torch.zeros(0))
    assert rows.tolist() == [[0, 1], [1, 0]]
    assert scores.tolist() == [[1, 0], [1, 0]]
    assert top_k_with(queries[:0], items, 2, own_of([], []), torch.zeros(0))[1].shape == (0, 2)
