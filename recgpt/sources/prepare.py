"""From the owner's lake to logs that the stages can read: checked, sorted, counted.

`prepare` writes `work/logs/` (a folder of three Parquet files and, last, `manifest.json`, which names that folder) and
`work/rejects/<table>.jsonl`. It never changes the lake. While files and settings are those of the manifest it does
nothing; otherwise a new folder is made beside the old one and the manifest replaced in one step, so that a kill at any
moment leaves the former state whole. Bad rows never stop it until they pass `data.max_reject_share`; a file that can't
be read always does. Memory does not grow with users or events, only with items.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recgpt.config import Config
from recgpt.errors import DataError
from recgpt.sources import tables
from recgpt.sources.checks import FUTURE_SLACK, IN_FUTURE, TOO_EARLY, UNKNOWN_BEHAVIOUR, Checks
from recgpt.sources.logs import EVENT_GROUP, EVENT_SCHEMA, MANIFEST, USER_GROUP, Logs
from recgpt.sources.tables import SEQ, Table

FORMAT: Final = 1  # of what is written; another one is prepared anew
ITEM_GROUP: Final = 32_768

REMEDIES: Final[Mapping[str, str]] = {
    "not UTF-8": "convert the file, for instance with iconv -f latin1 -t utf-8",
    "unknown user": "add the users to the users table",
    "unknown item": "add the items to the items table",
    "no timestamp": "is the right column named in data.columns.events.timestamp?",
    "unreadable timestamp": "wanted: a timestamp column, ISO 8601 text, or seconds or milliseconds since 1970",
    TOO_EARLY: "a clock that was never set? else set data.earliest",
    IN_FUTURE: "a wrong clock or unit",
    "no behaviour": "is the right column named in data.columns.events.behaviour?",
    "neither item_id nor query": "are the right columns named in data.columns.events?",
}


def prepare(config: Config) -> Logs:
    """Check, sort and write the logs if anything changed; open them.

    Raises:
        DataError: a table can't be read, holds no usable row, or has more bad rows than `data.max_reject_share`. What
            was prepared before is left as it was.
    """
    home = config.work_folder / "logs"
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home):
        read = (tables.users(config), tables.items(config), tables.events(config))
        found = {table.name: tables.find(table, config.folder) for table in read}
        state = _state(config, {name: files.files for name, files in found.items()})
        if not _is_current(home, state):
            for left in home.iterdir():  # of a run that was killed, or a former state that was in use till now
                if left.is_dir() and left.name != _current_folder(home):
                    _discard(left)
            with tempfile.TemporaryDirectory(dir=home, prefix=".new-", ignore_cleanup_errors=True) as new:
                try:
                    made = _make(config, Path(new), read, found)
                    _swap(home, Path(new), {**state, **made})
                except (duckdb.Error, OSError) as error:
                    raise DataError(
                        f"preparing the logs failed: {error}. Is there room and permission to write in {home}? "
                        "What was prepared before is untouched"
                    ) from error
        return Logs(home)


def _make(config: Config, folder: Path, read: Sequence[Table], found: Mapping[str, tables.Found]) -> dict[str, Any]:
    """Write the three files into `folder`/logs; returns what the manifest says beside the state."""
    now = datetime.now(UTC)
    scratch, out = folder / "scratch", folder / "logs"
    scratch.mkdir()
    out.mkdir()
    counts: dict[str, Any] = {}
    checks = Checks(scratch)
    try:
        for table in read:
            batches = tables.batches(table, found[table.name].files)
            if table.name == "events":
                checks.events(table, batches, config.behaviours, config.data.earliest, now)
            else:
                checks.keyed(table, batches)
            counts[table.name] = _counted(config, checks, table, found[table.name])
        _write(out / "items.parquet", checks.sorted_items(ITEM_GROUP))
        _write(out / "events.parquet", map(_event_group, checks.sorted_events(EVENT_GROUP)))
        first_ids: list[str] = []
        users = checks.sorted_users(len(config.data.base_features), USER_GROUP)
        _write(out / "users.parquet", _user_groups(users, first_ids))
        soonest = checks.first_future()
    finally:
        checks.close()
    slack = FUTURE_SLACK // timedelta(microseconds=1)
    return {"counts": counts, "first_ids": first_ids, "stale_at": None if soonest is None else soonest - slack}


def _counted(config: Config, checks: Checks, table: Table, found: tables.Found) -> dict[str, Any]:
    """Count a table, write its rejects, and stop if there are too many."""
    counts: dict[str, Any] = {"files": len(found.files), **checks.counts(table)}
    if found.others:
        counts["notes"]["files of another format, not read"] = found.others
    file = config.work_folder / "rejects" / f"{table.name}.jsonl"
    _write_rejects(file, checks.rejects(table), found.files)
    read, kept = counts["read"], counts["kept"]
    if read == 0:
        raise DataError(f"{table.name}: no rows in {_few(found.files)}. Is data.{table.name} in recgpt.toml right?")
    share, limit = (read - kept) / read, config.data.max_reject_share
    if share <= limit and kept:
        return counts
    reasons = "".join(f"\n  {count:,} {reason}{_remedy(reason)}" for reason, count in counts["rejected"].items())
    raise DataError(
        f"{table.name}: {read - kept:,} of {read:,} rows rejected ({share:.1%}), "
        + (f"more than data.max_reject_share = {limit} allows" if share > limit else "so none is left")
        + f":{reasons}\nEach row is named in {file}. Mend the source or the config"
        + (", or raise data.max_reject_share in recgpt.toml" if kept else "")
    )


def _remedy(reason: str) -> str:
    if reason.startswith(UNKNOWN_BEHAVIOUR):
        name = reason.removeprefix(UNKNOWN_BEHAVIOUR).strip(" '")
        return f": add [behaviours.{name if name.isidentifier() else json.dumps(name, ensure_ascii=False)}]"
    return f": {REMEDIES[reason]}" if reason in REMEDIES else ""


def _few(files: Sequence[Path]) -> str:
    return str(files[0]) + (f" and {len(files) - 1} more files" if len(files) > 1 else "")


def _write_rejects(file: Path, rejects: Iterator[pa.RecordBatch], files: Sequence[Path]) -> None:
    """One line a refused row: reason, file, row (from 1; of a text file the line), and the keys that it had."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    with new.open("w", encoding="utf-8") as out:
        for batch in rejects:
            for row in batch.to_pylist():
                seq = row.pop(SEQ)
                where = {
                    "file": tables.printable(str(files[seq >> tables.ROW_BITS])),
                    "row": seq & ((1 << tables.ROW_BITS) - 1),
                }
                keys = {name: value[:300] for name, value in row.items() if name != "reason" and value is not None}
                out.write(json.dumps({"reason": row["reason"], **where, **keys}, ensure_ascii=False) + "\n")
    new.replace(file)


def _event_group(batch: pa.RecordBatch) -> pa.RecordBatch:
    seconds = np.floor_divide(batch["time"].to_numpy(), 1_000_000)
    columns = [batch["user"], batch["item"], batch["behaviour"], seconds, batch["value"], batch["query"]]
    return pa.record_batch(
        [pa.array(column).cast(field.type) for column, field in zip(columns, EVENT_SCHEMA, strict=True)],
        schema=EVENT_SCHEMA,
    )


def _user_groups(batches: Iterator[pa.RecordBatch], first_ids: list[str]) -> Iterator[pa.RecordBatch]:
    """Users with `first`, the place of their first event, added; notes the first user_id of every group."""
    place = 0
    for batch in batches:
        counts = batch["events"].to_numpy()
        ends = place + np.cumsum(counts, dtype=np.int64)
        first_ids.append(batch["user_id"][0].as_py())
        yield batch.append_column("first", pa.array(ends - counts, pa.int64()))
        place = int(ends[-1])


def _write(path: Path, batches: Iterator[pa.RecordBatch]) -> None:
    """One row group a batch."""
    writer = None
    for batch in batches:
        writer = writer or pq.ParquetWriter(path, batch.schema, compression="zstd")
        writer.write_batch(batch, row_group_size=len(batch))
    assert writer is not None  # a table without usable rows has raised before
    writer.close()


def _state(config: Config, files: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """All that decides what is written, as JSON: settings, and the files with their sizes and times."""
    inputs = {name: [[str(file), *_stamp(file)] for file in found] for name, found in files.items()}
    settings = {"data": config.data.model_dump(mode="json"), "behaviours": list(config.behaviours)}
    return {"format": FORMAT, "config": settings, "inputs": inputs}


def _stamp(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


def _manifest(home: Path) -> dict[str, Any]:
    try:
        found = json.loads((home / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _current_folder(home: Path) -> str | None:
    return _manifest(home).get("folder")


def _is_current(home: Path, state: Mapping[str, Any]) -> bool:
    manifest = _manifest(home)
    if any(manifest.get(key) != value for key, value in state.items()):
        return False
    now = datetime.now(UTC).timestamp() * 1e6
    if manifest["stale_at"] is not None and manifest["stale_at"] < now:
        return False  # an event that was refused for lying in the future has happened by now
    folder = home / manifest["folder"]
    return all((folder / f"{name}.parquet").is_file() for name in ("users", "items", "events"))


def _swap(home: Path, new: Path, manifest: Mapping[str, Any]) -> None:
    """Make the new state the current one: its folder first, then, in one step, the manifest that names it."""
    old = _current_folder(home)
    name = new.name.removeprefix(".new-")
    (new / "logs").rename(home / name)
    (new / MANIFEST).write_text(json.dumps({"folder": name, **manifest}, indent=1), encoding="utf-8")
    os.replace(new / MANIFEST, home / MANIFEST)
    if old is not None:
        _discard(home / old)


def _discard(folder: Path) -> None:
    """Remove a state, unless some `Logs`, in this process or another, still reads it: then a later run does."""
    try:
        held = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(held)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One preparation at a time; the next waits, then finds the work done. The lock dies with its process."""
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
