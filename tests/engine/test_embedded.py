"""The packaged model, really run: schema, probabilities, its tokenizer, its limits, and its end with its parent."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Engine as Store
from tokenizers import Tokenizer

from judges import load_criteria
from recgpt.config import Config
from recgpt.engine import embedded
from recgpt.engine.asking import LanguageModel
from recgpt.engine.open import open_engine
from recgpt.engine.requests import Reply
from recgpt.engine.tokens import token_counter
from recgpt.errors import EngineError
from recgpt.labels.judging import UNFITTED, Asked, Judge
from recgpt.labels.targets import Target
from recgpt.settings import Engine, Seat
from recgpt.words import Outcome, Task

try:
    embedded.packaged()
except EngineError as missing:
    pytest.skip(str(missing), allow_module_level=True)

TEXTS = [
    "waterproof trail shoes, 1 299.50 EUR\n- size 42",
    "Café 茶 <b>&amp;</b>  two  spaces",
    "don't WE'LL ünïcode 🙂",
]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(folder=tmp_path, engine=Engine(kind="embedded", timeout_s=250))


async def tokenize(model: LanguageModel, text: str) -> int:
    """By the running model itself."""
    key = model.chat.api_key
    assert key is not None
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"}
    url = model.chat.base_url.removesuffix("/v1") + "/tokenize"
    async with aiohttp.ClientSession() as session, session.post(url, json={"content": text}, headers=headers) as said:
        return len((await said.json())["tokens"])


def test_the_packaged_model_answers_by_schema_with_probabilities_and_within_its_context(
    config: Config, store: Store, prompt: Any
) -> None:
    schema = {
        "type": "object",
        "properties": {"yes_or_no": {"type": "string", "enum": ["yes", "no"]}},
        "required": ["yes_or_no"],
        "additionalProperties": False,
    }
    judge = replace(prompt, schema=schema)

    async def work() -> tuple[Reply, Reply, Reply, list[int]]:
        async with open_engine(config, store) as model:
            assert model.in_flight == embedded.IN_FLIGHT
            fits = model.request(judge, {"text": "Is tea a drink?"}, top_logprobs=5)
            too_long = model.request(judge, {"text": "tea " * embedded.CONTEXT})
            replies = await asyncio.gather(model.ask(fits), model.ask(too_long))
            counts = [await tokenize(model, text) for text in TEXTS]
            return replies[0], replies[1], await model.ask(fits), counts

    good, refused, again, counts = asyncio.run(work())
    assert good.outcome is Outcome.OK
    assert json.loads(good.content)["yes_or_no"] in ("yes", "no")
    assert good.logprobs is not None
    # The tokens are those that the model wrote; content may have lost a Markdown fence around them.
    assert good.content in "".join(token["token"] for token in good.logprobs)
    assert all(len(token["top_logprobs"]) == 5 for token in good.logprobs)
    assert good.tokens_in is not None
    assert good.tokens_out is not None
    assert again.replayed
    assert refused.outcome is Outcome.INVALID
    assert "context" in refused.reason
    count = token_counter(config)
    assert [count(text) for text in TEXTS] == counts
    assert (config.work_folder / "engine.log").stat().st_size > 0


@pytest.mark.parametrize("claim", ["wild bird seed", "Café 茶🙂 mug", 'the "big" one', "half \ufffd"])
def test_what_a_judge_has_it_say_is_said_in_the_words_own_tokens(config: Config, store: Store, claim: str) -> None:
    """Under a schema alone it says "wild" as w, il, d: the pieces it likes best, whose probabilities mean nothing."""
    criterion = load_criteria("tags", ["relevant"], form="said")[0]
    verbatim = criterion.verbatim(claim)
    assert verbatim is not None
    assert json.loads(verbatim) == {"answer": claim}

    async def work() -> Reply:
        async with open_engine(config, store) as model:
            target = {"given": "feeding birds", "claim": claim}
            schema = criterion.schema_for(**target)
            return await model.ask(model.request(criterion, target, schema=schema, top_logprobs=5, verbatim=verbatim))

    reply = asyncio.run(work())
    assert reply.outcome is Outcome.OK, reply.reason
    assert reply.content == verbatim
    assert reply.logprobs is not None
    own = Tokenizer.from_file(str(embedded.prepare().tokenizer)).encode(verbatim, add_special_tokens=False).ids
    if claim.isascii():  # a character of several tokens may be put together otherwise
        assert [entry["id"] for entry in reply.logprobs][: len(own)] == own
    said = criterion.read(reply.content, reply.logprobs, given="feeding birds", claim=claim)
    # Its own words for the place are offered beside the one it has to take: the numbers are those of a free model.
    assert any(entry["token"] != entry["top_logprobs"][0]["token"] for entry in reply.logprobs)
    assert said.p_yes is not None
    assert 0.0 < said.p_yes < 1.0


def test_a_judge_holds_the_packaged_model_to_the_claim_beside_what_is_given_and_beside_nothing(
    config: Config, store: Store
) -> None:
    criterion = load_criteria("tags", ["relevant"], form="said")[0]
    target = Target(Task.TAGS, 1, "tea", "glass teapot", interest="tea")

    async def asked() -> list[dict[str, Any]]:
        async with open_engine(config, store, contact=False) as model:
            judge = Judge(model, Seat(config.engine, "said", 1, 0.7))
            questions = judge.questions(target, [Asked(criterion, UNFITTED)])
            return [json.loads(attempt.body) for one in questions for attempt in one.attempts]

    bodies = asyncio.run(asked())
    assert [body["messages"][-1]["content"] for body in bodies] == ["tea", "something"]
    own = Tokenizer.from_file(str(embedded.prepare().tokenizer)).encode('{"answer": "glass teapot"}').ids
    for body in bodies:
        assert body["grammar"] == "root ::= " + " ".join(f"<[{token}]>" for token in own)
        assert "response_format" not in body


def test_the_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = f"""
import asyncio, pathlib
from recgpt.engine import embedded
async def main():
    log = pathlib.Path({str(tmp_path)!r}, "engine.log")
    async with embedded.start(embedded.prepare(), threads=1, log=log) as running:
        print(running.pid, flush=True)
        await asyncio.sleep(1000)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not alive(child))


def alive(pid: int) -> bool:
    try:
        # A process that ended and that nobody has waited for yet is a zombie, state Z.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(true: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


def test_a_child_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    weights = embedded.Weights(broken, tmp_path / "none", "r")

    async def work() -> None:
        async with embedded.start(weights, threads=1, log=tmp_path / "work" / "engine.log"):
            pass

    with pytest.raises(EngineError, match=r"did not start; the end of .*engine\.log: .*broken\.gguf"):
        asyncio.run(work())


def test_the_conversion_is_done_once_and_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECGPT_CACHE", str(tmp_path))
    written = []

    def write(source: Path, target: Path) -> None:
        assert not target.name.endswith((".gguf", ".json"))
        target.write_bytes(b"done")
        written.append(target.name)

    monkeypatch.setattr("recgpt.engine.convert.write_q8_0", write)
    monkeypatch.setattr("recgpt.engine.convert.write_tokenizer", write)
    first = embedded.prepare()
    assert embedded.prepare() == first
    assert len(written) == 2
    assert first.gguf.read_bytes() == first.tokenizer.read_bytes() == b"done"
    assert {file.name for file in first.gguf.parent.iterdir()} == {"q8_0.gguf", "tokenizer.json", "lock"}


def test_missing_packages_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package")
    with pytest.raises(EngineError, match=r"lacks no_such_package: pip install 'recgpt\[local\]' and pip install --no"):
        embedded.prepare()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RECGPT_CACHE", str(tmp_path / "file"))
    with pytest.raises(EngineError, match="RECGPT_CACHE"):
        embedded.prepare()
