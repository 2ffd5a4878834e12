"""Tokens: counted, to fit a text into a budget before anything is asked, and named, to have a text said in its own.

Exact where the model's tokenizer is at hand (`engine.tokenizer` for a server; always for the packaged model), else a
cautious guess: a token for every three bytes of UTF-8, which is more tokens than any usual tokenizer makes of prose.
Nothing is downloaded.
"""

import json
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from tokenizers import Tokenizer

from recgpt.config import Config
from recgpt.engine import embedded
from recgpt.errors import ConfigError

BYTES_A_TOKEN = 3
BROKEN = "\ufffd"
FILE = "tokenizer.json"


def token_counter(config: Config) -> Callable[[str], int]:
    """A function from a text to its number of tokens, without the marks a chat template adds.

    Raises:
        ConfigError: engine.tokenizer names no tokenizer on this machine.
        EngineError: the packaged model is not installed.
    """
    if config.engine.kind == "embedded":
        file = embedded.prepare().tokenizer
    elif config.engine.tokenizer:
        file = _find(config)
    else:
        return guess
    tokenizer = Tokenizer.from_file(str(file))

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count


def verbatim(file: Path) -> Callable[[str], str]:
    """A function from a text to the grammar (llama.cpp's GBNF) that takes it alone, in its own tokens.

    Args:
        file: the model's tokenizer.json.
    """
    tokenizer = Tokenizer.from_file(str(file))

    def grammar(text: str) -> str:
        pieces: list[str] = []
        ids: list[int] = []
        for token in tokenizer.encode(text, add_special_tokens=False).ids:
            ids.append(token)
            said = tokenizer.decode(ids, skip_special_tokens=False)
            if BROKEN in said:
                continue  # a character in several tokens, which the server does not take one by one
            pieces.append(f"<[{token}]>" if len(ids) == 1 else json.dumps(said, ensure_ascii=False))
            ids = []
        if ids:  # the text has that very mark in it
            pieces.append(json.dumps(tokenizer.decode(ids, skip_special_tokens=False), ensure_ascii=False))
        return "root ::= " + " ".join(pieces)

    return grammar


def guess(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN)


def _find(config: Config) -> Path:
    name = config.engine.tokenizer
    file = config.path(name) / FILE
    if file.is_file():
        return file
    # A name is "owner/model" or "model"; the cache refuses anything else.
    cached = try_to_load_from_cache(name, FILE) if name.count("/") <= 1 and not name.startswith((".", "/")) else None
    if isinstance(cached, str):
        return Path(cached)
    raise ConfigError(
        f"engine.tokenizer: no {FILE} in {config.path(name)}, and no model of that name in the Hugging Face cache; "
        "give the folder that holds the served model's tokenizer, or leave it empty for a cautious guess"
    )
