"""An adapter merged into GGUF is the adapter: transformers with PEFT and the embedded engine say the same."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from recgpt.engine import embedded
from recgpt.engine.embedded import Weights
from recgpt.errors import ConfigError, DataError, EngineError
from recgpt.tuning import adapter, merge, sft
from recgpt.tuning.base import Base, Source, load
from recgpt.tuning.dataset import Dataset, Row
from recgpt.tuning.lora import Plan
from recgpt.tuning.settings import Lora, Method

pytest.importorskip("peft", reason="needs the extra 'tune'")
try:
    embedded.packaged()
except EngineError as missing:
    pytest.skip(str(missing), allow_module_level=True)

TEXTS = ("Interest: trail running", "Interest: baking sourdough bread", "Interest: growing tomatoes on a balcony")
Said = tuple[str, dict[str, float]]  # what is said, and the logarithms of the likeliest first tokens' probabilities


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "You name two kinds of products."}, {"role": "user", "content": text}]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """The engine's own, by way of a folder where merged ones may lie."""
    own = embedded.prepare()
    folder = tmp_path_factory.mktemp("cache")
    (folder / "q8_0.gguf").symlink_to(own.gguf)
    return Weights(folder / "q8_0.gguf", own.tokenizer, own.revision)


@pytest.fixture(scope="module")
def source() -> Source:
    file = embedded.packaged()
    return Source(f"{embedded.MODEL}@{embedded.prepare().revision}", file.parent, file.name)


@pytest.fixture(scope="module")
def base(source: Source) -> Base:
    """Whoever wraps its model in an adapter takes it out again."""
    return load(source)


def by_engine(weights: Weights, folder: Path) -> list[Said]:
    async def work() -> list[Said]:
        async with (
            embedded.start(weights, threads=2, log=folder / "engine.log") as running,
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {running.key}"}) as session,
        ):
            said = []
            for text in TEXTS:
                body = {"model": embedded.MODEL, "messages": asked(text), "temperature": 0.0, "max_tokens": 16}
                body |= {"logprobs": True, "top_logprobs": 10}
                async with session.post(f"{running.base_url}/chat/completions", json=body) as response:
                    choice = (await response.json())["choices"][0]
                first = choice["logprobs"]["content"][0]["top_logprobs"]
                said.append((choice["message"]["content"], {one["token"]: one["logprob"] for one in first}))
            return said

    return asyncio.run(work())


def by_transformers(base: Base, model: Any) -> list[Said]:
    import torch

    said = []
    for text in TEXTS:
        ids = base.tokenizer.apply_chat_template(
            asked(text), add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            written = model.generate(**ids, max_new_tokens=16, do_sample=False)[0, ids["input_ids"].shape[1] :]
            first = torch.log_softmax(model(**ids).logits[0, -1], -1)
        top = first.topk(30)
        words = {base.tokenizer.decode([token]): float(p) for token, p in zip(top.indices, top.values, strict=True)}
        said.append((base.tokenizer.decode(written, skip_special_tokens=True), words))
    return said


def apart(one: list[Said], other: list[Said]) -> float:
    """The mean difference of the logarithms of P, over likely tokens that both name."""
    gaps = [
        abs(p - there[word]) for (_, here), (_, there) in zip(one, other, strict=True) for word, p in here.items()
        if word in there
    ]  # fmt: skip
    assert len(gaps) >= 10
    return sum(gaps) / len(gaps)


def test_each_matrix_of_a_random_adapter_is_merged_where_it_belongs(
    weights: Weights, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(base.model, settings)
    torch.manual_seed(5)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            value.data.normal_(0.0, 0.4 if "q_proj" in name or "k_proj" in name else 0.05)
    stored = adapter.save(tmp_path / "adapter", model, base.source.name, {})
    model.eval()

    made = merge.merged(weights, stored.folder)
    assert made.revision == f"{weights.revision}+{stored.version}"
    right = by_engine(made, tmp_path)
    expected = by_transformers(base, model)
    with model.disable_adapter():
        untrained = by_transformers(base, model)
    model.unload()
    assert apart(right, expected) < 0.15
    assert apart(right, untrained) > 3 * apart(right, expected)

    monkeypatch.setattr(merge, "permuted", lambda matrix, heads: matrix)
    merge.to_gguf(embedded.packaged(), stored.folder, tmp_path / "wrong.gguf")
    wrong = by_engine(Weights(tmp_path / "wrong.gguf", weights.tokenizer, ""), tmp_path)
    assert apart(wrong, expected) > 2 * apart(right, expected)


def test_what_the_packaged_model_has_learnt_the_engine_says(weights: Weights, base: Base, tmp_path: Path) -> None:
    answer = '{"tags": ["waterproof wool socks", "folding steel lantern"]}'
    rows = tuple(Row(tuple(asked(f"Interest: {name}")), {}, completion=answer) for name in ("chess", "sailing"))
    method = Method(epochs=16, learning_rate=4e-3, batch_size=2, micro_batch=2)
    trained = sft.train(base, Dataset(rows, ()), Plan(method, Lora(rank=4, alpha=8, dropout=0.0), 0, 200, tmp_path))
    stored = adapter.save(tmp_path / "adapter", trained.model, base.source.name, {"figures": dict(trained.figures)})
    trained.model.eval()

    expected = by_transformers(base, trained.model)
    trained.model.unload()
    made = merge.merged(weights, stored.folder)
    moment = made.gguf.stat().st_mtime_ns
    said = by_engine(made, tmp_path)
    assert [text for text, _ in said] == [text for text, _ in expected]
    assert apart(said, expected) < 0.3
    assert any("wool" in text for text, _ in said)
    assert merge.merged(weights, stored.folder) == made
    assert made.gguf.stat().st_mtime_ns == moment  # it was there


def test_the_halves_of_a_head_are_interleaved() -> None:
    matrix = np.arange(8, dtype=np.float32)[:, None]  # two heads of four rows: a0 a1 b0 b1
    assert merge.permuted(matrix, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def change(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda settings: settings.update({name: value})


@pytest.mark.parametrize("edit", [change("use_dora", True), change("bias", "all"), change("rank_pattern", {"q": 2})])
def test_more_than_plain_lora_is_refused(edit: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "bias": "none", "use_dora": False, "rank_pattern": {}}
    edit(settings)
    (tmp_path / adapter.CONFIG).write_text(json.dumps(settings))
    with pytest.raises(DataError, match="not plain LoRA"):
        merge.changes(tmp_path)


def test_an_adapter_of_another_base_is_refused(weights: Weights, tmp_path: Path) -> None:
    for name in (adapter.WEIGHTS, adapter.CONFIG):
        (tmp_path / name).write_text("{}")
    (tmp_path / adapter.FACTS).write_text('{"base": "other@1"}')
    (tmp_path / adapter.MARKER).write_text(adapter._version(tmp_path))
    with pytest.raises(DataError, match="trained on other@1"):
        merge.merged(weights, tmp_path)


def test_a_missing_library_names_the_extra(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recgpt.tuning.base.LIBRARIES", ("torch", "no_such_library"))
    with pytest.raises(ConfigError, match=r"no_such_library: pip install 'recgpt\[tune\]'"):
        load(source)
