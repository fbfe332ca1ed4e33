"""A whole installation in one file, and back: the database's tables, MODEL_DIR's versions, the webhooks' secret.

The file is a ZIP archive: `tables/<name>.jsonl` (a line with the columns, then a line for each row), `files/...`, and
last `manifest.json` with the schema's revision and the SHA-256 of every entry. Rows are written as JSON and not as the
database's own dump, so that a backup of SQLite can be restored to Postgres, and the other way round. All tables are
read in one transaction, while others write.
"""

import base64
import errno
import hashlib
import json
import lzma
import os
import shutil
import stat
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import JSON, Column, Connection, LargeBinary, MetaData, Table, insert, inspect, select
from sqlalchemy.exc import OperationalError, StatementError

from backend.adapters.files import RESTORE
from backend.adapters.sql.engine import Sql
from backend.adapters.sql.installation import Installation
from backend.adapters.sql.migrations import all_tables, make_at, revision
from backend.adapters.webhook_secret import NAME as SECRET
from backend.adapters.webhook_secret import is_usable
from backend.errors import BadRequest, ConfigurationError

FORMAT = 1
MANIFEST = "manifest.json"
PROJECTS = "projects"
LEFT_OUT = frozenset({"features"})
"""Folders of a project that are made anew from its tasks."""
ROWS = 1000
BLOCK = 1 << 20
MAX_MANIFEST_BYTES = 100_000_000
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(RuntimeError, LookupError, TypeError, ValueError, OverflowError, RecursionError, MemoryError),
)
"""What reading a file that isn't a backup of ours, or was damaged, may end in."""
UNFIT = (StatementError, LookupError, TypeError, ValueError, OverflowError, RecursionError, StopIteration)
"""What rows of other shapes or types may end in."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a backup holds. `note`: what of it was left out, and what follows."""

    rows: int
    files: int
    size: int
    note: str = ""


class Backup:
    """Backs up and restores one installation."""

    def __init__(self, sql: Sql, root: Path) -> None:
        """`root`: MODEL_DIR."""
        self._sql = sql
        self._root = root
        self._installation = Installation(root)

    def write(self, path: Path) -> Summary:
        """Write a backup: completely, or not at all. Only its owner may read it: it holds tasks and a secret.

        Raises:
            ConfigurationError: the database can't be read, or a version changed meanwhile.
            OSError: the file can't be written.
        """
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.resolve().parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                    summary = self._fill(archive)
                file.flush()
                os.fsync(file.fileno())
            check(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return Summary(*summary, path.stat().st_size)

    def what_is_there(self) -> list[str]:
        """What a restore would replace; [] in an empty installation."""
        found = [f"versions in {self._root}"] if any(path.name != SECRET for path in self._files()) else []
        with self._sql.begin_as_it_is() as connection:
            tables = _reflected(connection)
            full = [name for name, table in tables.items() if connection.execute(select(table).limit(1)).first()]
        return found + [f"the table {name}" for name in full]

    def restore(self, path: Path) -> Summary:
        """Replace database and versions by those of a backup, which is checked before anything is touched.

        The caller has made sure that nothing else uses the installation. If this is cut off, restore again.

        Raises:
            BadRequest: the file isn't a whole backup, or one of a newer release.
        """
        made_at = check(path)["revision"]
        self._root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=RESTORE, dir=self._root) as name, zipfile.ZipFile(path) as archive:
            new, old = Path(name) / "new", Path(name) / "old"
            (new / PROJECTS).mkdir(parents=True)
            files = _extract(path, archive, new)
            note = _leave_out_bad_secret(new)
            with self._sql.begin_as_it_is() as connection:
                try:
                    rows = _restore_tables(connection, archive, made_at)
                except UNFIT as error:
                    if isinstance(error, OperationalError):
                        # It is the database that failed, not the rows.
                        raise
                    # Not the database's own words: they may quote a row.
                    raise BadRequest(f"{path} has rows that don't fit its tables. Nothing was restored.") from None
                ours = self._installation.agree(connection, by_force=True)
                old.mkdir()
                moved = _swap(self._root, new, old)
                try:
                    connection.commit()
                except BaseException:
                    for place in moved:
                        (self._root / place).rename(new / place)
                        if (old / place).exists():
                            (old / place).rename(self._root / place)
                    raise
        self._installation.keep(ours)
        return Summary(rows, files, path.stat().st_size, note)

    def _fill(self, archive: zipfile.ZipFile) -> tuple[int, int]:
        sums: dict[str, str] = {}
        rows = files = 0
        with self._sql.snapshot() as connection:
            made_at = revision(connection)
            for name, table in _reflected(connection).items():
                entry = f"tables/{name}.jsonl"
                sums[entry], n_lines = _write_lines(archive, entry, _lines(connection, table))
                rows += n_lines - 1
        # After the database: each version that it knows as finished then has its folder.
        for path in self._files():
            entry = f"files/{path.relative_to(self._root).as_posix()}"
            try:
                sums[entry] = _copy_in(archive, entry, path)
            except FileNotFoundError as error:
                raise ConfigurationError(f"{path} changed while it was backed up: try again.") from error
            files += 1
        manifest = {"format": FORMAT, "made_at": time.time(), "revision": made_at, "sha256": sums}
        archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
        return rows, files

    def _files(self) -> Iterator[Path]:
        if (self._root / SECRET).is_file():
            yield self._root / SECRET
        for folder, folders, names in os.walk(self._root / PROJECTS):
            # What begins with a dot is being written.
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in LEFT_OUT)
            for name in sorted(names):
                path = Path(folder) / name
                if not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                    yield path


def check(path: Path) -> dict[str, Any]:
    """Read a backup as a whole and compare its checksums; returns its manifest.

    Raises:
        BadRequest: it isn't one, or it is damaged, or of a newer release; the message says which.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(MANIFEST).file_size > MAX_MANIFEST_BYTES:
                raise BadRequest(f"{path} is not a backup of Prelabel: its manifest is too large.")
            manifest: dict[str, Any] = json.loads(archive.read(MANIFEST))
            sums: dict[str, str] = manifest["sha256"]
            if not isinstance(manifest["revision"], str) or not isinstance(sums, dict):
                raise ValueError("a manifest of another shape")
            if manifest["format"] != FORMAT:
                raise BadRequest(f"{path} was made by another release of Prelabel: restore it with that one.")
            names = [name for name in archive.namelist() if name != MANIFEST]
            if sorted(names) != sorted(sums):
                raise BadRequest(f"{path} is damaged: its entries aren't those of its manifest. Take another one.")
            for name in names:
                _check_name(name)
                with archive.open(name) as entry:
                    if hashlib.file_digest(entry, "sha256").hexdigest() != sums[name]:  # type: ignore[arg-type]
                        raise BadRequest(f"{path} is damaged: {name} isn't what was backed up. Take another one.")
    except (*UNREADABLE, OSError) as error:
        # bz2 has no error of its own.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadRequest(
            f"{path} is not a whole backup of Prelabel ({type(error).__name__}). Take another one."
        ) from error
    return manifest


def _check_name(name: str) -> None:
    """A file of a backup may lie in MODEL_DIR's own places only. Raises BadRequest.

    Paths take `a//b` and `a/./b` for `a/b`, and `folder / "/b"` lies outside the folder: there is one spelling only.
    """
    parts = PurePosixPath(name).parts
    is_table = len(parts) == 2 and parts[0] == "tables" and parts[1].removesuffix(".jsonl") in all_tables().tables
    is_file = parts[:1] == ("files",) and ".." not in parts and (parts[1:] == (SECRET,) or parts[1:2] == (PROJECTS,))
    if not (is_table or is_file) or "\\" in name or name != "/".join(parts):
        raise BadRequest(f"The backup has an entry that is none of ours: {name[:100]!r}. Nothing was restored.")


def _reflected(connection: Connection) -> dict[str, Table]:
    """Our tables as they are in the database, which may be those of an earlier release."""
    there = set(inspect(connection).get_table_names()) & set(all_tables().tables)
    metadata = MetaData()
    metadata.reflect(connection, only=sorted(there))
    for table in metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                # NULL means something else than {}: it says that an earlier release wrote the row.
                column.type.none_as_null = True
    return {name: metadata.tables[name] for name in sorted(there)}


def _lines(connection: Connection, table: Table) -> Iterator[str]:
    names = list(table.columns.keys())
    binary = {name for name in names if isinstance(table.columns[name].type, LargeBinary)}
    yield json.dumps(names)
    for row in connection.execution_options(yield_per=ROWS).execute(select(table)).mappings():
        values = [base64.b64encode(row[name]).decode() if name in binary and row[name] else row[name] for name in names]
        yield json.dumps(values)


def _restore_tables(connection: Connection, archive: zipfile.ZipFile, at: str) -> int:
    """Make the tables as they were when the backup was made, fill them, and bring them up to date."""
    total = 0

    def fill() -> None:
        nonlocal total
        for name, table in _reflected(connection).items():
            entry = f"tables/{name}.jsonl"
            if entry in archive.namelist():
                with archive.open(entry) as lines:
                    total += _insert(connection, table, iter(lines))

    make_at(connection, at, fill)
    return total


def _insert(connection: Connection, table: Table, lines: Iterator[bytes]) -> int:
    names: list[str] = json.loads(next(lines))
    kinds = {name: _kind(table.columns[name]) for name in names}
    binary = {name for name in names if isinstance(table.columns[name].type, LargeBinary)}
    total, batch = 0, []
    for line in lines:
        row = dict(zip(names, json.loads(line), strict=True))
        if not all(isinstance(row[name], kind) for name, kind in kinds.items()):
            raise ValueError("a value of another type")
        batch.append(row | {name: base64.b64decode(row[name]) for name in binary if row[name] is not None})
        if len(batch) == ROWS:
            connection.execute(insert(table), batch)
            total, batch = total + len(batch), []
    if batch:
        connection.execute(insert(table), batch)
    return total + len(batch)


def _kind(column: Column[Any]) -> tuple[type, ...]:
    """Types that a value of a column may have in a backup. SQLite itself takes any."""
    none = (type(None),) if column.nullable else ()
    if isinstance(column.type, JSON):
        return (object,)
    if isinstance(column.type, LargeBinary):
        return (str, *none)
    kind = column.type.python_type
    return (kind, *none, *((int,) if kind is float else ()))


def _extract(path: Path, archive: zipfile.ZipFile, folder: Path) -> int:
    files = [name for name in archive.namelist() if name.startswith("files/")]
    for name in files:
        target = folder / name.removeprefix("files/")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, target.open("wb") as written:
                shutil.copyfileobj(source, written, BLOCK)
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            raise BadRequest(f"{path} has a file and a folder of the same name. Nothing was restored.") from error
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise BadRequest(f"{path} has a file whose name is too long. Nothing was restored.") from error
        if target.name == SECRET:
            target.chmod(0o600)
    return len(files)


def _leave_out_bad_secret(folder: Path) -> str:
    """Take a secret out of the restored files that would let everybody in; returns what is to be said of it."""
    path = folder / SECRET
    if not path.exists() or is_usable(path.read_bytes()):
        return ""
    path.unlink()
    return (
        "The webhooks' secret in the backup is empty or cut off, and was left out: run `prelabel doctor PROJECT --fix` "
        "for each project once the services run."
    )


def _swap(root: Path, new: Path, old: Path) -> list[str]:
    """Put the restored files in place of those that are there; returns which."""
    moved = []
    for place in (PROJECTS, SECRET):
        if (new / place).exists():
            if (root / place).exists():
                (root / place).rename(old / place)
            (new / place).rename(root / place)
            moved.append(place)
    return moved


def _write_lines(archive: zipfile.ZipFile, entry: str, lines: Iterator[str]) -> tuple[str, int]:
    digest, n_lines = hashlib.sha256(), 0
    with archive.open(entry, "w", force_zip64=True) as target:
        for line in lines:
            data = line.encode() + b"\n"
            digest.update(data)
            target.write(data)
            n_lines += 1
    return digest.hexdigest(), n_lines


def _copy_in(archive: zipfile.ZipFile, entry: str, path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
        while block := source.read(BLOCK):
            digest.update(block)
            target.write(block)
    return digest.hexdigest()
