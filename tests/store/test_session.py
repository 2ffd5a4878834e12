from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, inspect, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from recgpt.config import Config
from recgpt.errors import ConfigError, StoreError
from recgpt.settings import Store
from recgpt.store.session import open_store, revisions
from recgpt.store.tables import Base, Unit
from recgpt.words import Outcome, Stage


def test_migrations_make_exactly_the_tables_of_the_models(tmp_path: Path) -> None:
    store = open_store(Config(folder=tmp_path))
    with store.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    here, newest = revisions(store)
    assert here == newest


def test_sqlite_runs_in_wal_mode_with_foreign_keys(tmp_path: Path) -> None:
    with open_store(Config(folder=tmp_path)).connect() as connection:
        assert connection.execute(text("pragma journal_mode")).scalar() == "wal"
        assert connection.execute(text("pragma foreign_keys")).scalar() == 1


def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    config = Config(folder=tmp_path)
    with Session(open_store(config)) as session:
        session.add(Unit(stage=Stage.TAGS, key="u", input_hash="h", outcome=Outcome.OK))
        session.commit()
    with Session(open_store(config)) as session:
        assert session.get_one(Unit, (Stage.TAGS, "u")).outcome == Outcome.OK


def test_times_come_back_in_utc_whatever_zone_they_went_in_with(tmp_path: Path) -> None:
    store = open_store(Config(folder=tmp_path))
    moment = datetime(2026, 10, 31, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    with Session(store) as session:
        session.add(Unit(stage=Stage.TAGS, key="u", input_hash="h", outcome=Outcome.OK, at=moment))
        session.commit()
    with Session(store) as session:
        assert session.get_one(Unit, (Stage.TAGS, "u")).at == datetime(2026, 11, 1, 1, 30, tzinfo=UTC)


def test_a_store_of_a_newer_recgpt_is_refused(tmp_path: Path) -> None:
    config = Config(folder=tmp_path)
    with open_store(config).begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(StoreError, match="upgrade recgpt"):
        open_store(config)


def test_a_url_that_is_none_and_a_place_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"store\.url"):
        open_store(Config(folder=tmp_path, store=Store(url="no url")))
    (tmp_path / "taken").mkdir()
    with pytest.raises(StoreError, match=r"store\.url"):
        open_store(Config(folder=tmp_path, store=Store(url="sqlite:///taken")))


def test_a_migration_that_finds_no_room_leaves_nothing(tmp_path: Path) -> None:
    def small(connection: Any, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 20")

    event.listen(Pool, "connect", small)
    try:
        with pytest.raises(StoreError, match="the disk is full"):
            open_store(Config(folder=tmp_path))
    finally:
        event.remove(Pool, "connect", small)
    assert inspect(open_store(Config(folder=tmp_path), migrate=False)).get_table_names() == []
    open_store(Config(folder=tmp_path))


def test_another_programs_tables_are_left_alone(tmp_path: Path) -> None:
    store = open_store(Config(folder=tmp_path), migrate=False)
    with store.begin() as connection:
        connection.execute(text("create table units (id integer)"))
    with pytest.raises(StoreError, match=r"tables that recgpt did not make \(units\)"):
        open_store(Config(folder=tmp_path))
    assert inspect(store).get_table_names() == ["units"]
