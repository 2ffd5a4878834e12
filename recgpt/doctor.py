"""`recgpt doctor`: what a night needs, looked at one by one, with the remedy for whatever is not so."""

import asyncio
import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, text

from recgpt.config import Config
from recgpt.engine.open import open_engine
from recgpt.errors import ConfigError, DataError, RecgptError, StoreError, disk_faults
from recgpt.serving import Serving, serving
from recgpt.sources.prepare import prepare
from recgpt.store.faults import BROKEN
from recgpt.store.session import known, open_store, revisions
from recgpt.vectors import Encoder

PACKAGES = ("recgpt", "prompts", "judges", "towers", "cli")
ROOM = 2**20  # bytes that are written to see whether they can be


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    found: str  # what is there, or the fault with its remedy


def examine(config: Config) -> list[Check]:
    """Every check, in the order in which a night meets them. Never raises for what is wrong; that is its result."""
    checks: tuple[tuple[str, Callable[[Config], str]], ...] = (
        ("packages", _packages),
        ("disk", _disk),
        ("logs", _logs),
        ("store", _store),
        ("encoder", _encoder),
        ("engine", _engine),
    )
    results = []
    for name, check in checks:
        try:
            with disk_faults():
                results.append(Check(name, True, check(config)))
        except RecgptError as error:
            results.append(Check(name, False, str(error)))
    return results


def _packages(_: Config) -> str:
    """The five packages have common names; another distribution's `prompts` must not stand in for ours."""
    places = {}
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        places[name] = str(Path(spec.origin).parent.parent) if spec and spec.origin else "nowhere"
    home = places["recgpt"]
    strangers = [f"{name} from {place}" for name, place in places.items() if place != home]
    if strangers:
        raise DataError(
            f"recgpt lies in {home}, but {', '.join(strangers)}: install recgpt in a virtual environment of its own"
        )
    return f"all five from {home}"


def _disk(config: Config) -> str:
    config.work_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=config.work_folder) as file:
        file.write(bytes(ROOM))
    return f"{shutil.disk_usage(config.work_folder).free / 2**30:,.1f} GiB free in {config.work_folder}"


def _logs(config: Config) -> str:
    counts = prepare(config).counts
    return ", ".join(f"{table}: {entry['kept']:,} rows" for table, entry in counts.items())


def _store(config: Config) -> str:
    """Its migration, whether SQLite finds it whole (which reads all of it), and whether it may be written."""
    store = open_store(config, migrate=False)
    here, newest = revisions(store)
    if here != newest:
        known(store, here)
        raise StoreError(
            f"the store is at migration {here or 'none'}, the newest is {newest}: 'recgpt nightly' migrates it"
        )
    with store.connect() as connection:
        if store.dialect.name == "sqlite":
            damage = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
            if damage != "ok":
                raise StoreError(f"the store is damaged ({damage}): {BROKEN}")
        connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
        connection.rollback()
    return f"{store.url.render_as_string(hide_password=True)} at migration {here}"


def _encoder(config: Config) -> str:
    vector = Encoder(config.encoder_path, config.work_folder / "vectors").encode(["a bath thermometer"])
    return f"{config.encoder_path}, {vector.shape[1]} numbers a text"


def _engine(config: Config) -> str:
    return asyncio.run(_ask(config))


async def _ask(config: Config) -> str:
    nothing = create_engine("sqlite://")  # the ledger is not written to, so the engine is seen whatever the store is
    async with open_engine(config, nothing, served=_served(config)) as model:
        return f"{config.engine.kind}: {model.model} ({model.revision})"


def _served(config: Config) -> Serving:
    """What is promoted, where the store can say so; if it can't, `_store` says why."""
    try:
        store = open_store(config, migrate=False)
        here, newest = revisions(store)
        return serving(store, config) if here == newest else Serving()
    except (ConfigError, StoreError):
        return Serving()
