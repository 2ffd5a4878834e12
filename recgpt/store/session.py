"""Opening the store: one function, any SQLAlchemy URL, the newest migration or a clear refusal.

SQLite runs in WAL mode with synchronous=NORMAL: a killed process loses nothing that was committed, and a reader never
waits for the night.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from recgpt.config import Config
from recgpt.errors import ConfigError, StoreError
from recgpt.store import faults
from recgpt.store.tables import Base

BUSY_TIMEOUT_MS = 30_000


def open_store(config: Config, *, migrate: bool = True) -> Engine:
    """Connect to the config's store and, unless told otherwise, bring it to the newest migration.

    Raises:
        ConfigError: the URL is not one, or its driver is not installed.
        StoreError: the database can't be reached, or was made by a newer recgpt.
    """
    try:
        url = make_url(config.store.url)
    except ArgumentError:
        raise ConfigError(f"store.url is not an SQLAlchemy URL: {config.store.url!r}") from None
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        file = Path(config.folder, url.database)
        file.parent.mkdir(parents=True, exist_ok=True)
        url = url.set(database=str(file))
    engine = connect(url)
    if migrate:
        bring_up(engine)
    return engine


def connect(url: URL) -> Engine:
    """An engine with our settings for SQLite, whose faults are `StoreError`s (see `faults`). Opens nothing yet.

    Raises:
        ConfigError: the URL's driver is not installed.
    """
    try:
        engine = create_engine(url)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigError(
            f"store.url begins with {url.drivername!r}, whose driver is not here ({error}): for PostgreSQL begin it "
            "with postgresql+psycopg:// and run: pip install 'recgpt[postgres]'"
        ) from None
    faults.translate(engine)
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _sqlite_pragmas)
    return engine


def bring_up(engine: Engine) -> None:
    """Bring a store to the newest migration.

    Raises:
        StoreError: the database can't be reached, or was made by a newer recgpt.
    """
    here, newest = revisions(engine)
    if here != newest:
        _upgrade(engine)


def revisions(engine: Engine) -> tuple[str | None, str | None]:
    """The migration the store is at, and the newest one."""
    with engine.connect() as connection:
        return _revision(connection), _scripts().get_current_head()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _alembic() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_alembic())


def known(database: Engine | Connection, here: str | None) -> None:
    """Raises StoreError for what this recgpt must not touch: a newer one's store, or another program's tables."""
    taken = [name for name in inspect(database).get_table_names() if here is None and name in Base.metadata.tables]
    if taken:
        raise StoreError(
            f"the store has tables that recgpt did not make ({', '.join(taken)}): set store.url to a database of "
            "recgpt's own"
        )
    ours = {script.revision for script in _scripts().walk_revisions()}
    if here is not None and here not in ours:
        raise StoreError(f"the store is at migration {here}, which this recgpt does not know: upgrade recgpt")


def _upgrade(engine: Engine) -> None:
    config = _alembic()
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            # Else Python's driver commits after each statement, and a full disk would leave half of the tables.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif engine.dialect.name == "postgresql":
            # Two numbers, so that it is never the lock of `alone`, which has one.
            connection.execute(text("select pg_advisory_xact_lock(hashtext('recgpt migrates'), 0)"))
        known(connection, _revision(connection))  # only now: another process may have migrated in the meantime
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _sqlite_pragmas(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
