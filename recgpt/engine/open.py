"""Opening the engine that a config names: one function, both kinds, one code path behind it.

When the block is entered the model is known to answer to its name; when it is left, every answer received is on disk,
every connection closed, and the child ended. The key comes from the environment variable that the config names, and
from nowhere else.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr
from sqlalchemy import Engine as Store

from recgpt.config import Config
from recgpt.engine import embedded
from recgpt.engine.asking import LanguageModel, Served
from recgpt.engine.completion import PassingError, RefusedError
from recgpt.engine.ledger import Ledger
from recgpt.engine.tokens import verbatim
from recgpt.errors import ConfigError, EngineError
from recgpt.serving import Adapter, Serving, serving
from recgpt.settings import Engine as Settings

if TYPE_CHECKING:
    from recgpt.engine.chat import ServerChat

SERVER_REMEDY = "start it with 'recgpt engine serve' or check engine.base_url"


@contextlib.asynccontextmanager
async def open_engine(
    config: Config,
    store: Store,
    run_id: int | None = None,
    *,
    max_tokens: int | None = None,
    contact: bool = True,
    served: Serving | None = None,
) -> AsyncIterator[LanguageModel]:
    """The config's model with the adapters that serve, before it the ledger in `store`.

    Args:
        run_id: the row of `runs` that new answers are marked with.
        max_tokens: the run's budget, see `LanguageModel`.
        contact: False for a dry run: nothing is started or spoken to, so `request` and `replayed` work and `ask` fails.
        served: the adapters, where they are not what the store says.

    Raises:
        EngineError: no server there, or it serves no such model or adapter, or the packaged model is not installed.
        ConfigError: the environment variable that should hold the key is not set.
    """
    engine = config.engine
    served = serving(store, config) if served is None else served
    async with contextlib.AsyncExitStack() as stack:
        kind = _Embedded if engine.kind == "embedded" else _Server
        opened = kind(config, stack, contact)
        chat = await opened.base()
        adapters = {one.version: await opened.adapter(one) for one in served.adapters.values()}

        def answering(task: str) -> Served | None:
            adapter = served.adapter(task)
            return None if adapter is None else adapters[adapter.version]

        model = LanguageModel(
            chat,
            Ledger(store, run_id),
            revision=opened.revision,
            in_flight=opened.in_flight,
            retries=engine.retries,
            remedy=opened.remedy,
            max_tokens=max_tokens,
            adapters=answering,
            verbatim=opened.verbatim(),
        )
        stack.push_async_callback(model.aclose)
        yield model


class _Server:
    """A server that is there; it takes adapters while it runs, if it was started to (vLLM)."""

    remedy = SERVER_REMEDY

    def __init__(self, config: Config, stack: contextlib.AsyncExitStack, contact: bool) -> None:
        self.engine, self.key, self.stack, self.contact = config.engine, _key(config), stack, contact
        self.revision, self.in_flight = config.engine.revision, config.engine.in_flight
        self.known: list[str] = []

    async def base(self) -> "ServerChat":
        chat = self._chat(self.engine.model)
        if self.contact:
            self.known = await _known(chat, self.remedy)
        return chat

    async def adapter(self, one: Adapter) -> Served:
        chat = self._chat(one.name)
        if self.contact and one.name not in self.known:
            try:
                await chat.load_adapter(one.name, str(one.folder.resolve()))
            except (PassingError, RefusedError, EngineError) as error:
                raise EngineError(
                    f"the engine at {chat.base_url} does not take the adapter in {one.folder} ({error}): start vLLM "
                    "with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True where it can read that folder, or "
                    f"serve it there by the name {one.name}"
                ) from None
        return Served(one.name, one.version, chat)

    def verbatim(self) -> None:
        """A server is held to a schema, and its tokens are its own."""

    def _chat(self, name: str) -> "ServerChat":
        return _chat(self.stack, self.engine, self.engine.base_url, name, self.key, self.in_flight)


class _Embedded:
    """The packaged model, and a child of its own for each adapter, with the weights merged."""

    in_flight = embedded.IN_FLIGHT

    def __init__(self, config: Config, stack: contextlib.AsyncExitStack, contact: bool) -> None:
        self.config, self.stack, self.contact = config, stack, contact
        self.weights = embedded.prepare()
        self.revision = self.weights.revision
        self.log = config.work_folder / "engine.log"
        self.remedy = f"see {self.log} for what became of it"

    async def base(self) -> "ServerChat":
        return await self._started(self.weights, embedded.MODEL, self.log)

    async def adapter(self, one: Adapter) -> Served:
        from recgpt.tuning.merge import merged  # noqa: PLC0415 (transformers takes seconds)

        weights = merged(self.weights, one.folder) if self.contact else self.weights
        chat = await self._started(weights, one.name, self.log.with_name(f"engine-{one.name}.log"))
        return Served(one.name, one.version, chat)

    def verbatim(self) -> Callable[[str], str]:
        return verbatim(self.weights.tokenizer)

    async def _started(self, weights: embedded.Weights, name: str, log: Path) -> "ServerChat":
        base_url, key = "http://127.0.0.1:9/v1", None
        if self.contact:
            start = embedded.start(weights, threads=self.config.engine.threads, log=log, name=name)
            running = await self.stack.enter_async_context(start)
            base_url, key = running.base_url, running.key
        chat = _chat(self.stack, self.config.engine, base_url, name, key, self.in_flight)
        if self.contact:
            await _known(chat, self.remedy)
        return chat


def _chat(
    stack: contextlib.AsyncExitStack, engine: Settings, base_url: str, name: str, key: str | None, in_flight: int
) -> "ServerChat":
    from recgpt.engine.chat import ServerChat  # noqa: PLC0415 (langchain-core takes half a second)

    chat = ServerChat(
        base_url=base_url,
        model=name,
        api_key=None if key is None else SecretStr(key),
        timeout_s=engine.timeout_s,
        in_flight=in_flight,
    )
    stack.push_async_callback(chat.aclose)
    return chat


async def _known(chat: "ServerChat", remedy: str) -> list[str]:
    """The names that the engine answers to, the chat's among them."""
    try:
        served = await chat.served()
    except (PassingError, RefusedError) as error:
        raise EngineError(f"the engine at {chat.base_url} does not answer ({error}): {remedy}") from None
    if chat.model not in served:
        raise EngineError(
            f"the engine at {chat.base_url} does not serve {chat.model!r}, only "
            f"{', '.join(map(repr, served)) or 'nothing'}: set engine.model to one of these, or serve it with "
            "'recgpt engine serve'"
        )
    return served


def _key(config: Config) -> str | None:
    variable = config.engine.api_key_env
    if not variable:
        return None
    key = os.environ.get(variable, "").strip()  # a key out of a file brings the file's last newline
    if not key:
        raise ConfigError(f"engine.api_key_env names {variable}, which is not set: export {variable}=...")
    if not key.isprintable():  # or half of a header would be ours to lose
        raise ConfigError(f"{variable}, which engine.api_key_env names, holds what no key does: export it again")
    return key
