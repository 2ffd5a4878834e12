"""One real vLLM server for all tests of this room, and a project that asks it. A token takes it some 50 ms."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from sqlalchemy import Engine as Store
from vllm_server import NAME, VllmServer, weights

from recgpt.config import Config, load
from recgpt.engine.asking import LanguageModel
from recgpt.engine.open import open_engine
from recgpt.engine.requests import Reply, Request
from recgpt.store.session import open_store

LAST_LINES = 30
RANK = 8  # of a random adapter


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    server = VllmServer.at(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def log(server: VllmServer) -> Iterator[None]:
    """The last that the server said in the meantime, beside a test that fails."""
    before = server.log.stat().st_size
    yield
    with server.log.open("rb") as file:
        file.seek(before)
        print(*file.read().decode("utf-8", "replace").splitlines()[-LAST_LINES:], sep="\n")


@pytest.fixture
def make_config(tmp_path: Path, server: VllmServer) -> Callable[..., Config]:
    def make(**engine: Any) -> Config:
        (tmp_path / "recgpt.toml").write_text(server.settings(in_flight=8, retries=1, **engine), encoding="utf-8")
        return load(tmp_path)

    return make


@pytest.fixture
def config(make_config: Callable[..., Config]) -> Config:
    return make_config()


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    store = open_store(config)
    yield store
    store.dispose()


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


Ask = Callable[[Callable[[LanguageModel], Sequence[Request]]], list[Reply]]


@pytest.fixture
def ask(config: Config, store: Store) -> Ask:
    """Resolve requests with the open model and ask them all at once."""

    def ask(build: Callable[[LanguageModel], Sequence[Request]]) -> list[Reply]:
        async def work() -> list[Reply]:
            async with open_engine(config, store) as model:
                return list(await asyncio.gather(*(model.ask(request) for request in build(model))))

        return asyncio.run(work())

    return ask
