"""A real vLLM server on this machine's CPU, serving the packaged small model; for tests/vllm and the benchmark.

It runs from `.venv-vllm`, which `make test-vllm` makes, and is started by `recgpt engine serve`, so that the command a
user runs is the one that is tested. `start` returns when it answers; `kill` is kill -9 of everything it started. The
log of all its lives is in `log`.
"""

import contextlib
import ctypes
import ctypes.util
import fcntl
import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recgpt.engine import embedded

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv-vllm"
START_TIMEOUT_S = 600  # 50 s on two quiet cores; a machine with other work takes many times that
PR_SET_PDEATHSIG = 1  # prctl(2)
NAME = "smollm2"
# A small model on a CPU: nothing compiled, a context no longer than the tests want, and 2 GiB for the cache.
ON_CPU = ("--dtype", "float32", "--enforce-eager", "--max-model-len", "4096")
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}


def weights() -> Path:
    """The folder with the packaged model's safetensors, converted if that was not done before (30 s, 540 MB).

    It lies in recgpt's cache, by the hash of the weights and of the converter, and appears whole or not at all.

    Raises:
        RuntimeError: there is no .venv-vllm.
    """
    python = program("python")
    source, converter = embedded.packaged(), Path(__file__).with_name("vllm_weights.py")
    cache = embedded.prepare().gguf.parent
    folder = cache / f"safetensors-{hashlib.sha256(converter.read_bytes()).hexdigest()[:8]}"
    with (cache / "safetensors.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = Path(tempfile.mkdtemp(dir=cache, prefix="safetensors.part-"))
            try:
                subprocess.run([python, converter, source, part], check=True, env=os.environ | ENVIRONMENT)
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return folder


def program(name: str) -> Path:
    """A program of vLLM's environment.

    Raises:
        RuntimeError: there is no .venv-vllm.
    """
    if not (VENV / ".installed").exists():
        raise RuntimeError(f"{VENV} is not there or not whole: run 'make test-vllm', which installs it")
    return VENV / "bin" / name


def environment() -> dict[str, str]:
    """Our environment, with what vLLM on a CPU wants: its own programs first, and the libraries it is fast with."""
    wanted = [*(str(path) for path in (VENV / "lib").glob("libiomp5.so")), ctypes.util.find_library("tcmalloc_minimal")]
    preload = ":".join(library for library in wanted if library)  # it runs without either, only slower
    path = f"{VENV / 'bin'}:{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, **ENVIRONMENT, "PATH": path, "LD_PRELOAD": preload}


@dataclass
class VllmServer:
    """One server: make it with `at`, then `start`, `kill` and `start` again at the same address."""

    folder: Path  # of its recgpt.toml and its log
    port: int
    extra: tuple[str, ...] = ()  # further arguments for vLLM
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def at(cls, folder: Path, *extra: str) -> "VllmServer":
        server = cls(folder, free_port(), extra)
        (folder / "recgpt.toml").write_text(server.settings(), encoding="utf-8")
        return server

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def log(self) -> Path:
        return self.folder / "vllm.log"

    def settings(self, **more: Any) -> str:
        """The [engine] section of a project that asks this server."""
        engine = {
            "kind": "server",
            "base_url": self.base_url,
            "model": NAME,
            "revision": "1",
            "timeout_s": 300.0,
            **more,
        }
        return "[engine]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in engine.items())

    def further(self) -> list[str]:
        """What follows `recgpt engine serve`: the weights, and flags for vLLM."""
        return [str(weights()), *ON_CPU, *self.extra]

    def start(self) -> None:
        """Run `recgpt engine serve` until it answers.

        Raises:
            RuntimeError: it ended or was silent for too long; the message holds the end of its log.
        """
        recgpt = Path(sys.executable).with_name("recgpt")
        command = [recgpt, "engine", "serve", "--config", self.folder, *self.further()]
        with self.log.open("ab") as log:
            # A session of its own, so that all it starts can be ended together; and it ends when we are killed.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(), start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 (no thread of ours is running)
            )  # fmt: skip
        end = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            gone = self.process.poll() is not None
            if gone or time.monotonic() > end:
                self.kill()
                what = "ended" if gone else f"did not answer within {START_TIMEOUT_S} s"
                raise RuntimeError(f"vLLM {what}; the end of {self.log}:\n{self.tail()}")
            time.sleep(0.5)

    def answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(self.url("/health"), timeout=10) as answer:
            return bool(answer.status == 200)
        return False

    def kill(self) -> None:
        """kill -9 of the server and of all its processes; returns when the server is gone."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def call(self, path: str, **fields: Any) -> tuple[int, str]:
        """Post JSON; the status and the text of the answer, whatever they are."""
        data = json.dumps(fields).encode()
        request = urllib.request.Request(self.url(path), data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self) -> Counter[str]:
        """What /metrics counts, by name, summed over labels. Counts begin anew with each start."""
        with urllib.request.urlopen(self.url("/metrics"), timeout=60) as answer:
            text = answer.read().decode()
        counts: Counter[str] = Counter()
        for name, value in re.findall(r"^([a-z_:]+)(?:\{.*\})? (\S+)$", text, flags=re.MULTILINE):
            counts[name] += float(value)  # type: ignore[assignment]
        return counts

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """A port that nothing listens on, below those that the system gives to outgoing connections."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port between 20000 and 32000")
