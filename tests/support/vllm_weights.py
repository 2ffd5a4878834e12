"""The packaged model as vLLM wants it: a folder with safetensors, config, tokenizer and chat template.

    .venv-vllm/bin/python tests/support/vllm_weights.py MODEL.gguf FOLDER

Runs in vLLM's own environment, so that what is written suits the transformers that will read it.
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def main(source: Path, folder: Path) -> None:
    where = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
    plain = GgufConfig(gguf_file=source.name, dequantize=True)  # quantised weights can't be saved again
    model = AutoModelForCausalLM.from_pretrained(**where, quantization_config=plain, dtype=torch.float32)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**where).save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
