"""Vectors for others to serve: Parquet, a FAISS index, and the towers' dense part as ONNX; a manifest written last.

    items.parquet, users.parquet    id (string), vector (D float32), by row
    items.faiss                     IndexFlatIP over the items' vectors, whose numbers are rows of items.parquet
    item.onnx, user.onnx, tag.onnx  field vectors (N, F, D) to unit vectors (N, T, D): interaction, body and head,
                                    without the number that network.prior adds.
                                    The look-ups before them (tables, word pieces, history) are not part of it.
    manifest.json                   the checkpoint's version and config, ids and vectors by hash, files by hash, and
                                    what the vectors rank: "all", or with network.repeats only what is "new" to a user

What a user had before is then scored from its counts (towers/repeats.py), which no vector holds: whoever serves the
vectors leaves it out, and `recgpt score` ranks both.

The folder is whole or absent: all is written beside it and moved into place. `load_export` refuses what is not what
was written. pyarrow is needed, and for the index and ONNX what `pip install recgpt[export]` brings.
"""

import hashlib
import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from towers.config import TowersConfig, TowersError
from towers.folders import replaced
from towers.model import ThreeTowers, Tower

MANIFEST = "manifest.json"
FORMAT = 1
Vectors = npt.NDArray[np.float32]


class ExportRefused(TowersError):
    """The folder holds no whole export, or other bytes than were written. The remedy is to export again."""


@dataclass(frozen=True)
class Export:
    """An export that was checked; vectors are read when asked for, of "items" or of "users"."""

    folder: Path
    manifest: dict[str, Any]

    def vectors(self, name: str) -> tuple[list[str], Vectors]:
        """Ids and vectors (N, D) of all rows."""
        ids: list[str] = []
        parts = [np.zeros((0, TowersConfig.from_json(self.manifest["config"]).network.served), np.float32)]
        for some, vectors in self.blocks(name):
            ids += some
            parts.append(vectors)
        return ids, np.concatenate(parts)

    def blocks(self, name: str) -> Iterator[tuple[list[str], Vectors]]:
        """The same as a stream of ids (B) and vectors (B, D)."""
        with _need("pyarrow.parquet").ParquetFile(self.folder / f"{name}.parquet") as file:
            for batch in file.iter_batches():
                yield batch["id"].to_pylist(), batch["vector"].flatten().to_numpy().reshape(len(batch), -1)


def export(
    folder: Path,
    model: ThreeTowers,
    *,
    version: str,
    items: Iterable[tuple[Sequence[str], Tensor]],
    users: Iterable[tuple[Sequence[str], Tensor]],
    index: bool = True,
    onnx: bool = True,
) -> dict[str, Any]:
    """Write an export in place of the one that is there. Returns its manifest.

    `items` and `users` are streams of blocks, ids (B) and vectors (B, D). `version` is the checkpoint's.

    Raises:
        TowersError: a package for the index or ONNX is not installed, or the folder holds something else.
    """
    modules = [_need(name) for name in ("pyarrow.parquet", *["faiss"] * index, *["onnxscript"] * onnx)]
    with whole(folder) as fresh:
        said = {
            name: _write_vectors(fresh / f"{name}.parquet", blocks, model.config.network.served)
            for name, blocks in (("items", items), ("users", users))
        }
        if index:
            _write_index(modules[1], fresh, model.config.network.served)
        if onnx:
            for name in ("item", "user", "tag"):
                _write_onnx(fresh / f"{name}.onnx", getattr(model, name), model.config.network.width)
        ranks = "all" if model.repeats is None else "new"
        manifest = {"towers": version, "config": model.config.to_json(), "ranks": ranks, **said}
        return write_manifest(fresh, manifest)


def load_export(folder: Path, *, version: str | None = None) -> Export:
    """Open an export, once every file has been seen to be what was written.

    `version`: the checkpoint that it must have been made from.

    Raises:
        ExportRefused: no manifest, changed or missing files, ids or vectors that are not the manifest's, other towers.
    """
    manifest = read_manifest(folder)
    if version is not None and manifest["towers"] != version:
        raise ExportRefused(f"{folder} was exported from {manifest['towers']}, not from {version}; export again")
    found = Export(folder, manifest)
    for name in ("items", "users"):
        summary = _Summary()
        for block in found.blocks(name):
            summary.add(*block)
        if summary.as_dict() != manifest[name]:
            raise ExportRefused(f"{folder}: {name}.parquet holds other ids or vectors than its manifest; export again")
    return found


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A folder to write into that takes the place of `folder` at the end, or disappears if anything is raised.

    Raises:
        TowersError: `folder` is there and was not written by this; nothing is touched.
    """
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise TowersError(f"{folder} is there and holds no {MANIFEST}: name another folder, or remove it")
    with replaced(folder) as fresh:
        yield fresh


def write_manifest(folder: Path, said: dict[str, Any]) -> dict[str, Any]:
    """Write manifest.json, last: what is said, and the hash of every file in the folder."""
    files = {file.name: _hash(file) for file in sorted(folder.iterdir())}
    manifest = {"format": FORMAT, **said, "files": files}
    text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", "utf-8")
    result: dict[str, Any] = json.loads(text)
    return result


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, every file of which is what was written.

    Raises:
        ExportRefused: it is not there or can't be read, or a file was changed, added or removed.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        written = dict(manifest["files"])
        known = manifest["format"] == FORMAT
    except FileNotFoundError:
        raise ExportRefused(f"{folder} holds no finished export ({MANIFEST} is missing)") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportRefused(f"{folder / MANIFEST} can't be read ({error}); export again") from error
    found = {file.name: _hash(file) for file in folder.iterdir() if file.name != MANIFEST}
    wrong = sorted(name for name in found.keys() | written.keys() if found.get(name) != written.get(name))
    if wrong or not known:
        why = ", ".join(wrong) if known else "another format"
        raise ExportRefused(f"{folder} is not what was written ({why}); export again")
    return manifest


class _Summary:
    """How many rows there are, and sha256 of their ids and of their vectors, in their order."""

    def __init__(self) -> None:
        self.rows = 0
        self.ids, self.values = hashlib.sha256(), hashlib.sha256()

    def add(self, ids: Sequence[str], vectors: Vectors) -> None:
        self.rows += len(ids)
        for one in ids:
            data = one.encode("utf-8", "surrogatepass")
            self.ids.update(len(data).to_bytes(8, "little") + data)
        self.values.update(np.ascontiguousarray(vectors, "<f4").tobytes())

    def as_dict(self) -> dict[str, Any]:
        hashes = {"ids": self.ids, "vectors": self.values}
        return {"rows": self.rows, **{name: "sha256:" + one.hexdigest() for name, one in hashes.items()}}


def _write_vectors(file: Path, blocks: Iterable[tuple[Sequence[str], Tensor]], dim: int) -> dict[str, Any]:
    pa, pq = _need("pyarrow"), _need("pyarrow.parquet")
    schema = pa.schema([("id", pa.string()), ("vector", pa.list_(pa.float32(), dim))])
    summary = _Summary()
    with pq.ParquetWriter(file, schema) as writer:
        for ids, vectors in blocks:
            values = np.ascontiguousarray(vectors.numpy(), np.float32)  # (B, D)
            summary.add(ids, values)
            column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), dim)
            writer.write_table(pa.table([pa.array(list(ids), pa.string()), column], schema=schema))
    return summary.as_dict()


def _write_index(faiss: Any, folder: Path, dim: int) -> None:
    index = faiss.IndexFlatIP(dim)
    for _, vectors in Export(folder, {}).blocks("items"):
        index.add(np.ascontiguousarray(vectors))
    faiss.write_index(index, str(folder / "items.faiss"))


def _write_onnx(file: Path, tower: Tower, dim: int) -> None:
    tower.eval()
    torch.onnx.export(
        tower,
        (torch.zeros(2, tower.fields, dim),),
        file,
        input_names=["fields"],
        output_names=["vectors"],
        dynamic_shapes={"fields": {0: torch.export.Dim.DYNAMIC}},
        external_data=False,
        verbose=False,
    )


def _hash(file: Path) -> str:
    with file.open("rb") as data:
        return "sha256:" + hashlib.file_digest(data, "sha256").hexdigest()


def _need(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise TowersError(f"{name.partition('.')[0]} is not installed: pip install recgpt[export]") from error
