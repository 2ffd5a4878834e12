"""The weights that an adapter is trained on: those that the engine serves, and no others.

The packaged model is read out of its GGUF file. A server's weights lie on the server's machine, so the config names a
folder with the same ones (`tuning.base`): a Hugging Face folder with safetensors. Nothing is downloaded, nothing is
reported anywhere, nothing is unpickled and no code out of a folder is run.
"""

import importlib.util
import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from recgpt.config import Config
from recgpt.engine import embedded
from recgpt.errors import ConfigError, EngineError

LIBRARIES: Final = ("torch", "transformers", "accelerate", "datasets", "peft", "trl")
QUIET: Final = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRANSFORMERS_OFFLINE": "1"}


@dataclass(frozen=True)
class Source:
    """Where the base model's weights are, and what the ledger calls them."""

    name: str  # MODEL@REVISION
    folder: Path
    gguf: str | None = None  # the file in the folder, if the weights are one


@dataclass(frozen=True)
class Base:
    """A causal language model and its tokenizer, in fp32 on a CPU and bf16 on a GPU."""

    source: Source
    model: Any
    tokenizer: Any


def source_of(config: Config) -> Source:
    """Where the weights of the config's engine are.

    Raises:
        ConfigError: a server's weights are not named, or the folder does not hold them.
        EngineError: the packaged model is not installed.
    """
    if config.engine.kind == "embedded":
        weights = embedded.prepare()
        file = embedded.packaged()
        return Source(f"{embedded.MODEL}@{weights.revision}", file.parent, file.name)
    if not config.tuning.base:
        raise ConfigError(
            f"tuning.base is empty: name the folder that holds the weights which {config.engine.base_url} serves as "
            f"{config.engine.model} (a Hugging Face folder with safetensors)"
        )
    folder = config.path(config.tuning.base)
    lacking = [name for name in ("config.json", "*.safetensors", "tokenizer.json") if not any(folder.glob(name))]
    if lacking:
        raise ConfigError(f"tuning.base: {folder} has no {', '.join(lacking)}; name the folder of the served weights")
    return Source(f"{config.engine.model}@{config.engine.revision}", folder)


def load(source: Source) -> Base:
    """Read weights and tokenizer.

    Raises:
        ConfigError: a library is missing, or the tokenizer has no chat template to write prompts with.
        EngineError: the weights can't be read.
    """
    with quiet():
        import torch  # noqa: PLC0415 (torch and transformers take seconds, and few commands need them)
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415

        kind = torch.bfloat16 if torch.cuda.is_available() else torch.float32
        where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        weights: dict[str, Any] = {"use_safetensors": True}
        if source.gguf is not None:
            where["gguf_file"] = source.gguf
            weights = {"quantization_config": GgufConfig(dequantize=True)}
        try:
            with redirect_stderr(io.StringIO()):  # a bar that no setting turns off
                tokenizer = AutoTokenizer.from_pretrained(source.folder, **where)
                model = AutoModelForCausalLM.from_pretrained(source.folder, dtype=kind, **where, **weights)
        except (OSError, ValueError, KeyError) as error:
            raise EngineError(f"the weights in {source.folder} can't be read: {error}") from error
    if not tokenizer.chat_template:
        raise ConfigError(f"the tokenizer in {source.folder} has no chat template: take that of the served model")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.name_or_path = source.name  # else a library looks the old name up
    return Base(source, model, tokenizer)


def check_installed() -> None:
    """Before anything that takes long.

    Raises:
        ConfigError: a library of the extra `tune` is not installed.
    """
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"tuning a model needs {', '.join(missing)}: pip install 'recgpt[tune]'")


@contextmanager
def quiet() -> Iterator[None]:
    """Have the libraries of the extra `tune` ask nobody, tell nobody and draw nothing, from here on in a block.

    Raises:
        ConfigError: one is not installed.
    """
    check_installed()
    before = {name: os.environ.get(name) for name in QUIET}
    os.environ.update(QUIET)
    import datasets  # noqa: PLC0415 (only with the extra)
    from huggingface_hub import constants  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415

    # The variables are read when it is imported, which may have been long ago.
    known = constants.HF_HUB_OFFLINE, constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_OFFLINE = constants.HF_HUB_DISABLE_TELEMETRY = True
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    datasets.disable_progress_bars()
    datasets.disable_caching()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of one of them to another
            warnings.filterwarnings("ignore", "Could not find a config file")  # nothing is looked up on a hub
            yield
    finally:
        constants.HF_HUB_OFFLINE, constants.HF_HUB_DISABLE_TELEMETRY = known
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
