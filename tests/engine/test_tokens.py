"""Counting by a tokenizer on this machine, or cautiously without one."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from recgpt.config import Config
from recgpt.engine.tokens import token_counter
from recgpt.errors import ConfigError
from recgpt.settings import Engine


def server(folder: Path, tokenizer: str = "") -> Config:
    return Config(folder=folder, engine=Engine(kind="server", model="m", revision="r", tokenizer=tokenizer))


def test_a_folder_of_a_tokenizer_counts_exactly(tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"trail": 0, "shoes": 1, "?": 2}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    (tmp_path / "model").mkdir()
    words.save(str(tmp_path / "model" / "tokenizer.json"))
    count = token_counter(server(tmp_path, "model"))
    assert [count(text) for text in ("", "trail", "trail shoes", "waterproof trail shoes")] == [0, 1, 2, 3]


def test_without_one_a_token_is_three_bytes(tmp_path: Path) -> None:
    count = token_counter(server(tmp_path))
    assert [count(text) for text in ("", "a", "abc", "abcd", "茶", "茶茶", "a\ud800")] == [0, 1, 1, 2, 1, 2, 1]


@pytest.mark.parametrize("name", ["nowhere", "owner/nowhere", "/no/such/folder", "../x"])
def test_a_tokenizer_that_is_not_here_is_an_error_not_a_guess(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"engine\.tokenizer: no tokenizer\.json in"):
        token_counter(server(tmp_path, name))
