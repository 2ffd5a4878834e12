"""A small demo shop with a scripted model behind real HTTP, so that whole nights can be run and asserted.

Any test may take the fixtures `project` (a folder of its own, a server, a run) and `asked`.
"""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_server import FakeServer
from scripted import answer
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from recgpt import nightly
from recgpt.config import Config, load
from recgpt.sources.demo import make_shop
from recgpt.store.session import open_store
from recgpt.words import Stage

NIGHT = date(2026, 10, 31)
USERS = 12


class Project:
    """A project folder, a night's run on it, and a look into its store."""

    night = NIGHT

    def __init__(self, folder: Path, server: FakeServer) -> None:
        self.folder, self.server = folder, server
        self.configure()

    def configure(self, **sections: dict[str, Any]) -> Config:
        settings = {
            "engine": {"kind": "server", "base_url": self.server.base_url, "model": "fake-model", "revision": "r1",
                       "in_flight": 8, "retries": 1, "timeout_s": 10.0},
            "towers.network": {"dim": 16, "hidden": 32},
            "towers.training": {"max_epochs": 1, "batch_size": 256},
            "judge": {"share": 1.0, "form": "verdict", "votes": 1},
        }  # fmt: skip
        for name, section in sections.items():
            settings[name] = {**settings.get(name, {}), **section}
        text = "".join(
            f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in section.items())
            for name, section in settings.items()
        )
        (self.folder / "recgpt.toml").write_text(text, encoding="utf-8")
        return self.config

    @property
    def config(self) -> Config:
        return load(self.folder)

    @property
    def store(self) -> Engine:
        return open_store(self.config)

    def run(self, *stages: Stage, day: date = NIGHT, **options: Any) -> nightly.Summary:
        return nightly.run(self.config, stages or tuple(Stage), day=day, **options)

    def rows(self, table: type[Any], *where: Any) -> list[Any]:
        with Session(self.store, expire_on_commit=False) as session:
            return list(session.scalars(select(table).where(*where)))

    def add_events(self, events: list[dict[str, Any]]) -> None:
        path = self.folder / "data" / "events.parquet"
        table = pq.read_table(path)
        pq.write_table(pa.concat_tables([table, pa.Table.from_pylist(events, schema=table.schema)]), path)

    def events(self) -> list[dict[str, Any]]:
        return list(pq.read_table(self.folder / "data" / "events.parquet").to_pylist())


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose texts are encoded once for all tests."""
    folder = tmp_path_factory.mktemp("shop")
    make_shop(folder, users=USERS, seed=3, until=NIGHT)
    return folder


@pytest.fixture
def project(shop: Path, tmp_path: Path, fake_server: FakeServer) -> Project:
    folder = tmp_path / "project"
    shutil.copytree(shop, folder)
    # Vectors are kept by content hash, so they may be shared; everything else is this test's own.
    (shop / "vectors").mkdir(exist_ok=True)
    (folder / "work").mkdir()
    (folder / "work" / "vectors").symlink_to(shop / "vectors")
    fake_server.answer = answer
    return Project(folder, fake_server)


@pytest.fixture
def asked(fake_server: FakeServer) -> Callable[[], int]:
    """How many requests have reached the server since the last call."""
    seen = 0

    def since() -> int:
        nonlocal seen
        new, seen = len(fake_server.requests) - seen, len(fake_server.requests)
        return new

    return since
