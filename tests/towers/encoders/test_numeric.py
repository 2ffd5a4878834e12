import math
import sys

import numpy as np
import pytest
import torch
from rtdl_num_embeddings import PiecewiseLinearEncoding

from towers.config import TowersError
from towers.encoders.numeric import BINS, NUMERIC, PerColumn, filled_bins, numeric_encoder

KINDS = sorted(NUMERIC)
NAN, INF = math.nan, math.inf


def fitted(kind, values, dim=3):
    torch.manual_seed(0)
    encoder = numeric_encoder(kind, len(values[0]), dim).double()
    torch.nn.init.normal_(encoder.missing)
    encoder.fit(torch.tensor(values, dtype=torch.float64))
    return encoder


def array(parameter):
    return parameter.detach().numpy()


def lines(encoder, features):
    """W x + b of one column, in numpy: features (B, K)."""
    return np.asarray(features) @ array(encoder.line.weight)[0] + array(encoder.line.bias)[0]


def encoded(encoder, values):
    return array(encoder(torch.tensor(values, dtype=torch.float64)[:, None]))[:, 0]


def test_log_by_hand():
    encoder = fitted("log", [[0.0], [math.e - 1], [1 - math.e**3]])  # s: 0, 1, -3
    mean, deviation = -2 / 3, math.sqrt((4 / 9 + 25 / 9 + 49 / 9) / 3)
    s = np.array([0, 1, -3, -math.log(3)])
    found = encoded(encoder, [0.0, math.e - 1, 1 - math.e**3, -2.0])
    np.testing.assert_allclose(found, lines(encoder, ((s - mean) / deviation)[:, None]), rtol=1e-6)


def test_sigmoids_by_hand():
    encoder = fitted("sigmoids", [[1.0], [3.0], [5.0], [7.0]])  # mean 4, deviation sqrt(5)
    z = (np.array([1.0, 4.0, 6.5, 7.0]) - 4) / math.sqrt(5)
    steps = [[1 / (1 + math.exp(-a * (one - c))) for a in (1, 3) for c in (-1.5, -0.5, 0.5, 1.5)] for one in z]
    np.testing.assert_allclose(encoded(encoder, [1.0, 4.0, 6.5, 7.0]), lines(encoder, steps), rtol=1e-6)
    assert encoder.slope.requires_grad
    assert encoder.offset.requires_grad


def test_bins_by_hand():
    edges = torch.tensor([[0.0, 2.0, 4.0, 4.0, 8.0]])
    found = filled_bins(torch.tensor([[0.0], [1.0], [3.0], [4.0], [6.0], [8.0]]), edges)[:, 0]
    assert found.tolist() == [
        [0.0, 0.0, 0.0, 0.0],
        [0.5, 0.0, 0.0, 0.0],
        [1.0, 0.5, 0.0, 0.0],
        [1.0, 1.0, 1.0, 0.0],  # the bin without width is full from its value on
        [1.0, 1.0, 1.0, 0.5],
        [1.0, 1.0, 1.0, 1.0],
    ]


def test_bins_are_those_of_rtdl():
    edges = torch.tensor([[-1.0, 0.5, 2.0, 7.0], [0.0, 1.0, 10.0, 11.0]])
    x = torch.rand(50, 2) * torch.tensor([8.0, 11.0]) + torch.tensor([-1.0, 0.0])
    torch.testing.assert_close(filled_bins(x, edges).flatten(1), PiecewiseLinearEncoding(list(edges))(x))


def test_piecewise_and_quantiles_by_hand():
    values = [[float(x)] for x in range(BINS + 1)]  # the edges are the whole numbers
    encoder = fitted("piecewise", values)
    np.testing.assert_array_equal(array(encoder.edges)[0], np.arange(BINS + 1))
    full = [[min(max(x - t, 0), 1) for t in range(BINS)] for x in (0.0, 2.25, 32.0)]
    np.testing.assert_allclose(encoded(encoder, [0.0, 2.25, 32.0]), lines(encoder, full), rtol=1e-12)
    encoder = fitted("quantiles", [[*one, *one] for one in values])
    found = array(encoder(torch.tensor([[0.5, 3.0], [31.0, 2.9], [32.0, 0.0]], dtype=torch.float64)))
    vectors = array(encoder.vectors).reshape(2, BINS, 3)
    np.testing.assert_array_equal(found[:, 0], vectors[0, [0, 31, 31]])
    np.testing.assert_array_equal(found[:, 1], vectors[1, [3, 2, 0]])


def test_distribution_by_hand():
    encoder = fitted("distribution", [[float(x) ** 2] for x in range(BINS + 1)])  # edges 0, 1, 4, 9, ...
    u = np.array([0.0, 2.5 / 32, 8 / 32, 1.0])  # 6.5 stands half way between 2 ** 2 and 3 ** 2
    features = np.stack([u, u * u, np.sqrt(u)], axis=1)
    np.testing.assert_allclose(encoded(encoder, [0.0, 6.5, 64.0, 1024.0]), lines(encoder, features), rtol=1e-12)


def test_distribution_is_the_share_at_or_below_also_of_ties():
    values = np.repeat([1.0, 5.0, 6.0], [200, 100, 100])[:, None]
    encoder = fitted("distribution", values.tolist())
    u = array(filled_bins(torch.tensor([[1.0], [5.0], [6.0]], dtype=torch.float64), encoder.edges).mean(-1))[:, 0]
    np.testing.assert_allclose(u, [0.5, 0.75, 1.0], atol=1 / BINS)


def test_distribution_is_uniform_whatever_the_column():
    values = np.random.default_rng(0).lognormal(sigma=3, size=(5000, 1))
    encoder = fitted("distribution", values.tolist())
    u = array(filled_bins(torch.tensor(values), encoder.edges).mean(-1))[:, 0]
    np.testing.assert_allclose(np.quantile(u, [0.1, 0.35, 0.5, 0.9]), [0.1, 0.35, 0.5, 0.9], atol=0.01)


def test_periodic_by_hand():
    encoder = fitted("periodic", [[float(x)] for x in range(BINS + 1)])
    v = math.sqrt(12) * (np.array([0.0, 9.5, 32.0]) / 32 - 0.5)
    angles = 2 * math.pi * np.outer(v, array(encoder.waves.periodic.weight)[0])  # (B, K)
    features = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    linear = encoder.waves.linear
    expected = np.maximum(features @ array(linear.weight)[0] + array(linear.bias)[0], 0)
    np.testing.assert_allclose(encoded(encoder, [0.0, 9.5, 32.0]), expected, rtol=1e-9)
    assert encoder.waves.periodic.weight.requires_grad
    assert 0.05 < encoder.waves.periodic.weight.abs().max() <= 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_each_column_has_parameters_and_statistics_of_its_own(kind):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(100, 3)) * [1, 10, 100] + [0, 5, -50]
    encoder = fitted(kind, values.tolist(), dim=8)
    x = torch.tensor(values[:20])
    whole = encoder(x)
    assert whole.shape == (20, 3, 8)
    changed = x.clone()
    changed[:, 1] = 5.0
    again = encoder(changed)
    assert torch.equal(whole[:, 0], again[:, 0])
    assert torch.equal(whole[:, 2], again[:, 2])
    assert not torch.allclose(whole[:, 1], again[:, 1])
    same = encoder(torch.full((1, 3), 1.0, dtype=torch.float64))[0]
    assert not torch.allclose(same[0], same[1])


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values_have_a_vector_of_their_column_and_gradients_are_finite(kind):
    encoder = fitted(kind, [[1.0, 2.0], [3.0, NAN], [4.0, 5.0]])
    found = encoder(torch.tensor([[NAN, 2.0], [1.0, NAN], [NAN, NAN]], dtype=torch.float64))
    missing = encoder.missing
    torch.testing.assert_close(found[[0, 2], 0], missing[0].expand(2, -1))
    torch.testing.assert_close(found[[1, 2], 1], missing[1].expand(2, -1))
    assert not torch.allclose(found[1, 0], missing[0])
    found.square().sum().backward()
    assert encoder.missing.grad.abs().min() > 0
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_values_beyond_the_range_count_as_its_ends(kind):
    encoder = fitted(kind, [[1.0], [3.0], [4.0]])
    found = encoded(encoder, [-100.0, -INF, 1.0, 4.0, 77.0, INF])
    np.testing.assert_allclose(found[:2], found[[2, 2]], rtol=1e-12)
    np.testing.assert_allclose(found[4:], found[[3, 3]], rtol=1e-12)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("values", [[[7.0], [7.0]], [[NAN], [NAN]], [[0.0]], [[INF], [-INF]]])
def test_a_constant_or_missing_column_does_no_harm(kind, values):
    encoder = fitted(kind, values)
    found = encoder(torch.tensor([[7.0], [0.0], [NAN], [-5.0]], dtype=torch.float64))
    found.sum().backward()
    assert found.isfinite().all()
    assert found.abs().max() < 50
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_or_infinite_does_not_change_the_statistics(kind):
    clean = fitted(kind, [[1.0], [3.0], [4.0]])
    dirty = fitted(kind, [[1.0], [NAN], [3.0], [INF], [4.0], [-INF]])
    for name, value in clean.named_buffers():
        assert torch.equal(value, dict(dirty.named_buffers())[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_loads_into_an_encoder_that_was_never_fitted(kind):
    encoder = fitted(kind, [[1.0, 5.0], [3.0, 5.0], [4.0, NAN]])
    fresh = numeric_encoder(kind, 2, 3).double()
    x = torch.tensor([[2.0, 5.0], [NAN, 9.0]], dtype=torch.float64)
    assert not torch.allclose(fresh(x), encoder(x))
    fresh.load_state_dict(encoder.state_dict())
    assert torch.equal(fresh(x), encoder(x))


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_and_single_precision(kind):
    encoder = numeric_encoder(kind, 2, 3)
    assert not encoder.missing.any()
    encoder.fit(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
    assert encoder(torch.zeros(0, 2)).shape == (0, 2, 3)
    encoder.fit(torch.zeros(0, 2))  # nothing new is known
    assert encoder.edges[:, -1].tolist() == [2.0, 3.0]
    assert encoder(torch.ones(4, 2)).dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind):
    encoder = fitted(kind, [[float(x), -(float(x) ** 2)] for x in range(12)])
    x = torch.tensor([[2.3, -7.0], [NAN, -40.0], [11.0, NAN]], dtype=torch.float64)
    names, values = zip(*encoder.named_parameters(), strict=True)

    def outcome(*parameters):
        return torch.func.functional_call(encoder, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(outcome, values)


@pytest.mark.parametrize("kind", ["periodic", "piecewise", "quantiles", "sigmoids"])
def test_a_line_over_the_vectors_learns_a_bump_in_a_skewed_column(kind):
    torch.manual_seed(0)
    x = torch.distributions.LogNormal(0.0, 1.0).sample((512, 1)).clamp(max=8)
    wanted = torch.exp(-((x - 1.5) ** 2))
    encoder, last = numeric_encoder(kind, 1, 16), torch.nn.Linear(16, 1)
    encoder.fit(x)
    optimiser = torch.optim.Adam([*encoder.parameters(), *last.parameters()], lr=0.02)
    for _ in range(300):
        loss = (last(encoder(x)[:, 0]) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.02 * wanted.var().item()


def test_lines_begin_evenly_on_both_sides_of_zero():
    layer = PerColumn(3, 9, 400)
    for values in (layer.weight, layer.bias):
        assert 0.3 < values.abs().max() <= 1 / 3
        assert abs(values.mean()) < 0.05


def test_one_column_of_one_number_is_enough():
    assert numeric_encoder("log", 1, 1)(torch.ones(2, 1)).shape == (2, 1, 1)


def test_wrong_shapes_and_names_are_refused():
    with pytest.raises(TowersError, match="piecewise"):
        numeric_encoder("splines", 1, 2)
    with pytest.raises(TowersError):
        numeric_encoder("log", 0, 2)
    with pytest.raises(TowersError):
        numeric_encoder("log", 1, 0)
    with pytest.raises(TowersError, match=r"\(rows, 2\)"):
        numeric_encoder("log", 2, 2).fit(torch.zeros(3, 1))


def test_without_its_package_periodic_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rtdl_num_embeddings", None)
    with pytest.raises(TowersError, match="pip install"):
        numeric_encoder("periodic", 1, 2)
