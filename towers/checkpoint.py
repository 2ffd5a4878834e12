"""A checkpoint: a folder with weights.safetensors, config.json, and DONE, written last.

`save` writes beside the target and moves the finished folder into place, so a reader sees the old checkpoint, the new
one, or none. `load` refuses a folder without DONE, weights or settings other than those DONE was written for, and
features that would look up other rows. Nothing is unpickled.

DONE holds the version: sha256 over the bytes of config.json and weights.safetensors.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialized

from towers.config import TowersConfig, TowersError
from towers.folders import replaced
from towers.model import ThreeTowers

WEIGHTS = "weights.safetensors"
CONFIG = "config.json"
MARKER = "DONE"


class CheckpointRefused(TowersError):
    """The folder holds no whole checkpoint, or one made for other features. The remedy is to train again."""


@dataclass(frozen=True)
class Checkpoint:
    model: ThreeTowers  # in evaluation mode
    config: TowersConfig
    metrics: Mapping[str, Any]
    items_hash: str  # of the catalogue's ids at training; an item that came later still gets a vector
    version: str  # "sha256:..."


def ids_hash(ids: Sequence[str]) -> str:
    """sha256 of ids in their order."""
    digest = hashlib.sha256()
    for value in ids:
        data = value.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return "sha256:" + digest.hexdigest()


def save(folder: Path, model: ThreeTowers, *, metrics: Mapping[str, Any], item_ids: Sequence[str]) -> str:
    """Write a checkpoint, in place of the one that is there, and give its version. Metrics are plain JSON values."""
    with replaced(folder) as fresh:
        # Written by us, so that a full disk is an OSError with its number, as it is for the other files.
        (fresh / WEIGHTS).write_bytes(
            serialized({name: value.contiguous() for name, value in model.state_dict().items()})
        )
        settings = {
            "config": model.config.to_json(),
            "feature_hash": model.config.feature_hash(),
            "items_hash": ids_hash(item_ids),
            "items": len(item_ids),
            "metrics": dict(metrics),
        }
        (fresh / CONFIG).write_text(json.dumps(settings, indent=2, sort_keys=True, allow_nan=False) + "\n", "utf-8")
        version = _version(fresh)
        (fresh / MARKER).write_text(version + "\n", "utf-8")
    return version


def version_of(folder: Path) -> str | None:
    """The version that DONE names, without reading the weights; None if the folder holds no whole checkpoint."""
    try:
        return (folder / MARKER).read_text("utf-8").strip()
    except FileNotFoundError:
        return None


def load(folder: Path, *, expected: TowersConfig | None = None) -> Checkpoint:
    """Read a checkpoint, whole or not at all.

    `expected`: the settings whose features the caller will feed; their feature hash must be the checkpoint's.

    Raises:
        CheckpointRefused: no checkpoint, half of one, changed bytes, or other features.
    """
    marked = version_of(folder)
    if marked is None:
        raise CheckpointRefused(f"{folder} holds no finished checkpoint ({MARKER} is missing): train the towers first")
    try:
        version = _version(folder)
        if version != marked:
            raise CheckpointRefused(f"{folder} is not what was saved: {version} instead of {marked}; train again")
        settings = json.loads((folder / CONFIG).read_text("utf-8"))
        config = TowersConfig.from_json(settings["config"])
        if settings["feature_hash"] != config.feature_hash():
            raise CheckpointRefused(f"{folder} was made by another version of the towers' features; train again")
        if expected is not None and expected.feature_hash() != config.feature_hash():
            raise CheckpointRefused(
                f"{folder} was trained for other features (behaviours {', '.join(config.inputs.behaviours)}; vectors "
                f"of width {config.inputs.vector_dim}) than the settings ask for; train again"
            )
        model = ThreeTowers(config)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointRefused(f"{folder} can't be read ({error}); train again") from error
    model.eval()
    return Checkpoint(model, config, settings["metrics"], settings["items_hash"], version)


def _version(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return "sha256:" + digest.hexdigest()
