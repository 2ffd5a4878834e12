"""Out of a GGUF file: the same model with 8-bit weights, an adapter in them if there is one, and its tokenizer.

Only for the packaged model's family (Llama architecture, byte-level BPE that splits digits). Needs the gguf package.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType, quants
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

CONTROL = 3  # llama.cpp's LLAMA_TOKEN_TYPE_CONTROL


def write_q8_0(
    source: GGUFReader, target: Path, added: Mapping[str, npt.NDArray[np.float32]] = MappingProxyType({})
) -> None:
    """Every quantised tensor of `source` as Q8_0, which loses nothing that the source still had; the rest as it is.

    Args:
        added: by a quantised tensor's name, what to add to it before. The source must not be Q8_0 itself then: numbers
            that lie on its grid fall back to where they were when little is added to them.
    """
    architecture = source.fields["general.architecture"].contents()
    writer = GGUFWriter(target, architecture)
    for name, field in source.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue  # the writer puts its own
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        value = int(LlamaFileType.MOSTLY_Q8_0) if name == "general.file_type" else field.contents()
        writer.add_key_value(name, value, kind, sub_type=inner)
    for tensor in source.tensors:
        if tensor.tensor_type == GGMLQuantizationType.F32:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        full = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32) + added.get(tensor.name, 0.0)
        small = quants.quantize(full, GGMLQuantizationType.Q8_0)
        writer.add_tensor(tensor.name, small, raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_tokenizer(source: GGUFReader, target: Path) -> None:
    fields = source.fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    kinds = fields["tokenizer.ggml.token_type"].contents()
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [AddedToken(token, special=True) for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens(control)
    tokenizer.save(str(target))
