"""A small lake on disk, in any format, with its recgpt.toml."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recgpt.config import Config, load
from recgpt.sources.logs import Logs
from recgpt.sources.prepare import prepare

LATER = datetime(2100, 1, 1, tzinfo=UTC)
Rows = Sequence[dict[str, Any]]


class Lake:
    """Three tables in a folder. Each `write` replaces one of them; `prepare` reads them as the config says."""

    later = LATER

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("users.jsonl", [{"user_id": "ann"}, {"user_id": "bob"}])
        self.write("items.jsonl", [{"item_id": name, "title": f"A {name}"} for name in ("cup", "pan", "pot")])
        self.write("events.jsonl", [self.event()])
        self.configure()

    @staticmethod
    def event(**changes: Any) -> dict[str, Any]:
        event = {"user_id": "ann", "timestamp": "2026-01-02T03:04:05Z", "behaviour": "view", "item_id": "cup"}
        return {name: value for name, value in {**event, **changes}.items() if value is not None}

    def write(self, name: str, rows: Rows | str | bytes) -> Path:
        """Write data/<name>, in the format of its suffix; text and bytes go in as they are."""
        file = self.folder / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(rows, str | bytes):
            whole = rows.encode() if isinstance(rows, str) else rows
        elif name.endswith(".parquet"):
            pq.write_table(pa.Table.from_pylist(list(rows)), file)
            return file
        elif ".csv" in name:
            whole = self._csv(rows)
        else:
            whole = "".join(json.dumps(row) + "\n" for row in rows).encode()
        file.write_bytes(gzip.compress(whole) if name.endswith(".gz") else whole)
        return file

    @staticmethod
    def _csv(rows: Rows) -> bytes:
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue().encode()

    def configure(self, more: str = "", **places: str) -> None:
        """Write recgpt.toml. `places` says where the tables are; `more` is added to the [data] section."""
        where = {name: places.get(name, f"data/{name}.jsonl") for name in ("users", "items", "events")}
        lines = [f'{name} = "{place}"' for name, place in where.items()]
        (self.folder / "recgpt.toml").write_text("[data]\n" + "\n".join(lines) + "\n" + more)

    @property
    def config(self) -> Config:
        return load(self.folder)

    def prepare(self) -> Logs:
        return prepare(self.config)

    def rejects(self, table: str = "events") -> list[dict[str, Any]]:
        lines = (self.folder / "work" / "rejects" / f"{table}.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def events_of(self, user_id: str) -> list[tuple[str, str, str | None, str | None]]:
        """(time, behaviour, item_id, query) of a user, in order."""
        logs = self.prepare()
        history = logs.history(user_id, LATER)
        ids = [None if row < 0 else logs.catalogue.ids[row] for row in history.items]
        kinds = [logs.behaviours[kind] for kind in history.behaviours]
        return list(zip(map(str, history.times), kinds, ids, history.queries, strict=True))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)
