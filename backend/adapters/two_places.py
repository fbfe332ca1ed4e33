"""A short text for each project that is kept in SQL and, for one more release, in a file of `MODEL_DIR` as well.

Earlier releases know the file only. So that going back to one of them works, each change is written to both: the file
first, then SQL, with the file's own time. Where the two differ, somebody was killed between these, or an earlier
release, which changes the file alone, was at work: the file counts, unless it is older than the one that SQL knows of
(a copy that was put back with its times, or another machine's that isn't seen yet). `settle`, with which each job
begins, makes both places say the same. A file that is missing or damaged says nothing: SQL holds what it said.

Suggestions don't need the database: while it doesn't answer, the file is read.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog
from sqlalchemy import Connection

from backend.adapters.files import replace_synced
from backend.adapters.sql.engine import Sql
from backend.errors import BackendError, ConfigurationError, WrongDatabase

ANSWER_S = 1.0
"""How long the database may take for an answer that the file can give as well."""
SILENT_S = 5.0
"""A database that took longer isn't asked again for so long."""
SILENT = "The database (DATABASE_URL) doesn't answer."

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kept:
    """What a place says. at: the file's time of change, in seconds since the epoch; 0 where SQL doesn't know it."""

    text: str
    at: float


class Rows(Protocol):
    """Where such texts are kept in SQL."""

    def read(self, connection: Connection, key: str) -> Kept | None:
        """What is kept of a project."""

    def write(self, connection: Connection, key: str, kept: Kept) -> None:
        """Insert or replace it."""


class TwoPlaces:
    """Keeps one kind of text in SQL and in files."""

    def __init__(self, sql: Sql, rows: Rows, root: Path, name: str, is_whole: Callable[[str], bool]) -> None:
        """`root`: MODEL_DIR. `name`: the file's in a project's folder. `is_whole` tells a file from a damaged one."""
        self._sql = sql
        self._rows = rows
        self._root = root
        self._name = name
        self._is_whole = is_whole
        self._silent_until = 0.0
        self._hanging: threading.Thread | None = None
        """Asked last, and got no answer yet."""

    def has_folder(self, key: str) -> bool:
        """Whether MODEL_DIR has anything of a project."""
        return self._path(key).parent.is_dir()

    def read(self, key: str) -> str | None:
        """What is kept of a project; None for nothing. Never waits long.

        Raises:
            ConfigurationError: there is no file, and the database doesn't answer.
            OSError: the file can't be read, and the database has nothing.
        """
        recorded, failure = self._ask(key)
        try:
            filed = self._filed(key)
        except OSError:
            if recorded is None:
                raise
            return recorded.text
        if failure is not None and filed is None:
            raise failure
        found = self._later(filed, recorded)
        return None if found is None else found.text

    def write(self, key: str, text: str) -> None:
        """Keep a text in both places; while the database doesn't answer, in the file, from where a job takes it over.

        Raises:
            WrongDatabase: the database isn't ours. Nothing was written.
            OSError: the file can't be written.
        """
        try:
            self._refuse_while_silent()
            with self._sql.begin_alone(f"{self._name} {key}") as connection:
                said = (self._rows.read(connection, key), self._filed(key))
                if not all(kept is not None and kept.text == text for kept in said):
                    at = self._write_file(key, text)
                    self._rows.write(connection, key, Kept(text, at))
        except WrongDatabase:
            raise
        except ConfigurationError as error:
            self._write_file(key, text)
            log.warning("kept in MODEL_DIR, for SQL fails", what=self._name, project=key, error=str(error))

    def settle(self, key: str) -> None:
        """Make both places say what was said last.

        Raises:
            ConfigurationError: the database doesn't answer, or isn't ours.
        """
        with self._sql.begin_alone(f"{self._name} {key}") as connection:
            recorded = self._rows.read(connection, key)
            try:
                filed = self._filed(key)
                found = self._later(filed, recorded)
                if found is None or (filed is not None and recorded is not None and filed.text == recorded.text):
                    return
                if found is filed and self._is_whole(filed.text):
                    self._rows.write(connection, key, filed)
                    log.info("taken over from MODEL_DIR into SQL", what=self._name, project=key)
                elif found is recorded:
                    self._write_file(key, found.text)
                    log.warning("a file was missing, damaged or old: SQL counts", what=self._name, project=key)
            except OSError as error:
                log.error("a file can't be read or written", what=self._name, project=key, error=error.strerror)

    def _later(self, filed: Kept | None, recorded: Kept | None) -> Kept | None:
        """What counts of what the file and SQL say."""
        if filed is None or recorded is None:
            return filed or recorded
        is_changed = filed.text != recorded.text and self._is_whole(filed.text)
        return filed if is_changed and filed.at >= recorded.at else recorded

    def _path(self, key: str) -> Path:
        return self._root / "projects" / key / self._name

    def _filed(self, key: str) -> Kept | None:
        try:
            with self._path(key).open("rb") as file:
                return Kept(file.read().decode(errors="replace").strip(), os.fstat(file.fileno()).st_mtime)
        except FileNotFoundError:
            return None

    def _write_file(self, key: str, text: str) -> float:
        """Replace the file; returns its time."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_synced(path, text.encode())
        return path.stat().st_mtime

    def _ask(self, key: str) -> tuple[Kept | None, BackendError | None]:
        """What SQL says, or why it says nothing."""
        try:
            self._refuse_while_silent()
        except ConfigurationError as error:
            return None, error
        answers: list[tuple[Kept | None, BackendError | None]] = []

        def ask() -> None:
            try:
                with self._sql.begin() as connection:
                    answers.append((self._rows.read(connection, key), None))
            except BackendError as error:
                answers.append((None, error))

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(ANSWER_S)
        if answers:
            return answers[0]
        self._hanging, self._silent_until = asking, time.monotonic() + SILENT_S
        log.warning("the database is slow to answer: what MODEL_DIR says is used", what=self._name)
        return None, ConfigurationError(SILENT)

    def _refuse_while_silent(self) -> None:
        is_hanging = self._hanging is not None and self._hanging.is_alive()
        if is_hanging or time.monotonic() < self._silent_until:
            raise ConfigurationError(SILENT)
