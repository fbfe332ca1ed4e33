"""Tables that rules look values up in: files of the rules folder and SQL databases, read once, with the rules."""

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.errors import RuleError

MAX_FILE_BYTES = 200_000_000
MAX_ROWS = 2_000_000
SEPARATORS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True)
class Tables:
    """Where tables are. `databases`: name -> SQLAlchemy URL; URLs hold passwords and are never shown."""

    folder: Path
    databases: Mapping[str, str]

    def path(self, name: str) -> Path:
        """A file of the rules folder.

        Raises:
            RuleError: it isn't there, or outside of the folder.
        """
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise RuleError(f"{name} is outside of the rules folder")
        if not path.is_file():
            raise RuleError(f"there is no file {name} in the rules folder")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise RuleError(f"{name} is larger than {MAX_FILE_BYTES:,} bytes: use a database")
        return path

    def file(self, name: str, key: str | None, value: str | None, *, keys_only: bool = False) -> dict[str, str]:
        """Two columns of a file, key -> value; the first and second one where no name is given.

        With `keys_only` there is no need of a second column, and values are "".

        Raises:
            RuleError: the file can't be used; the message names it.
        """
        path = self.path(name)
        try:
            if path.suffix == ".json":
                return dict(_json_rows(json.loads(path.read_bytes()), name, key, value, keys_only=keys_only))
            if path.suffix == ".txt" and keys_only and key is None:
                lines = path.read_text(encoding="utf-8-sig").splitlines()
                return dict.fromkeys(filter(None, map(str.strip, lines)), "")
            if path.suffix not in SEPARATORS:
                raise RuleError(f"{name} must be a .csv, .tsv or .json file; a .txt file has keys alone, one a line")
            with path.open(encoding="utf-8-sig", newline="") as opened:
                rows = csv.reader(opened, delimiter=SEPARATORS[path.suffix])
                header = next(rows, [])
                at = _place(header, key, 0, name)
                value_at = at if keys_only else _place(header, value, 1, name)
                last = max(at, value_at)
                return {row[at]: "" if keys_only else row[value_at] for row in rows if len(row) > last}
        except (OSError, UnicodeDecodeError, ValueError, csv.Error, RecursionError) as error:
            raise RuleError(f"{name} can't be read: {type(error).__name__}: {error}") from error

    def query(
        self, database: str, table: str, key: str, value: str | None, *, keys_only: bool = False
    ) -> dict[str, str]:
        """Two columns of a table in a database, key -> value, as text. See `file`.

        Raises:
            RuleError: the database, table or column isn't there, or doesn't answer.
        """
        import sqlalchemy  # noqa: PLC0415 - most rules ask no database
        from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError  # noqa: PLC0415

        url = self.databases.get(database)
        if url is None:
            raise RuleError(f"there is no database {database!r} in the setting LF_DATABASES")
        wanted = key if keys_only or value is None else value
        try:
            engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
            present = {column["name"] for column in sqlalchemy.inspect(engine).get_columns(table)}
            for column in (key, wanted):
                if column not in present:
                    raise RuleError(f"table {table!r} of database {database!r} has no column {column!r}")
            columns: list[sqlalchemy.ColumnClause[Any]] = [sqlalchemy.column(column) for column in (key, wanted)]
            selected = sqlalchemy.select(*columns).select_from(sqlalchemy.table(table)).limit(MAX_ROWS + 1)
            with engine.connect() as connection:
                rows = connection.execute(selected).all()
        except NoSuchTableError as error:
            raise RuleError(f"database {database!r} has no table {table!r}") from error
        except (SQLAlchemyError, ImportError) as error:
            # Only its kind: drivers put the address, and some the password, into their messages.
            raise RuleError(f"database {database!r} can't be read: {type(error).__name__}") from None
        if len(rows) > MAX_ROWS:
            raise RuleError(f"table {table!r} of database {database!r} has more than {MAX_ROWS:,} rows")
        return {str(left): "" if keys_only else str(right) for left, right in rows if None not in (left, right)}


def _place(header: list[str], column: str | None, default: int, name: str) -> int:
    if column is None and default < len(header):
        return default
    if column is None or column not in header:
        missing = f"column {column!r}" if column else f"column {default + 1}"
        raise RuleError(f"{name} has no {missing}; its columns are {', '.join(header) or 'none'}")
    return header.index(column)


def _json_rows(
    content: object, name: str, key: str | None, value: str | None, *, keys_only: bool
) -> Iterable[tuple[str, str]]:
    if isinstance(content, dict):
        return [(str(left), str(right)) for left, right in content.items() if right is not None]
    if not isinstance(content, list):
        raise RuleError(f"{name} must hold an object {{value: label}} or a list")
    if keys_only and not any(isinstance(row, dict) for row in content):
        return [(str(row), "") for row in content]
    if key is None or (value is None and not keys_only):
        raise RuleError(f"{name} is a list: name its columns with `key` and `value`")
    rows = (row for row in content if isinstance(row, dict) and row.get(key) is not None)
    if keys_only:
        return [(str(row[key]), "") for row in rows]
    return [(str(row[key]), str(row[value])) for row in rows if row.get(value) is not None]
