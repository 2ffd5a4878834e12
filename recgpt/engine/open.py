"""Opening the engine that a config names: one function, both kinds, one code path behind it.

When the block is entered the model is known to answer to its name; when it is left, every answer received is on disk,
every connection closed, and the child ended. The key comes from the environment variable that the config names, and
from nowhere else.
"""

import contextlib
import os
from collections.abc import AsyncIterator

from pydantic import SecretStr
from sqlalchemy import Engine as Store

from recgpt.config import Config
from recgpt.engine import embedded
from recgpt.engine.asking import LanguageModel
from recgpt.engine.chat import PassingError, RefusedError, ServerChat
from recgpt.engine.ledger import Ledger
from recgpt.errors import ConfigError, EngineError

SERVER_REMEDY = "start it with 'recgpt engine serve' or check engine.base_url"


@contextlib.asynccontextmanager
async def open_engine(
    config: Config, store: Store, run_id: int | None = None, *, max_tokens: int | None = None, contact: bool = True
) -> AsyncIterator[LanguageModel]:
    """The config's model, before it the ledger in `store`.

    Args:
        run_id: the row of `runs` that new answers are marked with.
        max_tokens: the run's budget, see `LanguageModel`.
        contact: False for a dry run: nothing is started or spoken to, so `request` and `replayed` work and `ask` fails.

    Raises:
        EngineError: no server there, or it serves no such model, or the packaged model is not installed.
        ConfigError: the environment variable that should hold the key is not set.
    """
    engine = config.engine
    ledger = Ledger(store, run_id)
    async with contextlib.AsyncExitStack() as stack:
        if engine.kind == "embedded":
            weights = embedded.prepare()
            log = config.work_folder / "engine.log"
            base_url, key, in_flight = "http://127.0.0.1:9/v1", None, embedded.IN_FLIGHT
            name, revision, remedy = embedded.MODEL, weights.revision, f"see {log} for what became of it"
            if contact:
                running = await stack.enter_async_context(embedded.start(weights, threads=engine.threads, log=log))
                base_url, key = running.base_url, running.key
        else:
            base_url, key, in_flight = engine.base_url, _key(config), engine.in_flight
            name, revision, remedy = engine.model, engine.revision, SERVER_REMEDY
        chat = ServerChat(
            base_url=base_url,
            model=name,
            api_key=None if key is None else SecretStr(key),
            timeout_s=engine.timeout_s,
            in_flight=in_flight,
        )
        model = LanguageModel(
            chat,
            ledger,
            revision=revision,
            in_flight=in_flight,
            retries=engine.retries,
            remedy=remedy,
            max_tokens=max_tokens,
        )
        stack.push_async_callback(model.aclose)
        if contact:
            await _check(chat, remedy)
        yield model


async def _check(chat: ServerChat, remedy: str) -> None:
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
