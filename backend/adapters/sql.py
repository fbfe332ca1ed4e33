"""SQL through SQLAlchemy, on SQLite or Postgres: one engine for all adapters that keep tables."""

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import SQLITE_BUSY, SQLITE_LOCKED
from sqlite3 import OperationalError as SqliteError
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from backend.adapters.migrations import bring_up_to_date
from backend.errors import ConfigurationError

CHUNK = 500
"""Ids in one IN (...): SQLite allows 999 variables in old builds."""
BUSY_TIMEOUT_MS = 30_000
"""How long SQLite waits for another process's write."""
PRIMARY_CODE = 0xFF
"""Bits of SQLite's result codes that say what happened, the others how."""
ROWS = 5000
"""Rows in one INSERT of many: SQLAlchemy splits them further, so this only bounds memory."""

Item = TypeVar("Item")


class Sql:
    """A database. It is opened, and tables are made, when they are first used."""

    def __init__(self, url: str, *, makes_database: bool = True) -> None:
        """`url` is SQLAlchemy's. `makes_database`: an SQLite file that isn't there is made."""
        self._url = url
        self._makes_database = makes_database
        self._engine: Engine | None = None
        self._is_up_to_date = False
        self._opening = threading.Lock()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction. The first one brings the schema up to date before it begins.

        Raises:
            ConfigurationError: the database doesn't answer, or refuses; the message has no password.
            IntegrityError: a key is there already.
        """
        with _named_errors(), self._open().begin() as connection:
            yield connection

    @contextmanager
    def begin_alone(self, name: str) -> Iterator[Connection]:
        """As `begin`; in it no other transaction of the same name runs, in any process.

        What it reads stays true until it ends, as far as others change that under the same name only. On SQLite there
        is one writer at a time anyway, and the write lock is taken at once: a transaction that reads first and wants
        to write later is refused at once ("database is locked") when another has written between.
        """
        with self.begin() as connection:
            lock(connection, name)
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A transaction that only reads, and sees nothing of what others write meanwhile."""
        with _named_errors():
            engine = self._open()
            level = "SERIALIZABLE" if engine.dialect.name == "sqlite" else "REPEATABLE READ"
            with engine.connect().execution_options(isolation_level=level) as connection:
                if engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN")
                yield connection

    @contextmanager
    def begin_as_it_is(self) -> Iterator[Connection]:
        """A transaction in which nobody else brings the schema up to date, on whatever is there. Commit it yourself."""
        with _named_errors(), self._connect().connect() as connection:
            lock(connection, "tables")
            yield connection

    def _open(self) -> Engine:
        engine = self._connect()
        with self._opening:
            if not self._is_up_to_date:
                # Processes that start together all do this: one after the other, and wholly or not at all.
                with engine.begin() as connection:
                    lock(connection, "tables")
                    bring_up_to_date(connection)
                self._is_up_to_date = True
        return engine

    def _connect(self) -> Engine:
        with self._opening:
            if self._engine is None:
                if self._url.startswith("sqlite:///"):
                    path = Path(self._url.removeprefix("sqlite:///"))
                    if not self._makes_database and not path.exists():
                        raise ConfigurationError(
                            f"Nothing is there yet: no database {path}. Start `prelabel up`, then `prelabel connect "
                            "PROJECT`; or set MODEL_DIR (DATABASE_URL) to where your installation is."
                        )
                    _make_folder(path.parent)
                engine = create_engine(self._url, pool_pre_ping=True, hide_parameters=True)
                if engine.dialect.name == "sqlite":
                    event.listen(engine, "connect", _prepare_sqlite)
                self._engine = engine
            return self._engine


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise ConfigurationError(f"The database (DATABASE_URL) failed: {type(cause).__name__}: {cause}") from error


def lock(connection: Connection, name: str) -> None:
    """Wait until no other transaction has the lock of this name, and hold it until this one ends."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        connection.execute(select(func.pg_advisory_xact_lock(number)))


def save(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *, replace: bool = True) -> None:
    """Insert rows; one whose primary key is there replaces the old one, or is left out (`replace` False)."""
    if not rows:
        return
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement: Any = insert(table)
    if replace:
        changed = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
        statement = statement.on_conflict_do_update(index_elements=table.primary_key.columns, set_=changed)
    else:
        statement = statement.on_conflict_do_nothing()
    for chunk in chunks(rows, ROWS):
        connection.execute(statement, chunk)


def chunks(items: Sequence[Item], size: int = CHUNK) -> Iterator[Sequence[Item]]:
    """Parts of at most `size` items, in order."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder} can't be made ({error.strerror}): correct MODEL_DIR.") from error


def _prepare_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    give_up_at = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            # WAL lets the web service read while a worker writes.
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except SqliteError as error:
            # Of processes that open a new database together one changes this, and SQLite doesn't let the others wait.
            is_busy = error.sqlite_errorcode & PRIMARY_CODE in {SQLITE_BUSY, SQLITE_LOCKED}
            if not is_busy or time.monotonic() > give_up_at:
                raise
            time.sleep(0.05)
    cursor.close()
