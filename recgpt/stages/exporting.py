"""The night's towers for others to serve: vectors of all items and users, an index, ONNX (towers/export.py)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from recgpt.errors import CheckpointError, ConfigError
from recgpt.stages.night import Night, Progress
from recgpt.stages.score import blocks
from recgpt.stages.scorer import Scorer
from recgpt.stages.towers import load_newest
from towers.config import TowersError
from towers.export import ExportRefused, export, load_export


def run(night: Night, out: Path, *, index: bool, onnx: bool) -> dict[str, Any]:
    """Write an export of the newest towers that the night may use. Returns its manifest.

    Raises:
        CheckpointError: there are no towers for this night.
        ConfigError: `out` holds something else, or a package is missing.
    """
    version, model = load_newest(night)
    scorer = Scorer(night, model)
    ids = night.logs.catalogue.ids
    try:
        return export(
            out,
            model,
            version=version,
            items=[(ids, scorer.items)],
            users=_users(night, scorer),
            index=index,
            onnx=onnx,
        )
    except TowersError as error:
        raise ConfigError(str(error)) from error


def check(night: Night, out: Path) -> dict[str, Any]:
    """The manifest of an export that is whole, unchanged, and of the newest towers that the night may use.

    Raises:
        CheckpointError: it is not.
    """
    version, _ = load_newest(night)
    try:
        return load_export(out, version=version).manifest
    except ExportRefused as error:
        raise CheckpointError(f"{error}: 'recgpt towers export --out {out}'") from error


def _users(night: Night, scorer: Scorer) -> Iterator[tuple[list[str], Tensor]]:
    done = 0
    for block in blocks(night.histories()):
        yield [history.user_id for history in block], scorer.user_vectors(block, scorer.events(block))
        done += len(block)
        night.progress(Progress("export", done, night.n_users))
