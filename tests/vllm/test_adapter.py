"""A LoRA adapter loaded while serving: it answers under its own name, and its answers are never the base model's."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from vllm_server import NAME, VllmServer, weights

import prompts
from recgpt.engine.open import open_engine
from recgpt.engine.requests import Reply
from recgpt.errors import EngineError

RANK = 8
FREE = replace(prompts.load("interest_name"), schema={}, max_tokens=12)
MUGS = {"products": "- kitchen: stoneware mug\n- kitchen: glass teapot"}


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """Random changes of the attention's queries and values, large enough to be heard."""
    shape = json.loads((weights() / "config.json").read_text())
    width, keys = shape["hidden_size"], shape["head_dim"] * shape["num_key_value_heads"]
    random = np.random.default_rng(0)
    tensors = {}
    for layer in range(shape["num_hidden_layers"]):
        for module, out in (("q_proj", width), ("v_proj", keys)):
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            tensors[f"{name}.lora_A.weight"] = random.normal(size=(RANK, width)).astype(np.float32) * 0.1
            tensors[f"{name}.lora_B.weight"] = random.normal(size=(out, RANK)).astype(np.float32) * 0.1
    folder = tmp_path / "adapter"
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    described = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": NAME, "r": RANK,
        "lora_alpha": 2 * RANK, "target_modules": ["q_proj", "v_proj"], "bias": "none",
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(described))
    return folder


def test_loaded_while_serving(server: VllmServer, make_config: Any, store: Any, adapter: Path) -> None:
    async def ask(name: str) -> Reply:
        async with open_engine(make_config(model=name), store) as model:
            return await model.ask(model.request(FREE, MUGS))

    with pytest.raises(EngineError, match=f"does not serve 'shop-7', only '{NAME}'"):
        asyncio.run(ask("shop-7"))
    base = asyncio.run(ask(NAME))
    status, said = server.call("/v1/load_lora_adapter", lora_name="shop-7", lora_path=str(adapter))
    assert status == 200, said
    try:
        tuned = asyncio.run(ask("shop-7"))
        assert not tuned.replayed
        assert tuned.request.hash != base.request.hash
        assert tuned.content != base.content
        assert asyncio.run(ask("shop-7")).replayed
        assert asyncio.run(ask(NAME)).content == base.content
    finally:
        status, said = server.call("/v1/unload_lora_adapter", lora_name="shop-7")
    assert status == 200, said
    with pytest.raises(EngineError, match="does not serve 'shop-7'"):
        asyncio.run(ask("shop-7"))
