"""The vLLM command line that the pipeline wants, for `recgpt engine serve` to print and become."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from recgpt.config import Config
from recgpt.errors import ConfigError, EngineError

# JSON without spaces and line breaks: where they are allowed a weak model may write nothing else until max_tokens is
# reached, and a good one pays for them. vLLM has this for a backend that is named, so xgrammar, its first choice, is.
COMPACT: Final = '{"backend": "xgrammar", "disable_any_whitespace": true}'


def serve_command(config: Config, extra: Sequence[str] = ()) -> list[str]:
    """What to run: vLLM with `arguments(config, extra)`.

    Raises:
        ConfigError: the config's engine is not a server.
        EngineError: vLLM is not installed.
    """
    listed = arguments(config, extra)
    # The environment we run in comes first; another one's vLLM on the path will do too.
    beside = Path(sys.executable).with_name("vllm")
    program = str(beside) if beside.exists() else shutil.which("vllm")
    if program is None:
        raise EngineError("vLLM is not installed: pip install 'recgpt[vllm]', on a machine that vLLM supports")
    # An adapter is promoted without a restart.
    return ["env", "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True", program, "serve", *listed]


def arguments(config: Config, extra: Sequence[str] = ()) -> list[str]:
    """The weights, then the flags that the pipeline wants, then `extra`, which so wins over them.

    When `extra` begins with a name or a folder, that is the weights, served under the name engine.model. Served on
    loopback, at the port of engine.base_url.

    Raises:
        ConfigError: the config's engine is not a server.
    """
    engine = config.engine
    if engine.kind != "server":
        raise ConfigError(
            "engine.kind is 'embedded', which starts by itself; to serve a model, set engine.kind = 'server', "
            "engine.model and engine.revision"
        )
    rest = list(extra)
    weights = rest.pop(0) if rest and not rest[0].startswith("-") else engine.model
    named = [] if weights == engine.model or "--lora-modules" in rest else ["--served-model-name", engine.model]
    return [
        weights, *named,
        "--host", "127.0.0.1", "--port", str(urlsplit(engine.base_url).port or 8000),
        "--enable-prefix-caching",  # the instructions of a task are computed once
        "--enable-lora", "--max-lora-rank", "64",
        "--enable-prompt-tokens-details",  # says how much of a prompt was in the cache
        "--structured-outputs-config", COMPACT,
        *rest,
    ]  # fmt: skip
