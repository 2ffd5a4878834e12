"""Training on a tiny model of random weights: what it learns, what it leaves on disk, and how it goes on."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_llama import tiny_base, tiny_llama

from recgpt.errors import DataError
from recgpt.tuning import adapter, dpo, sft
from recgpt.tuning.base import Source, load
from recgpt.tuning.dataset import Dataset, Row
from recgpt.tuning.lora import MARKER, Plan, last_checkpoint
from recgpt.tuning.settings import Dpo, Lora, Method

__all__ = ["tiny_base", "tiny_llama"]

SHORT = Method(epochs=3, learning_rate=2e-2, batch_size=4, micro_batch=2, checkpoint_steps=2)


def row(number: int, **answers: str) -> Row:
    return Row(({"role": "user", "content": f"Interest: number {number}"},), {"number": number}, **answers)


def sft_data(rows: int = 12) -> Dataset:
    listed = [row(number, completion='{"tags": ["warm socks"]}') for number in range(rows + 3)]
    return Dataset(tuple(listed[:rows]), tuple(listed[rows:]))


def dpo_data(rows: int = 12) -> Dataset:
    listed = [
        row(number, chosen='{"tags": ["warm socks"]}', rejected='{"tags": ["zzz"]}') for number in range(rows + 3)
    ]
    return Dataset(tuple(listed[:rows]), tuple(listed[rows:]))


def plan(folder: Path, method: Method = SHORT, **changes: Any) -> Plan:
    return replace(Plan(method, Lora(rank=4, alpha=8, dropout=0.1), 3, 512, folder), **changes)


def test_sft_learns_the_answers_and_keeps_an_adapter_that_gives_them_back(tiny_base: Any, tmp_path: Path) -> None:
    trained = sft.train(tiny_base, sft_data(), plan(tmp_path / "run"))
    held = trained.figures["held_out"]["loss"]
    assert held["after"] < held["before"] - 1.0
    assert trained.figures["steps"] == 9

    stored = adapter.save(tmp_path / "adapter", trained.model, "tiny@r1", {"figures": trained.figures})
    assert adapter.read(tmp_path / "adapter") == stored
    assert {path.suffix for path in (tmp_path / "adapter").iterdir()} == {".json", ".safetensors", ""}
    ids = tiny_base.tokenizer("Interest", return_tensors="pt").input_ids
    with torch.no_grad():
        expected = trained.model.eval()(ids).logits
        with trained.model.disable_adapter():
            untrained = trained.model(ids).logits
    assert not torch.allclose(expected, untrained, atol=1e-2)


def test_a_stored_adapter_on_fresh_weights_computes_what_was_trained(
    tiny_base: Any, tiny_llama: Path, tmp_path: Path
) -> None:
    fresh = load(tiny_base.source)
    trained = sft.train(tiny_base, sft_data(), plan(tmp_path / "run"))
    stored = adapter.save(tmp_path / "adapter", trained.model, "tiny@r1", {})
    ids = fresh.tokenizer("Interest: number 3", return_tensors="pt").input_ids
    with torch.no_grad():
        again = adapter.attach(fresh, stored).eval()(ids).logits
        assert torch.allclose(again, trained.model.eval()(ids).logits, atol=1e-5)


def test_dpo_makes_the_better_answer_likelier_than_the_worse(tiny_base: Any, tmp_path: Path) -> None:
    method = Dpo(epochs=4, learning_rate=5e-3, batch_size=4, micro_batch=2, beta=0.5)
    trained = dpo.train(tiny_base, dpo_data(), plan(tmp_path / "run", method))
    held = trained.figures["held_out"]
    assert held["rewards/margins"]["before"] == pytest.approx(0.0, abs=1e-5)
    assert held["rewards/margins"]["after"] > 0.5
    assert held["rewards/accuracies"]["after"] == 1.0


def test_dpo_goes_on_from_an_adapter_and_is_measured_against_it(tiny_base: Any, tmp_path: Path) -> None:
    fresh = load(tiny_base.source)
    parent = adapter.save(
        tmp_path / "parent", sft.train(tiny_base, sft_data(), plan(tmp_path / "sft")).model, "tiny@r1", {}
    )
    method = Dpo(epochs=2, learning_rate=5e-3, batch_size=4, micro_batch=2, beta=0.5)
    trained = dpo.train(fresh, dpo_data(), plan(tmp_path / "dpo", method, parent=parent))
    held = trained.figures["held_out"]["rewards/margins"]
    assert held["before"] == pytest.approx(0.0, abs=1e-4)  # the reference is the parent, not the base
    assert held["after"] > 0.1
    stored = adapter.save(tmp_path / "child", trained.model, "tiny@r1", {})
    config = json.loads((stored.folder / adapter.CONFIG).read_text())
    assert (config["r"], config["base_model_name_or_path"]) == (4, "tiny@r1")


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(tiny_llama: Path, tmp_path: Path) -> None:
    versions = [version(tiny_llama, tmp_path / str(number), "sft", seed) for number, seed in enumerate((3, 3, 4))]
    assert versions[0] == versions[1] != versions[2]


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_a_training_killed_and_gone_on_with_ends_with_the_same_bytes(
    kind: str, tiny_llama: Path, tmp_path: Path
) -> None:
    whole = version(tiny_llama, tmp_path / "whole", kind)
    process = subprocess.Popen([sys.executable, "-c", script(tiny_llama, tmp_path / "cut", kind)])
    deadline = time.monotonic() + 280
    while not list((tmp_path / "cut").glob(f"run/checkpoint-*/{MARKER}")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    run = tmp_path / "cut" / "run"
    assert last_checkpoint(run) is not None
    (run / "checkpoint-99").mkdir()  # as if it had been killed while the next one was being written
    assert version(tiny_llama, tmp_path / "cut", kind) == whole
    assert not (run / "checkpoint-99").exists()


def test_nobody_is_asked_and_nobody_is_told(tiny_base: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("training opened a connection")

    monkeypatch.delenv("CI", raising=False)  # TRL's telemetry is off where it is set
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    sft.train(tiny_base, sft_data(4), plan(tmp_path / "run", Method(epochs=1, batch_size=2, checkpoint_steps=1)))
    assert "HF_HUB_OFFLINE" not in os.environ  # it is for the training alone


def test_what_makes_code_run_in_a_checkpoint_is_not_read(tiny_base: Any, tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    fresh = load(tiny_base.source)
    method = Method(epochs=2, batch_size=4, micro_batch=4, checkpoint_steps=2)
    sft.train(tiny_base, sft_data(), plan(tmp_path / "run", method))
    newest = last_checkpoint(tmp_path / "run")
    assert newest is not None
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        torch.save({"x": Evil()}, newest / name)
    with pytest.raises(pickle.UnpicklingError):
        sft.train(fresh, sft_data(), plan(tmp_path / "run", method))
    assert not (tmp_path / "ran").exists()


def test_an_example_that_does_not_fit_is_left_out_and_not_cut(tiny_base: Any, tmp_path: Path) -> None:
    data = sft_data(4)
    long = row(99, completion="x" * 400)
    mixed = Dataset((*data.train, long), data.held_out)
    method = Method(epochs=1, batch_size=4, micro_batch=4)
    figures = sft.train(tiny_base, mixed, plan(tmp_path / "run", method, max_tokens=200)).figures
    assert (figures["examples"], figures["too_long"]) == (4, 1)
    with pytest.raises(DataError, match=r"tuning\.max_tokens"):
        sft.train(tiny_base, Dataset((long,), ()), plan(tmp_path / "other", method, max_tokens=200))


def test_an_adapter_that_was_changed_or_cut_short_is_refused(tiny_base: Any, tmp_path: Path) -> None:
    trained = sft.train(tiny_base, sft_data(4), plan(tmp_path / "run", Method(epochs=1, batch_size=4)))
    stored = adapter.save(tmp_path / "adapter", trained.model, "tiny@r1", {"figures": 1})
    file = stored.folder / adapter.FACTS
    file.write_text(file.read_text().replace('"figures": 1', '"figures": 2'))
    with pytest.raises(DataError, match="not what was saved"):
        adapter.read(stored.folder)
    (stored.folder / adapter.MARKER).unlink()
    with pytest.raises(DataError, match="no whole adapter"):
        adapter.read(stored.folder)


def version(base: Path, folder: Path, kind: str, seed: int = 3, wait: float = 0.0) -> str:
    """The version of the adapter that a training in this folder ends with."""
    method = SHORT if kind == "sft" else Dpo(**SHORT.model_dump())
    slow = plan(folder / "run", method, seed=seed, progress=lambda _: time.sleep(wait))
    learnt = load(Source("tiny@r1", base))
    trained = sft.train(learnt, sft_data(), slow) if kind == "sft" else dpo.train(learnt, dpo_data(), slow)
    return adapter.save(folder / "adapter", trained.model, "tiny@r1", dict(trained.figures)).version


def script(base: Path, folder: Path, kind: str) -> str:
    """The same as a program of its own, slow enough to be killed between two checkpoints."""
    paths = [str(Path(__file__).parents[1] / "support"), str(Path(__file__).parent)]
    return textwrap.dedent(f"""
        import sys
        sys.path[:0] = {paths!r}
        from pathlib import Path
        import test_lora
        test_lora.version(Path({str(base)!r}), Path({str(folder)!r}), {kind!r}, wait=0.5)
    """)
