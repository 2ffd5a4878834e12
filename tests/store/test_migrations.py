"""The second migration, on a store that the first one made and filled, on both databases; and back again."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, text

from recgpt.config import Config
from recgpt.settings import Store
from recgpt.store import session
from recgpt.store.session import open_store

MOMENT = datetime(2026, 10, 31, tzinfo=UTC).isoformat(sep=" ")
SCHEMA = '"schema":{"required":["%s"]}'
REQUESTS = [("a", "r1", SCHEMA % "verdict"), ("b", "r2", SCHEMA % "verdict"), ("c", "r1", SCHEMA % "answer")]
# target, request; an id each, from 1
LABELS = [(7, "a"), (7, "b"), (7, "c"), (7, "a"), (8, "a")]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    url = Store().url if request.param == "sqlite" else str(request.getfixturevalue("postgres"))
    (tmp_path / "work").mkdir()
    return open_store(Config(folder=tmp_path, store=Store(url=url)), migrate=False)


def migrate(store: Engine, to: str) -> None:
    config = session._alembic()
    with store.begin() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if to == "0001" and session._revision(connection) else command.upgrade)(config, to)


def rows(store: Engine, query: str) -> list[tuple[Any, ...]]:
    with store.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def fill(store: Engine) -> None:
    with store.begin() as connection:
        for name, revision, body in REQUESTS:
            connection.execute(
                text("insert into requests values (:hash, 't', 'p', 'm', :revision, :body, :at)"),
                {"hash": name, "revision": revision, "body": "{" + body + "}", "at": MOMENT},
            )
        for number, (target, request) in enumerate(LABELS, 1):
            connection.execute(
                text(
                    "insert into labels (id, task, target_id, criterion, verdict, rationale, judge, prompt_version, "
                    "request_hash, created_at) values (:id, 'tags', :target, 'valid', true, '', 'm', 'p', :hash, :at)"
                ),
                {"id": number, "target": target, "hash": request, "at": MOMENT},
            )
        connection.execute(
            text(
                "insert into model_versions (version, kind, path, trained_until, created_at) "
                "values ('v', 'towers', 'work/v', :at, :at)"
            ),
            {"at": MOMENT},
        )


def test_labels_of_before_say_whose_they_are_and_only_the_last_of_each_holds(store: Engine) -> None:
    migrate(store, "0001")
    fill(store)
    migrate(store, "0002")
    found = rows(store, "select judge, revision, kind, evidence, votes, superseded from labels order by id")
    assert [(judge, revision, bool(gone)) for judge, revision, _, _, _, gone in found] == [
        ("m@r1", "r1", True),
        ("m@r2", "r2", False),
        ("m@r1#said", "r1", False),
        ("m@r1", "r1", False),
        ("m@r1", "r1", False),
    ]
    assert {row[2:5] for row in found} == {("model", "", None)}
    assert rows(store, "select version, name, base from model_versions") == [("v", "", "")]


def test_the_way_back_keeps_every_label_under_its_models_name(store: Engine) -> None:
    migrate(store, "0001")
    fill(store)
    migrate(store, "0002")
    migrate(store, "0001")
    assert rows(store, "select id, judge from labels order by id") == [(one, "m") for one in range(1, 6)]
    migrate(store, "0002")
    assert rows(store, "select count(*) from labels where not superseded") == [(4,)]
