"""The state of a training in one file, so that a process that was killed goes on where its last epoch ended.

One safetensors file holds every tensor (weights, moments, averages) and, in its header, the rest as JSON;
nothing is pickled. It is written beside and moved into place, so there is a whole state or the one before it. A state
says which training it belongs to; any other training passes it over.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

SEPARATOR = "/"


@dataclass(frozen=True)
class State:
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]  # plain JSON values

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors named prefix/..., without it."""
        start = prefix + SEPARATOR
        return {name.removeprefix(start): value for name, value in self.tensors.items() if name.startswith(start)}


def write(path: Path, fingerprint: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"fingerprint": fingerprint, "facts": dict(facts)})
    data = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, {"state": header})
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def read(path: Path, fingerprint: str) -> State | None:
    """The state of that training; None if there is none, or it is another's, or it can't be read."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["state"])
            if header["fingerprint"] != fingerprint:
                return None
            return State({name: file.get_tensor(name) for name in file.keys()}, header["facts"])  # noqa: SIM118
    except (OSError, KeyError, TypeError, ValueError, SafetensorError):
        return None


def fingerprint(settings: Mapping[str, Any], tensors: Iterable[Tensor]) -> str:
    """sha256 over what a training is made of: its settings, and every number that it reads."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return "sha256:" + digest.hexdigest()


def of_optimiser(optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Its tensors, named number/name, and what else its state holds."""
    found = optimiser.state_dict()
    tensors = {
        f"{number}{SEPARATOR}{name}": value
        for number, values in found["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
    others = {
        str(number): {name: value for name, value in values.items() if not isinstance(value, Tensor)}
        for number, values in found["state"].items()
    }
    return tensors, {"groups": found["param_groups"], "others": others}


def into_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Puts back what `of_optimiser` took."""
    state: dict[int, dict[str, Any]] = {int(number): dict(values) for number, values in facts["others"].items()}
    for name, value in tensors.items():
        number, key = name.split(SEPARATOR)
        state[int(number)][key] = value
    optimiser.load_state_dict({"state": state, "param_groups": facts["groups"]})
