"""An adapter merged into the packaged model's weights, so that the embedded engine can serve it.

The engine reads GGUF. llama.cpp stores the rows of a head of query and key matrices in another order than transformers
(rotary positions are applied to neighbours there, to halves here), so what an adapter adds to those two is put into
that order first. The sum is written as Q8_0, made of the package's own 4-bit weights: so it is as near to what was
trained as the engine's base is to the package. (Added to weights that are Q8_0 already, a small change would vanish:
each of those numbers falls back to where it was.)

Merged weights lie in the engine's cache, found again by the base and by the adapter's version.
"""

import fcntl
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recgpt.engine import embedded
from recgpt.engine.embedded import Weights
from recgpt.errors import DataError, EngineError
from recgpt.tuning import adapter

NAMES: Final = {  # a layer's matrices, as transformers and as GGUF call them
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
HEADS: Final = {"attn_q": "attention.head_count", "attn_k": "attention.head_count_kv"}
BEYOND: Final = ("bias", "use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save")
_PREFIX, _A, _B = "base_model.model.model.layers.", ".lora_A.weight", ".lora_B.weight"
Array = npt.NDArray[np.float32]


def merged(base: Weights, folder: Path) -> Weights:
    """The embedded engine's weights with the adapter of a folder in them, made if they were not before.

    Raises:
        DataError: no whole adapter there, or one of another base or of other layers than the engine has.
        EngineError: the cache can't be written.
    """
    stored = adapter.read(folder)
    expected = f"{embedded.MODEL}@{base.revision}"
    if stored.base != expected:
        raise DataError(f"the adapter in {folder} was trained on {stored.base}, and the engine has {expected}")
    target = base.gguf.with_name(f"adapter-{stored.version.removeprefix('sha256:')[:16]}.gguf")
    try:
        with (target.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two that start at once merge once
            if not target.exists():
                part = target.with_suffix(".part")
                to_gguf(embedded.packaged(), folder, part)
                part.replace(target)
    except OSError as error:
        raise EngineError(
            f"the engine's cache {target.parent} can't be written ({error.strerror}): make room or rights there, or "
            "name another folder in RECGPT_CACHE"
        ) from None
    return Weights(target, base.tokenizer, f"{base.revision}+{stored.version}")


def to_gguf(source: Path, folder: Path, target: Path) -> None:
    """Write the GGUF model `source`, as it came and not yet as Q8_0, with the adapter of `folder` merged into it.

    Raises:
        DataError: the adapter changes something that such a model does not have.
    """
    from gguf import GGUFReader  # noqa: PLC0415 (takes a second)

    from recgpt.engine.convert import write_q8_0  # noqa: PLC0415 (likewise)

    added = changes(folder)
    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    heads = {kind: int(reader.fields[f"{architecture}.{name}"].contents()) for kind, name in HEADS.items()}
    shapes = {tensor.name: tuple(reversed(tensor.shape.tolist())) for tensor in reader.tensors}
    for name, delta in added.items():
        if shapes.get(name) != delta.shape:
            raise DataError(f"the adapter in {folder} is for another model: {name} is {shapes.get(name, 'not in it')}")
        kind = name.split(".")[2]
        if kind in heads:
            added[name] = permuted(delta, heads[kind])
    write_q8_0(reader, target, added)


def changes(folder: Path) -> dict[str, Array]:
    """What an adapter adds to each matrix (out, in), by the matrix's name in GGUF.

    Raises:
        DataError: it is more than plain LoRA on the layers' matrices.
    """
    from safetensors.numpy import load_file  # noqa: PLC0415

    settings: dict[str, Any] = json.loads((folder / adapter.CONFIG).read_text("utf-8"))
    beyond = [name for name in BEYOND if settings.get(name, "none") not in (None, False, {}, [], "none")]
    if beyond:
        raise DataError(f"the adapter in {folder} is not plain LoRA ({', '.join(beyond)}): serve it with vLLM")
    scale = settings["lora_alpha"] / settings["r"]
    tensors = load_file(folder / adapter.WEIGHTS)
    added = {}
    for name in sorted(tensors):
        if not name.endswith(_A):
            continue
        number, _, layer = name.removeprefix(_PREFIX).removesuffix(_A).partition(".")
        if not name.startswith(_PREFIX) or layer not in NAMES:
            raise DataError(f"the adapter in {folder} changes {name}, which is no matrix of a Llama layer")
        a, b = tensors[name], tensors[name.removesuffix(_A) + _B]  # (rank, in), (out, rank)
        added[f"blk.{number}.{NAMES[layer]}.weight"] = (scale * (b @ a)).astype(np.float32)
    return added


def permuted(matrix: Array, heads: int) -> Array:
    """The rows (out, in) of each head as llama.cpp orders them: the halves of a head interleaved."""
    rows, columns = matrix.shape
    halves = matrix.reshape(heads, 2, rows // heads // 2, columns)  # (heads, half, row, in)
    return halves.swapaxes(1, 2).reshape(rows, columns)
