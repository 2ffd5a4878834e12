"""A LoRA adapter loaded while serving: it answers under its own name, and its answers are never the base model's."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session
from vllm_server import NAME, VllmServer

import prompts
from recgpt.engine.open import open_engine
from recgpt.engine.requests import Reply
from recgpt.errors import EngineError
from recgpt.store.tables import ModelVersion, now
from recgpt.tuning.promote import promote, rollback

VERSION = "sha256:" + "7e" * 32
FREE = replace(prompts.load("interest_name"), schema={}, max_tokens=12)
MUGS = {"products": "- kitchen: stoneware mug\n- kitchen: glass teapot"}


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


def test_promoted_while_serving(server: VllmServer, make_config: Any, store: Any, adapter: Path) -> None:
    """The next command after `promote` loads the adapter into the server as it runs; `rollback` leaves it at once."""

    def ask() -> tuple[Reply, tuple[str, str]]:
        async def work() -> tuple[Reply, tuple[str, str]]:
            async with open_engine(make_config(), store) as model:
                return await model.ask(model.request(FREE, MUGS)), model.answering("interest_tags")

        return asyncio.run(work())

    with Session(store) as session:
        gate = {"promoted": True, "why": "all rises", "against": None, "untrusted": ""}
        session.add(
            ModelVersion(
                version=VERSION, kind="adapter", name="interests-7e7e", path=str(adapter), trained_until=now(),
                result={"task": "interests", "gate": gate},
            )
        )  # fmt: skip
        session.commit()
    process = server.process
    base, _ = ask()
    promote(store, VERSION)
    try:
        tuned, others = ask()
        assert (tuned.request.model, tuned.request.revision) == ("interests-7e7e", VERSION)
        assert not tuned.replayed  # another model is another request: nothing old is replayed
        assert tuned.request.hash != base.request.hash
        assert tuned.content != base.content
        assert others == (NAME, "1")  # it answers its own task and no other
        assert ask()[0].replayed
        rollback(store, "interests")
        back, _ = ask()
        assert (back.request.model, back.replayed, back.content) == (NAME, True, base.content)
        rollback(store, "interests")  # of the rollback
        again, _ = ask()
        assert (again.request.hash, again.replayed) == (tuned.request.hash, True)
    finally:
        status, said = server.call("/v1/unload_lora_adapter", lora_name="interests-7e7e")
    assert status == 200, said
    assert server.process is process
    assert process is not None
    assert process.poll() is None
