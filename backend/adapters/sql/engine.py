"""SQL through SQLAlchemy, on SQLite or Postgres: one engine for all adapters that keep tables."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import SQLITE_BUSY, SQLITE_LOCKED
from sqlite3 import OperationalError as SqliteError
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event, func, make_url, select, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from backend.adapters.sql.installation import SQLITE_FILES, Identity, Installation, identities, note, noted
from backend.adapters.sql.migrations import bring_up_to_date
from backend.errors import ConfigurationError, ReadOnlyDatabase

CHUNK = 500
"""Ids in one IN (...): SQLite allows 999 variables in old builds."""
BUSY_TIMEOUT_MS = 30_000
"""How long SQLite waits for another process's write."""
CONNECT_S = 10
"""How long a server may take to accept a connection, unless the address says otherwise (`?connect_timeout=`)."""
PRIMARY_CODE = 0xFF
"""Bits of SQLite's result codes that say what happened, the others how."""
CHECK_EACH_S = 1.0
ROWS = 5000
"""Rows in one INSERT of many: SQLAlchemy splits them further, so this only bounds memory."""

Item = TypeVar("Item")


class Sql:
    """A database. It is opened, and tables are made, when they are first used."""

    def __init__(self, url: str, installation: Installation | None = None, *, makes_database: bool = True) -> None:
        """`url` is SQLAlchemy's. With an `installation`, a database that isn't its own is refused. `makes_database`: an
        SQLite file that isn't there is made."""
        self._url = url
        self._installation = installation
        self._makes_database = makes_database
        parsed = make_url(url)
        is_file = parsed.get_backend_name() == "sqlite" and parsed.database not in {None, "", ":memory:"}
        self._file = Path(str(parsed.database)) if is_file else None
        self._files: Mapping[str, Identity] = {}
        """What the file was when it was opened."""
        self._checked_at = 0.0
        self._engine: Engine | None = None
        self._is_up_to_date = False
        self._opening = threading.Lock()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction. The first one brings the schema up to date before it begins.

        Raises:
            ConfigurationError: the database doesn't answer, or refuses; the message has no password.
            WrongDatabase: it isn't the installation's own.
            IntegrityError: a key is there already.
        """
        with _named_errors(), self._open().begin() as connection:
            self._check(connection)
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
                self._check(connection)
                if engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN")
                yield connection

    @contextmanager
    def begin_as_it_is(self) -> Iterator[Connection]:
        """A transaction in which nobody else brings the schema up to date, on whatever is there. Commit it yourself."""
        with _named_errors(), self._connect().connect() as connection:
            lock(connection, "tables")
            yield connection

    def check_writable(self, connection: Connection) -> None:
        """Raise ReadOnlyDatabase if a process that opens the database now can't write. Locks nothing.

        A connection that is open already writes on when a file's mode is changed, so it can't be asked.
        """
        if self._file is not None:
            files = [self._file.with_name(f"{self._file.name}{ending}") for ending in SQLITE_FILES]
            for path in (self._file.parent, *filter(Path.exists, files)):
                if not os.access(path, os.W_OK):
                    raise ReadOnlyDatabase(f"The database can't be written to: {path} is read-only for this user.")
        elif connection.dialect.name == "postgresql" and connection.scalar(text("SHOW transaction_read_only")) == "on":
            raise ReadOnlyDatabase("The database (DATABASE_URL) takes no writes: is this a standby, or set read-only?")

    def note(self) -> None:
        """Let the processes that are forked from this one refuse another database file, or an emptied MODEL_DIR."""
        if self._installation is not None:
            self._installation.note()
            if self._file is not None:
                note(self._file)

    def _open(self) -> Engine:
        self._check_files()
        engine = self._connect()
        with self._opening:
            if not self._is_up_to_date:
                # Processes that start together all do this: one after the other, and wholly or not at all.
                with engine.begin() as connection:
                    lock(connection, "tables")
                    found = self._installation.agree(connection) if self._installation is not None else ""
                    bring_up_to_date(connection)
                if self._installation is not None:
                    self._installation.keep(found)
                if self._file is not None:
                    # The connection stays open in the pool, and with it these files.
                    self._files = identities(self._file)
                self._is_up_to_date = True
        return engine

    def _check_files(self) -> None:
        """Raise WrongDatabase when there is no file, or another one, where the database's was."""
        if self._file is None or self._installation is None:
            return
        now = identities(self._file)
        if not self._is_up_to_date and not now and self._installation.is_known:
            # SQLite would make an empty one.
            raise self._installation.wrong(f"is gone: there is no file {self._file}")
        for ending, identity in (self._files or noted(self._file)).items():
            if now.get(ending) != identity:
                raise self._installation.wrong(f"was deleted or replaced while it was in use: {self._file}{ending}")

    def _check(self, connection: Connection) -> None:
        """Raise WrongDatabase when this is another installation's. Asked now and then: it is a question of its own."""
        if self._installation is not None and time.monotonic() - self._checked_at > CHECK_EACH_S:
            self._installation.check(connection)
            self._checked_at = time.monotonic()

    def _connect(self) -> Engine:
        with self._opening:
            if self._engine is None:
                if self._file is not None:
                    if not self._makes_database and not self._file.exists():
                        raise ConfigurationError(
                            f"Nothing is there yet: no database {self._file}. Start `prelabel up`, then `prelabel "
                            "connect PROJECT`; or set MODEL_DIR (DATABASE_URL) to where your installation is."
                        )
                    _make_folder(self._file.parent)
                engine = create_engine(
                    self._url, pool_pre_ping=True, hide_parameters=True, connect_args=_connect_arguments(self._url)
                )
                if engine.dialect.name == "sqlite":
                    event.listen(engine, "connect", _prepare_sqlite)
                self._engine = engine
            return self._engine


def _connect_arguments(url: str) -> dict[str, int]:
    """What a driver is told besides the address. A server that accepts and says nothing would be waited for forever."""
    parsed = make_url(url)
    is_set = "connect_timeout" in parsed.query
    return {} if is_set or parsed.get_backend_name() == "sqlite" else {"connect_timeout": CONNECT_S}


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


def _insert(connection: Connection, table: Table) -> Any:
    # Postgres' dialect alone takes a tenth of what a command needs to start; most installations have SQLite.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert  # noqa: PLC0415 - see above
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]  # noqa: PLC0415
    return insert(table)


def save(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *, replace: bool = True) -> None:
    """Insert rows; one whose primary key is there replaces the old one, or is left out (`replace` False)."""
    if not rows:
        return
    statement: Any = _insert(connection, table)
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
