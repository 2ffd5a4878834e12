import hashlib
import os

import pytest
import torch

from towers.training import state

TENSORS = {"a/x": torch.arange(3.0), "a/y/z": torch.tensor(2), "b/x": torch.zeros(0, 2)}


def test_what_is_written_is_read_by_that_training_alone(tmp_path):
    path = tmp_path / "night" / "work" / "fit.safetensors"
    assert state.read(path, "one") is None
    state.write(path, "one", TENSORS, {"steps": 3, "list": [None, 0.5]})
    found = state.read(path, "one")
    assert found.facts == {"steps": 3, "list": [None, 0.5]}
    assert found.part("a").keys() == {"x", "y/z"}
    for name, value in TENSORS.items():
        assert torch.equal(found.tensors[name], value)
    assert state.read(path, "another") is None
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_half_a_state_is_none(tmp_path):
    path = tmp_path / "fit.safetensors"
    state.write(path, "one", TENSORS, {})
    path.write_bytes(path.read_bytes()[:-4])
    assert state.read(path, "one") is None
    path.write_bytes(b"")
    assert state.read(path, "one") is None


def test_all_bytes_are_with_the_system_before_they_are_synced(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(state.os, "fsync", lambda number: seen.append(os.fstat(number).st_size))
    state.write(tmp_path / "s", "one", TENSORS, {})
    assert seen == [(tmp_path / "s").stat().st_size]


def test_a_state_that_could_not_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "fit.safetensors"
    state.write(path, "one", TENSORS, {"steps": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        state.write(path, "one", TENSORS, {"steps": 2})
    assert state.read(path, "one").facts == {"steps": 1}
    # What is half written has a name of its own, so that two states of one folder don't take each other's.
    assert sorted(one.name for one in tmp_path.iterdir()) == ["fit.safetensors", "fit.safetensors.new"]


def test_a_fingerprint_moves_with_every_number_and_setting():
    prints = [
        state.fingerprint({"a": 1}, [torch.zeros(2), torch.ones(1)]),
        state.fingerprint({"a": 2}, [torch.zeros(2), torch.ones(1)]),
        state.fingerprint({"a": 1}, [torch.tensor([0.0, 1.0]), torch.ones(1)]),
        state.fingerprint({"a": 1}, [torch.zeros(2, 1), torch.ones(1)]),
        state.fingerprint({"a": 1}, [torch.zeros(2, dtype=torch.int32), torch.ones(1)]),
        state.fingerprint({"a": 1}, [torch.zeros(2)]),
    ]
    assert len(set(prints)) == 6
    assert prints[0] == state.fingerprint({"a": 1}, [torch.zeros(2), torch.ones(1)])
    assert state.fingerprint({"a": 1, "b": 2}, []) == state.fingerprint({"b": 2, "a": 1}, [])
    content = b'{"a": 1}' + b"torch.float32 (1,)" + b"\0\0\x80?"
    assert state.fingerprint({"a": 1}, [torch.ones(1)]) == "sha256:" + hashlib.sha256(content).hexdigest()


def test_an_optimiser_goes_on_where_it_was(tmp_path):
    def steps(weight, optimiser, count):
        for n in range(count):
            optimiser.zero_grad()
            ((weight - n) ** 2).sum().backward()
            optimiser.step()

    whole = torch.nn.Parameter(torch.ones(3))
    steps(whole, torch.optim.AdamW([whole], lr=0.1), 2)
    half = torch.nn.Parameter(torch.ones(3))
    first = torch.optim.AdamW([half], lr=0.1)
    steps(half, first, 1)
    tensors, facts = state.of_optimiser(first)
    state.write(tmp_path / "s", "one", {f"o/{name}": value for name, value in tensors.items()}, facts)
    found = state.read(tmp_path / "s", "one")
    second = torch.optim.AdamW([half], lr=0.7)
    state.into_optimiser(second, found.part("o"), found.facts)
    assert second.param_groups[0]["lr"] == 0.1
    second.zero_grad()
    ((half - 1) ** 2).sum().backward()
    second.step()
    assert torch.equal(half, whole)
