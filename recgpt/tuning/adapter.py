"""An adapter: a folder with the weights that training adds to a base model, and what is known of them.

    adapter_model.safetensors   LoRA's matrices, as PEFT and vLLM read them
    adapter_config.json         rank, scale and the layers they belong to, likewise
    recgpt.json                 the base, the parent, the data's hash, the settings, the held-out figures
    DONE                        written last: the version, sha256 over the three

It appears whole or not at all. `read` refuses a folder without DONE, and files that are not those DONE was written for.
Nothing is unpickled.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from recgpt.errors import DataError
from recgpt.tuning.base import Base
from towers.folders import replaced

WEIGHTS: Final = "adapter_model.safetensors"
CONFIG: Final = "adapter_config.json"
FACTS: Final = "recgpt.json"
MARKER: Final = "DONE"
KIND: Final = "adapter"  # of a row in model_versions


@dataclass(frozen=True)
class Stored:
    """A whole adapter on disk."""

    folder: Path
    version: str  # "sha256:..."
    facts: Mapping[str, Any]  # recgpt.json

    @property
    def base(self) -> str:
        return str(self.facts["base"])


def save(folder: Path, model: Any, base: str, facts: Mapping[str, Any]) -> Stored:
    """Write the trained matrices of a PEFT model, in place of what is there.

    Args:
        base: MODEL@REVISION that it was trained on.
        facts: plain JSON values.
    """
    from peft import get_peft_model_state_dict  # noqa: PLC0415 (only with the extra `tune`)
    from safetensors.torch import save as serialized  # noqa: PLC0415

    with replaced(folder) as fresh:
        found = get_peft_model_state_dict(model, adapter_name="default", save_embedding_layers=False)
        tensors = {name: found[name].detach().float().cpu().contiguous() for name in sorted(found)}
        (fresh / WEIGHTS).write_bytes(serialized(tensors, {"format": "pt"}))
        settings = model.peft_config["default"].to_dict()
        settings |= {"base_model_name_or_path": base, "inference_mode": True, "revision": None}
        (fresh / CONFIG).write_text(_json(settings), "utf-8")
        facts = {"base": base, **facts}
        (fresh / FACTS).write_text(_json(facts), "utf-8")
        version = _version(fresh)
        (fresh / MARKER).write_text(version + "\n", "utf-8")
    return Stored(folder, version, json.loads(_json(facts)))


def read(folder: Path) -> Stored:
    """What a folder holds, with its bytes checked.

    Raises:
        DataError: no adapter, half of one, or changed bytes.
    """
    try:
        marked = (folder / MARKER).read_text("utf-8").strip()
        version, facts = _version(folder), json.loads((folder / FACTS).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} holds no whole adapter ({error}): tune again") from None
    if version != marked:
        raise DataError(f"{folder} is not what was saved: {version} instead of {marked}; tune again")
    return Stored(folder, version, facts)


def attach(base: Base, stored: Stored, *, trainable: bool = False) -> Any:
    """The base model with an adapter on it, as a PEFT model.

    Raises:
        DataError: the adapter was trained on another base.
    """
    from peft import PeftModel  # noqa: PLC0415 (only with the extra `tune`)

    if stored.base != base.source.name:
        raise DataError(
            f"the adapter in {stored.folder} was trained on {stored.base}, and the engine serves {base.source.name}: "
            "tune again, with --parent base"
        )
    return PeftModel.from_pretrained(base.model, stored.folder, is_trainable=trainable, local_files_only=True)


def _json(value: Any) -> str:
    """Readable, and the same for the same settings: PEFT holds the layers' names as a set."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, (set, frozenset)) else str(value)


def _version(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (WEIGHTS, CONFIG, FACTS):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return "sha256:" + digest.hexdigest()
