"""The whole of it with PostgreSQL as the store: the tables, a night and the nights after it, and what reads them."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from scripted import Body, instead, task
from sqlalchemy import delete, inspect, text
from typer.testing import CliRunner

from cli.app import app
from recgpt.config import Config
from recgpt.engine.ledger import Ledger
from recgpt.engine.requests import Reply, resolve
from recgpt.errors import ConfigError, StoreError
from recgpt.settings import Store
from recgpt.store.session import open_store, revisions
from recgpt.store.tables import Answer, Base, Interest, Recommendation, Rejection, Run, Tag, Unit
from recgpt.store.tables import Request as RequestRow
from recgpt.words import Outcome, RunState, State

OPENER = """
import sys
from pathlib import Path
from recgpt.config import Config
from recgpt.settings import Store
from recgpt.store.session import open_store
config = Config(folder=Path(sys.argv[1]), store=Store(url=sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
open_store(config)
"""


def store_at(url: str, folder: Path, **options: Any) -> Any:
    return open_store(Config(folder=folder, store=Store(url=url)), **options)


def recgpt(folder: Path, *arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "-c", str(folder)])
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.stdout


def test_two_that_open_a_new_store_at_once_make_the_tables_of_the_models(postgres: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENER, str(tmp_path), postgres]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    openers = [subprocess.Popen(command, **pipes, text=True) for _ in range(2)]
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    for opener in openers:
        _, said = opener.communicate(timeout=60)
        assert opener.returncode == 0, said
    store = store_at(postgres, tmp_path)
    here, newest = revisions(store)
    assert here == newest
    with store.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_another_programs_tables_and_a_newer_recgpts_are_left_alone(postgres: str, tmp_path: Path) -> None:
    store = store_at(postgres, tmp_path, migrate=False)
    with store.begin() as connection:
        connection.execute(text("create table units (id integer)"))
    with pytest.raises(StoreError, match=r"tables that recgpt did not make \(units\)"):
        store_at(postgres, tmp_path)
    assert inspect(store).get_table_names() == ["units"]
    with store.begin() as connection:
        connection.execute(text("drop table units"))
    with store_at(postgres, tmp_path).begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(StoreError, match="upgrade recgpt"):
        store_at(postgres, tmp_path)


def test_a_database_that_is_not_there_is_said_without_the_password(postgres: str, tmp_path: Path) -> None:
    url = postgres.replace("recgpt@/", "recgpt:secret@/no_such_")
    with pytest.raises(StoreError, match=r"store\.url") as caught:
        store_at(url, tmp_path)
    assert "no_such_" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_two_ledgers_that_store_the_same_answers_at_once_keep_the_first(postgres: str, tmp_path: Path) -> None:
    store = store_at(postgres, tmp_path)
    requests = [
        resolve(
            task="tags", prompt_version="sha256:p", model="m", revision="r", schema={}, max_tokens=5,
            messages=[{"role": "user", "content": f"{number}"}],
        )
        for number in range(1_000)
    ]  # fmt: skip
    both = threading.Barrier(2, timeout=30)

    def write(turn: int, said: str) -> None:
        replies = [Reply(request, Outcome.OK, said, "stop", seconds=0.5, attempts=1) for request in requests]
        both.wait()
        Ledger(store).store(replies[::turn])

    for _ in range(3):
        with store.begin() as connection:
            connection.execute(delete(Answer))
            connection.execute(delete(RequestRow))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(write, (1, -1), ("one", "other")))
        kept = Ledger(store).lookup(requests)
        assert len(kept) == len(requests)
        assert len({reply.content for reply in kept.values()}) == 1  # a transaction is first with all or with none
        Ledger(store).store([Reply(requests[0], Outcome.OK, "late", "stop", seconds=0.5, attempts=1)])
        assert Ledger(store).lookup(requests[:1])[requests[0].hash].content != "late"


def test_a_night_and_those_after_it(project: Any, postgres: str, asked: Callable[[], int]) -> None:
    said: set[str] = set()

    def hostile(body: Body) -> str | None:
        """Once each, what SQLite takes and PostgreSQL does not: a NUL, and a text over its column's length."""
        name = task(body)
        if name in said or name not in ("interest_name", "interest_tags"):
            return None
        said.add(name)
        return json.dumps({"interest": "run\0ning"} if name == "interest_name" else {"tags": [f"sturdy {'x' * 400}"]})

    project.server.answer = instead(hostile)
    project.configure(store={"url": postgres}, judge={"share": 0.3})
    first, later = project.night, project.night + timedelta(days=1)

    summary = project.run()
    assert asked() > 0
    assert summary.coverage == 1.0
    assert said == {"interest_name", "interest_tags"}
    assert {"json", "form"} <= {row.gate for row in project.rows(Rejection)}
    assert all(row.state == RunState.DONE and row.ended_at >= row.started_at for row in project.rows(Run))
    held = {row.id: row for row in project.rows(Interest, Interest.state == State.ACTIVE)}
    tags = {row.id: row for row in project.rows(Tag)}
    recommended = project.rows(Recommendation)
    assert recommended
    for row in recommended:
        assert tags[row.tag_id].interest_id == row.interest_id
        assert held[row.interest_id].user_id == row.user_id
    events = {(event["user_id"], event["timestamp"].isoformat()) for event in project.events()}
    for row in held.values():
        assert {(row.user_id, entry["timestamp"]) for entry in row.evidence} <= events
        assert row.last_confirmed.isoformat() in {entry["timestamp"] for entry in row.evidence}
        assert row.since_night == first

    units = {(row.stage, row.key): row.input_hash for row in project.rows(Unit) if row.stage != "score"}
    assert project.run(day=later).coverage == 1.0
    assert asked() == 0
    assert {(row.stage, row.key): row.input_hash for row in project.rows(Unit) if row.stage != "score"} == units

    interest = min(held.values(), key=lambda row: row.id)
    item = next(entry["item_id"] for entry in interest.evidence if "item_id" in entry)
    moment = datetime(2026, 11, 1, 20, tzinfo=UTC)
    event = {"user_id": interest.user_id, "timestamp": moment, "behaviour": "favourite", "item_id": item}
    project.add_events([{**event, "query": None, "value": None}])
    summary = project.run(day=later + timedelta(days=1))
    assert summary.stages[0].counts["untouched"] == summary.stages[0].counts["units"] - 1
    (kept,) = project.rows(Interest, Interest.id == interest.id)
    assert kept.last_confirmed == moment
    assert [entry["night"] for entry in kept.evidence if entry["timestamp"] == moment.isoformat()] == ["2026-11-02"]

    reads(project, interest.user_id, first)


def reads(project: Any, user: str, first: date) -> None:
    """Every command that only looks, on what the nights made."""
    folder = project.folder
    night = ("--date", str(first))
    past, present = (json.loads(recgpt(folder, "show", user, *when, "--json")) for when in (night, ()))
    assert past["interests"]
    assert past["interests"] != present["interests"]
    mine = Recommendation.user_id == user, Recommendation.night == first, Recommendation.rank == 1
    (top,) = project.rows(Recommendation, *mine)
    trace = json.loads(recgpt(folder, "why", user, top.item_id, *night, "--json"))
    assert (trace["night"], trace["rank"], trace["towers"]["version"]) == (str(first), 1, top.model_version)
    request = project.rows(Tag, Tag.user_id == user)[0].request_hash
    assert request in recgpt(folder, "request", request)
    assert [run["state"] for run in json.loads(recgpt(folder, "runs", "--json"))] == ["done"] * 3
    assert f"{project.store.url.render_as_string()} at migration" in recgpt(folder, "doctor").replace("\n", "")
    assert json.loads(recgpt(folder, "nightly", "--dry-run", "--date", "2026-11-02", "--json"))["dry_run"]


@pytest.mark.parametrize("url", ["postgres://u:secret@h/d", "mysql://u:secret@h/d", "nothing+at_all://u:secret@h/d"])
def test_a_database_without_its_driver_is_a_wrong_call_that_says_what_to_install(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"postgresql\+psycopg://.*recgpt\[postgres\]") as caught:
        store_at(url, tmp_path)
    assert "secret" not in str(caught.value)
