"""Which installation a database and a MODEL_DIR belong to, so that one isn't taken for another's.

Both hold the same random id: the database in a table of its own, MODEL_DIR in the file `installation`. The table is no
part of the schema and of backups: a restored database stays the one that it was.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import structlog
from sqlalchemy import Column, Connection, MetaData, String, Table, insert, inspect, select

from backend.errors import ConfigurationError, WrongDatabase

FILE = "installation"
GONE = "is there, but MODEL_DIR was deleted or emptied"
ID_BYTES = 16
SQLITE_FILES = ("", "-wal")
"""Endings of the files that a SQLite database is made of while it is open. Its `-shm` is made anew from these."""

Identity = tuple[int, int]
"""Device and number of a file: another file of the same name has another one."""

_noted: dict[Path, Identity] = {}
"""Files that this process has seen, or the one that it was forked from: a job's process lives for one job."""
_table = Table("installation", MetaData(), Column("id", String(2 * ID_BYTES), primary_key=True))
log = structlog.get_logger()


class Installation:
    """The id of a MODEL_DIR, compared with that of a database."""

    def __init__(self, root: Path) -> None:
        """`root`: MODEL_DIR."""
        self._path = root / FILE

    @property
    def is_known(self) -> bool:
        """Whether MODEL_DIR was used before, with some database."""
        return self._own_id() is not None

    def note(self) -> None:
        """Let the processes that are forked from this one refuse a MODEL_DIR that was emptied."""
        note(self._path)

    def agree(self, connection: Connection, *, by_force: bool = False) -> str:
        """The id that both have from now on. The caller holds the lock of the tables, commits, and calls `keep`.

        A database without an id takes part in a new installation, a MODEL_DIR without one in the database's. By force,
        MODEL_DIR's id goes into whatever database this is.

        Raises:
            WrongDatabase: they belong to different installations.
        """
        ours, theirs = self._own_id(), self._id_in(connection)
        if ours is None and noted(self._path):
            raise self.wrong(GONE)
        if by_force or (ours is None and theirs is None):
            found = ours or theirs or secrets.token_hex(ID_BYTES)
            _table.create(connection, checkfirst=True)
            connection.execute(_table.delete())
            connection.execute(insert(_table).values(id=found))
            return found
        if theirs is None:
            raise self.wrong("is empty, or of another installation")
        if ours not in {None, theirs}:
            raise self.wrong("belongs to another installation")
        return theirs

    def keep(self, found: str) -> None:
        """Write the id into MODEL_DIR, unless one is there."""
        if self._own_id() is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{FILE}-{os.getpid()}-{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(f"{found}\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            raise ConfigurationError(f"{self._path} can't be written ({error.strerror}): correct MODEL_DIR.") from error
        finally:
            temporary.unlink(missing_ok=True)

    def check(self, connection: Connection) -> None:
        """Raise WrongDatabase unless a database and MODEL_DIR still belong together."""
        ours = self._own_id()
        if ours is None:
            raise self.wrong(GONE)
        if self._id_in(connection) != ours:
            raise self.wrong("belongs to another installation")

    def wrong(self, what: str) -> WrongDatabase:
        """The error that says what is wrong with the database, and what to do; it is logged, too."""
        error = WrongDatabase(
            f"The database (DATABASE_URL) {what}. Nothing is written to it. Stop the services, put the right one back "
            "or restore a backup (`prelabel restore FILE --force`), and start them. To go on with what is there on "
            f"purpose, delete the file {self._path} while they are stopped."
        )
        log.error("wrong database", error=str(error))
        return error

    def _own_id(self) -> str | None:
        try:
            return self._path.read_text().strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{self._path} can't be read: correct MODEL_DIR and its permissions.") from error

    @staticmethod
    def _id_in(connection: Connection) -> str | None:
        if not inspect(connection).has_table(_table.name):
            return None
        found: str | None = connection.scalar(select(_table.c.id))
        return found


def identities(path: Path) -> Mapping[str, Identity]:
    """The files that a SQLite database is made of now, by their endings."""
    found = {}
    for ending in SQLITE_FILES:
        try:
            status = path.with_name(f"{path.name}{ending}").stat()
        except OSError:
            continue
        found[ending] = (status.st_dev, status.st_ino)
    return found


def note(path: Path) -> None:
    """Remember which file this is, for the processes that are forked from this one."""
    identity = identities(path).get("")
    if identity is not None:
        _noted.setdefault(path, identity)


def noted(path: Path) -> Mapping[str, Identity]:
    """What was noted of a file; {} for nothing."""
    return {"": _noted[path]} if path in _noted else {}
