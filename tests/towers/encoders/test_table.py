import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from towers.config import TowersError
from towers.encoders.table import UnifiedTable, keys, mix

IDS = ["a", "b", "", "never seen", "\ud800"]


def mixed(z):
    """SplitMix64's finaliser in Python's whole numbers, which have no sign to trouble them."""
    z %= 1 << 64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % (1 << 64)
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % (1 << 64)
    return z ^ (z >> 31)


def signed(z):
    return z - (1 << 64) if z >= 1 << 63 else z


def row(key, feature, j, rows):
    data = hashlib.blake2b(f"{feature}\n{j}".encode(), digest_size=8).digest()
    return signed(mixed(key ^ int.from_bytes(data, "little", signed=True))) % rows


def double(*args, **options):
    torch.manual_seed(0)
    table = UnifiedTable(*args, **options).double()
    if table.rare:
        torch.nn.init.normal_(table.default)
    return table


def test_keys_are_blake2_and_the_same_elsewhere():
    digest = hashlib.blake2b(b"B0001", digest_size=8).digest()
    assert keys(["B0001"]).tolist() == [int.from_bytes(digest, "little", signed=True)]
    code = "from towers.encoders.table import keys; print(keys(['a', 'b', '']).tolist())"
    outside = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert outside.strip() == str(keys(IDS[:3]).tolist())
    assert len(set(keys(IDS).tolist())) == len(IDS)
    assert keys([]).shape == (0,)


def test_mix_is_splitmix64():
    some = [0, 1, -1, 1 << 62, -(1 << 63), (1 << 63) - 1, 12345678901234567, *keys(IDS).tolist()]
    assert mix(torch.tensor(some)).tolist() == [signed(mixed(key)) for key in some]
    # The first output of Java's SplittableRandom(0) is the mix of its golden ratio step.
    assert mix(torch.tensor([0x9E3779B97F4A7C15 - (1 << 64)])).item() == signed(0xE220A8397B1DCDAF)


def test_an_id_is_the_parts_of_its_hashes_side_by_side():
    table = double(11, 6, ["item", "brand"], hashes=3)
    ids = torch.stack([keys(["a", "b"]), keys(["a", "never seen"])], dim=1)  # (2, 2)
    weight, found = table.weight.detach().numpy(), table(ids).detach().numpy()
    assert found.shape == (2, 2, 6)
    for n in range(2):
        for f, feature in enumerate(("item", "brand")):
            parts = [weight[row(ids[n, f].item(), feature, j, 11)] for j in range(3)]
            np.testing.assert_array_equal(found[n, f], np.concatenate(parts))


def test_one_hash_and_one_row_are_enough():
    assert UnifiedTable(8, 3, ["item"], hashes=1)(keys(["a"])[:, None]).shape == (1, 1, 3)
    table = UnifiedTable(1, 1, ["item"], hashes=1)
    assert table(keys(["a"])[:, None]).item() == table.weight.item()


def test_features_do_not_share_the_rows_of_an_id_and_their_place_does_not_matter():
    table = UnifiedTable(1 << 20, 8, ["item", "brand"])
    same = keys(["x"]).expand(1, 2)
    rows = table.rows_of(same)[0]
    assert len(set(rows.flatten().tolist())) == 4
    turned = UnifiedTable(1 << 20, 8, ["brand", "item"]).rows_of(same)[0]
    assert torch.equal(rows.flip(0), turned)


def test_a_part_of_the_features_is_looked_up_as_in_the_whole():
    table = double(97, 4, ["user", "item", "brand"], rare=2.0)
    ids = keys([f"id{n}" for n in range(12)]).view(4, 3)
    table.observe(ids[:2])
    whole, part = table(ids), slice(1, 3)
    assert torch.equal(table(ids[:, part], part=part), whole[:, part])
    assert torch.equal(table.counts(ids[:, part], part=part), table.counts(ids)[:, part])
    other = double(97, 4, ["user", "item", "brand"], rare=2.0)
    other.observe(ids[:2, part], part=part)
    other.observe(ids[:2, :1], part=slice(0, 1))
    assert torch.equal(other.seen, table.seen)


def test_ids_spread_over_all_rows_and_pairs_that_share_one_row_do_not_share_the_other():
    table = UnifiedTable(100, 2, ["item"])
    rows = table.rows_of(keys([f"user{n}" for n in range(20_000)])[:, None])[:, 0]  # (N, 2)
    for j in range(2):
        counts = torch.bincount(rows[:, j], minlength=100)  # 200 each, deviation 14
        assert counts.min() > 140
        assert counts.max() < 260
    both = torch.bincount(rows[:, 0] * 100 + rows[:, 1], minlength=10_000)  # 2 each, as Poisson's
    assert both.float().var().item() == pytest.approx(2.0, abs=0.15)
    # Raw small numbers as keys, which are far from random, spread as well.
    counts = torch.bincount(table.rows_of(torch.arange(20_000)[:, None]).flatten(), minlength=100)
    assert counts.min() > 300
    assert counts.max() < 500


def test_the_table_is_as_large_as_was_asked_whatever_is_looked_up():
    table = UnifiedTable(64, 8, ["item"], rare=1.0)
    sizes = {name: value.shape for name, value in table.state_dict().items()}
    assert sizes == {"weight": (64, 4), "default": (1, 8), "seen": (64,)}
    table.observe(torch.randint(-(1 << 62), 1 << 62, (10_000, 1)))
    assert {name: value.shape for name, value in table.state_dict().items()} == sizes


def test_a_rare_id_leans_on_its_features_default():
    table = double(50, 4, ["item", "brand"], rare=3.0)
    ids = torch.stack([keys(["a", "b"]), keys(["c", "d"])], dim=1)
    counts = torch.tensor([[0.0, 1.0], [9.0, float("inf")]])
    plain = double(50, 4, ["item", "brand"])
    plain.weight = table.weight
    own, default = plain(ids).detach().numpy(), table.default.detach().numpy()
    found = table(ids, counts).detach().numpy()
    np.testing.assert_allclose(found[0, 0], default[0], rtol=1e-6)
    np.testing.assert_allclose(found[0, 1], own[0, 1] / 4 + default[1] * 3 / 4, rtol=1e-6)
    np.testing.assert_allclose(found[1, 0], own[1, 0] * 3 / 4 + default[0] / 4, rtol=1e-6)
    np.testing.assert_array_equal(found[1, 1], own[1, 1])


def test_counts_are_observed_and_kept_in_the_checkpoint():
    table = double(1 << 16, 4, ["item"], rare=3.0)
    ids = keys(["often", "once", "never"])[:, None]
    table.observe(ids[[0, 0, 1, 0]])
    table.observe(ids[[0]])
    assert table.counts(ids).tolist() == [[4], [1], [0]]
    assert torch.equal(table(ids), table(ids, torch.tensor([[4.0], [1.0], [0.0]])))
    torch.testing.assert_close(table(ids)[2, 0], table.default[0])
    other = UnifiedTable(1 << 16, 4, ["item"], rare=3.0).double()
    other.load_state_dict(table.state_dict())
    assert torch.equal(other(ids), table(ids))


def test_counts_are_never_too_low_however_full_the_table():
    table = UnifiedTable(40, 4, ["item"], rare=1.0)
    ids = keys([f"id{n}" for n in range(60)])[:, None]
    true = torch.arange(60) % 7
    table.observe(ids.repeat_interleave(true, dim=0))
    assert (table.counts(ids)[:, 0] >= true).all()


def test_who_shares_one_row_of_two_was_not_seen():
    table = UnifiedTable(16, 4, ["item"], hashes=2, rare=1.0)
    table.observe(keys(["seen"])[:, None])
    others = keys([f"id{n}" for n in range(600)])[:, None]
    shared = torch.isin(table.rows_of(others)[:, 0], table.rows_of(keys(["seen"])[:, None]))  # (600, 2)
    assert len({tuple(row) for row in shared.tolist()}) == 4  # both, one of them, or neither
    assert torch.equal(table.counts(others)[:, 0] > 0, shared.all(1))


def test_without_rare_nothing_is_counted():
    table = UnifiedTable(8, 2, ["item"])
    table.observe(keys(["a"])[:, None])
    assert set(table.state_dict()) == {"weight"}


@pytest.mark.parametrize("sparse", [True, False])
def test_gradients_touch_the_looked_up_rows_only(sparse):
    table = double(50, 4, ["item"], sparse=sparse, rare=1.0)
    ids = keys(["a", "b", "a"])[:, None]
    table(ids, torch.tensor([[1.0], [1.0], [3.0]])).sum().backward()
    assert table.weight.grad.is_sparse == sparse
    grad = table.weight.grad.to_dense() if sparse else table.weight.grad
    expected = np.zeros((50, 2))
    for name, share in (("a", 1 / 2), ("b", 1 / 2), ("a", 3 / 4)):
        for j in range(2):
            expected[row(keys([name]).item(), "item", j, 50)] += share
    np.testing.assert_allclose(grad.numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(table.default.grad.numpy(), np.full((1, 4), 1 / 2 + 1 / 2 + 1 / 4), rtol=1e-6)


def test_rows_start_small_and_defaults_at_nothing():
    torch.manual_seed(0)
    table = UnifiedTable(20_000, 4, ["item"], rare=1.0)
    assert table.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not table.default.any()


def test_nobody_is_looked_up():
    table = UnifiedTable(8, 4, ["item", "brand"], rare=1.0)
    none = torch.zeros((0, 2), dtype=torch.int64)
    table.observe(none)
    assert table(none).shape == (0, 2, 4)


@pytest.mark.parametrize(
    ("rows", "dim", "features", "options"),
    [
        (0, 4, ["a"], {}),
        (8, 5, ["a"], {}),
        (8, 0, ["a"], {}),
        (8, 4, [], {}),
        (8, 4, ["a", "a"], {}),
        (8, 4, ["a"], {"hashes": 0}),
        (8, 4, ["a"], {"rare": -1.0}),
    ],
)
def test_impossible_tables_are_refused(rows, dim, features, options):
    with pytest.raises(TowersError):
        UnifiedTable(rows, dim, features, **options)
