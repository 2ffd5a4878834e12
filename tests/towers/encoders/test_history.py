import math

import numpy as np
import pytest
import torch

from towers.config import TowersError
from towers.encoders.history import (
    POOLS,
    CausalLayer,
    Events,
    Window,
    events,
    history_encoder,
    time_buckets,
)

DAY = 86400
PLACE_HALF_LIVES, AGE_HALF_LIVES = (1, 8), (7, 90)  # events, days
ROWS = events(
    [
        (np.array([10, 11, 12]), np.array([0, 1, 0]), np.array([0, 1, 3]) * DAY),
        (np.array([]),) * 3,
        (np.array([20]), np.array([1]), np.array([2 * DAY])),
    ]
)
VECTORS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]], dtype=torch.float64)


def window(items, behaviours, ages=None):
    items = torch.tensor(items)
    return Window(items, torch.tensor(behaviours), torch.zeros(items.shape) if ages is None else torch.tensor(ages))


def test_a_window_holds_only_what_stands_before():
    # user 0 before its second and third event, user 2 before its first
    read = ROWS.before(torch.tensor([1, 2, 3]), torch.tensor([0, 0, 2]), 2)
    assert read.items.tolist() == [[10, -1], [11, 10], [-1, -1]]
    assert read.behaviours[1].tolist() == [1, 0]
    assert read.ages.tolist() == [[1.0, 0.0], [2.0, 3.0], [0.0, 0.0]]  # days before the event that is predicted


def test_latest_is_newest_first_and_cut():
    read = ROWS.latest(torch.tensor([0, 1, 2]), 2, now=4 * DAY)
    assert read.items.tolist() == [[12, 11], [-1, -1], [20, -1]]
    assert read.behaviours[0].tolist() == [0, 1]
    assert read.ages.tolist() == [[1.0, 3.0], [0.0, 0.0], [2.0, 0.0]]
    assert read.ages.dtype == torch.float32
    assert ROWS.n_users == 3


def test_a_window_may_be_longer_than_all_events():
    read = ROWS.latest(torch.tensor([2, 0]), 9, now=4 * DAY)
    assert read.items.tolist() == [[20] + [-1] * 8, [12, 11, 10] + [-1] * 6]


def test_ages_are_fractions_of_days_and_never_negative():
    # seconds of this century need more digits than float32 has
    rows = events([(np.array([1, 2]), np.array([0, 0]), np.array([1_790_000_000, 1_790_000_007]))])
    assert rows.latest(torch.tensor([0]), 1, now=1_790_000_008).ages.item() == pytest.approx(1 / DAY)
    assert rows.latest(torch.tensor([0]), 1, now=1_780_000_000).ages.item() == 0


def test_nobody_has_any_event():
    nobody = (np.array([]),) * 3
    read = events([nobody] * 2).latest(torch.tensor([0, 1]), 3, now=0)
    assert read.items.tolist() == [[-1] * 3] * 2
    assert read.behaviours.tolist() == [[0] * 3] * 2
    assert read.ages.tolist() == [[0.0] * 3] * 2
    assert events([]).n_users == 0


def test_a_history_with_parts_of_different_length_is_refused():
    good = (np.array([1]), np.array([0]), np.array([5]))
    for bad in ((np.array([1, 2]), np.array([0]), np.array([5])), (np.array([1]), np.array([0]), np.array([5, 6]))):
        with pytest.raises(TowersError, match="history 1"):
            events([good, bad])


def test_events_keep_each_column_of_each_user():
    assert isinstance(ROWS, Events)
    assert ROWS.offsets.tolist() == [0, 3, 3, 4]
    assert ROWS.items.tolist() == [10, 11, 12, 20]
    assert ROWS.behaviours.tolist() == [0, 1, 0, 1]
    assert ROWS.times.tolist() == [0, DAY, 3 * DAY, 2 * DAY]


# newest first: item 0 (behaviour 0), item 1 (behaviour 1), item 2 (behaviour 0), a place that is empty
READ = window([[0, 1, 2, -1]], [[0, 1, 0, 0]], [[1.0, 2.0, 10.0, 0.0]])


def test_mean_is_one_vector_per_behaviour():
    pool = history_encoder("mean", 3, 4, 2)
    assert pool(READ, VECTORS).tolist() == [[[1.5, 1.0], [0.0, 1.0], [0.0, 0.0]]]
    assert pool.width == 3


def test_recency_is_the_weighted_mean_by_hand():
    pool = history_encoder("recency", 2, 4, 2).double()
    out = pool(READ, VECTORS)[0].tolist()  # (K P, D)
    for p, half_life in enumerate(PLACE_HALF_LIVES):
        old = 0.5 ** (2 / half_life)  # of place 2 against place 0
        assert out[p] == pytest.approx([(1 + old * 2) / (1 + old), old * 2 / (1 + old)])
        assert out[len(PLACE_HALF_LIVES) + p] == pytest.approx([0, 1])
    assert len(out) == pool.width
    assert pool.place.shape == (2, len(PLACE_HALF_LIVES), 4)


def test_aged_halves_with_time():
    pool = history_encoder("aged", 2, 4, 2).double()
    out = pool(READ, VECTORS)[0].tolist()
    for p, half_life in enumerate(AGE_HALF_LIVES):
        new, old = 0.5 ** (1 / half_life), 0.5 ** (10 / half_life)
        assert out[p] == pytest.approx([(new + old * 2) / (new + old), old * 2 / (new + old)], rel=1e-6)
        assert out[len(AGE_HALF_LIVES) + p] == pytest.approx([0, 1])
    assert len(out) == pool.width
    # learnt half-lives belong to a behaviour and a horizon
    with torch.no_grad():
        pool.log_half_life[1, 0] = math.log(1.0)
    read = window([[0, 2]], [[1, 1]], [[0.0, 1.0]])
    assert pool(read, VECTORS)[0, 2].tolist() == pytest.approx([4 / 3, 2 / 3])


@pytest.mark.parametrize("kind", POOLS)
def test_every_encoder_keeps_the_contract(kind):
    torch.manual_seed(0)
    pool, vectors = history_encoder(kind, 2, 6, 4, layers=2), torch.randn(5, 4)
    read = window([[3, 0, 4, 1], [-1] * 4, [2, -1, -1, -1]], [[0, 1, 0, 1]] * 3, [[0.5, 1.0, 9.0, 40.0]] * 3)
    out = pool(read, vectors)
    assert out.shape == (3, pool.width, 4)
    assert torch.isfinite(out).all()
    assert not out[1].any()  # who did nothing
    # empty places behind change nothing, whatever stands in them
    longer = Window(*(torch.cat([part, more], 1) for part, more in zip(
        (read.items, read.behaviours, read.ages),
        (torch.full((3, 2), -1), torch.ones(3, 2, dtype=torch.int64), torch.full((3, 2), 7.0)),
        strict=True,
    )))  # fmt: skip
    assert torch.allclose(pool(longer, vectors), out, atol=1e-6)
    # a user's vectors don't depend on who else is asked for
    alone = Window(read.items[:1], read.behaviours[:1], read.ages[:1])
    assert torch.allclose(pool(alone, vectors), out[:1], atol=1e-6)
    # a new event and its behaviour are seen, without training
    for changed in (window([[2, 0, 4, 1]], [[0, 1, 0, 1]]), window([[3, 0, 4, 1]], [[1, 1, 0, 1]])):
        assert not torch.allclose(pool(changed, vectors), out[:1], atol=1e-4)
    nobody = Window(*(part[:0] for part in (read.items, read.behaviours, read.ages)))
    assert pool(nobody, vectors).shape == (0, pool.width, 4)


@pytest.mark.parametrize("kind", POOLS)
def test_gradients_of_every_encoder(kind):
    torch.manual_seed(0)
    pool = history_encoder(kind, 2, 3, 4, layers=2).double()
    read = window([[3, 0, 1], [2, -1, -1]], [[0, 1, 0]] * 2, [[0.5, 1.0, 9.0]] * 2)
    vectors = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: pool(read, v), vectors)
    pool(read, vectors).square().sum().backward()
    silent = [n for n, p in pool.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not silent
    assert not [n for n, p in pool.named_parameters() if not p.grad.any()]


def test_an_unknown_kind_is_refused():
    with pytest.raises(TowersError, match="recency"):
        history_encoder("attention", 1, 1, 1)


def test_time_buckets_are_two_to_an_octave_of_hours():
    # hours 0, 1, 3, 24, 168: 2 log2(1 + h) = 0, 2, 4, 9.29, 14.80
    assert time_buckets(torch.tensor([0, 1 / 24, 3 / 24, 1, 7])).tolist() == [0, 2, 4, 9, 15]
    assert time_buckets(torch.tensor([1e6])).item() == 31
    assert time_buckets(torch.tensor([1600.0])).item() == 30  # the last begins after 4.5 years
    assert time_buckets(torch.tensor([1700.0])).item() == 31


def sequence(layers=2, heads=2, dim=4, length=5):
    torch.manual_seed(3)
    pool = history_encoder("sequence", 2, length, dim, layers=layers, heads=heads).double()
    with torch.no_grad():
        for p in pool.parameters():
            p.add_(torch.randn_like(p) * 0.3)  # gains off 1, tables off 0
    return pool


def test_a_state_knows_nothing_of_newer_events():
    pool = sequence()
    vectors = torch.randn(8, 4, dtype=torch.float64)
    items, kinds, ages = [3, 0, 4, 1, 2], [0, 1, 0, 1, 1], [0.5, 1.0, 9.0, 20.0, 40.0]
    before = pool.states(window([items], [kinds], [ages]), vectors)[0]
    for place in range(5):
        for changed, own in (
            (window([[*items[:place], 7, *items[place + 1 :]]], [kinds], [ages]), 1),
            (window([items], [[*kinds[:place], 1 - kinds[place], *kinds[place + 1 :]]], [ages]), 1),
            # How long after the one before it: of the oldest that is not known.
            (window([items], [kinds], [[*ages[:place], 400.0, *ages[place + 1 :]]]), int(place < 4)),
        ):
            after = pool.states(changed, vectors)[0]
            assert torch.allclose(before[place + 1 :], after[place + 1 :])  # the older ones
            for newer in range(place + own):
                assert not torch.allclose(before[newer], after[newer], atol=1e-4)


def test_forward_is_the_newest_state():
    vectors = torch.randn(8, 4, dtype=torch.float64)
    read = window([[3, 0, 4, -1, -1]], [[0, 1, 0, 0, 0]], [[0.5, 1.0, 9.0, 0.0, 0.0]])
    for layers in (1, 2, 3):
        pool = sequence(layers)
        assert torch.allclose(pool(read, vectors)[0, 0], pool.states(read, vectors)[0, 0])


def test_an_item_outside_the_catalogue_has_its_time_and_behaviour_only():
    pool = sequence(layers=1)
    vectors = torch.randn(8, 4, dtype=torch.float64)
    read = window([[-1, 3]], [[0, 1]], [[0.5, 1.0]])
    out = pool(read, vectors)
    changed = vectors.clone()
    changed[0] += 1  # the row that a missing item is clamped to
    assert torch.equal(pool(read, changed), out)
    assert not torch.allclose(pool(window([[-1, 3]], [[1, 1]], [[0.5, 1.0]]), vectors), out, atol=1e-4)
    # and others don't look at it, but for how long ago it was
    behind = window([[3, -1]], [[0, 1]], [[0.5, 0.5]])
    assert torch.allclose(pool(behind, vectors), pool(window([[3]], [[0]], [[0.5]]), vectors))


def plain_layer(layer, x, mask):
    """The layer's formula in numpy, one place and one head at a time: x (H, D), mask (H, H)."""
    weight = {name: p.detach().numpy() for name, p in layer.named_parameters()}

    def rms(v, gain):
        return v / np.sqrt(np.mean(v**2) + 1e-6) * gain

    d = x.shape[1] // layer.heads
    normed = np.stack([rms(v, weight["before.weight"]) for v in x])
    q, k, v = (normed @ weight[f"{name}.weight"].T for name in "qkv")
    out = []
    for i in range(len(x)):
        heads = []
        for h in range(layer.heads):
            part = slice(h * d, (h + 1) * d)
            logits = np.array(
                [
                    rms(q[i, part], weight["norm_q.weight"]) @ rms(k[j, part], weight["norm_k.weight"]) / math.sqrt(d)
                    if mask[i, j]
                    else -np.inf
                    for j in range(len(x))
                ]
            )
            shares = np.exp(logits - logits.max())
            heads.append(shares / shares.sum() @ v[:, part])
        y = x[i] + np.concatenate(heads) @ weight["out.weight"].T
        up = rms(y, weight["between.weight"]) @ weight["up.weight"].T + weight["up.bias"]
        gelu = up * 0.5 * (1 + np.array([math.erf(u / math.sqrt(2)) for u in up]))
        out.append(y + gelu @ weight["down.weight"].T + weight["down.bias"])
    return np.stack(out)


def test_a_layer_is_its_formula():
    layer = sequence(layers=1).layers[0]
    x = torch.randn(3, 4, dtype=torch.float64)
    mask = torch.tensor([[True, True, False], [False, True, True], [False, False, True]])
    out = layer(x[None], x[None], mask[None])[0]
    assert np.allclose(out.detach().numpy(), plain_layer(layer, x.numpy(), mask.numpy()))


def test_the_sequence_is_its_formula():
    pool = sequence(layers=2)
    vectors = torch.randn(8, 4, dtype=torch.float64)
    x = (
        vectors[[3, 0, 4]].numpy()
        + pool.behaviour.weight.detach().numpy()[[0, 1, 0]]
        + pool.time.weight.detach().numpy()[[9, 15, 0]]
        + pool.place.weight.detach().numpy()[[0, 1, 2]]
    )
    mask = np.triu(np.ones((3, 3), dtype=bool))  # newest first: a place sees itself and what stands behind
    for layer in pool.layers:
        x = plain_layer(layer, x, mask)
    gain = pool.norm.weight.detach().numpy()
    expected = x[0] / np.sqrt(np.mean(x[0] ** 2) + 1e-6) * gain
    read = window([[3, 0, 4]], [[0, 1, 0]], [[2.0, 3.0, 10.0]])
    assert np.allclose(pool(read, vectors)[0, 0].detach().numpy(), expected)
    later = window([[3, 0, 4]], [[0, 1, 0]], [[52.0, 53.0, 60.0]])  # the same, asked for later
    assert torch.equal(pool(later, vectors), pool(read, vectors))
    shorter = window([[3, 0, -1]], [[0, 1, 0]], [[2.0, 3.0, 0.0]])
    none_older = window([[3, 0]], [[0, 1]], [[2.0, 3.0]])
    assert torch.allclose(pool(shorter, vectors), pool(none_older, vectors))


def test_a_state_begins_with_unit_length():
    torch.manual_seed(0)
    pool = history_encoder("sequence", 1, 3, 16)
    assert len(pool.layers) == 1
    out = pool(window([[0, 1, 2]], [[0, 0, 0]]), torch.nn.functional.normalize(torch.randn(3, 16), dim=-1))
    assert out.norm().item() == pytest.approx(1, abs=1e-3)


def test_dropout_is_in_both_branches_and_in_training_only():
    torch.manual_seed(0)
    layer = CausalLayer(4, 1, dropout=0.999999)
    x = torch.randn(1, 2, 4)
    mask = torch.ones(1, 2, 2, dtype=torch.bool)
    assert torch.allclose(layer(x, x, mask), x)
    assert not torch.allclose(layer.eval()(x, x, mask), x, atol=1e-3)


def test_heads_must_share_the_width():
    with pytest.raises(TowersError, match="3 heads"):
        CausalLayer(4, 3, 0.0)
