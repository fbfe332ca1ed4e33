"""Rows of files as people have them: tables with any usual delimiter, JSON, JSON lines; in UTF-8 or marked UTF-16."""

import codecs
import csv
import io
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from backend.domain.outside import one_line
from backend.errors import BadRequest

MAX_CELL = 10_000_000
"""Characters of one cell; Python's own limit is too small for long documents."""
DELIMITERS = (",", ";", "\t", "|")
TELLING_ROWS = 50
"""Rows that tell which delimiter it is."""
SEPARATOR_MARK = "sep="
"""Begins the line in which Excel keeps a table's delimiter."""
ENCODINGS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True, slots=True)
class Rows:
    """What a file holds: column -> value, one mapping a row.

    is_table: its cells are texts, for it has no types. notes: sentences about what was read otherwise than it stands.
    """

    rows: list[dict[str, Any]]
    is_table: bool
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """All columns, in the order in which they first come."""
        return list(dict.fromkeys(name for row in self.rows for name in row))


class WrittenFloat(float):
    """A float that reads as it stood in the file: as a label, 1.10 is not 1.1."""

    written: str

    def __new__(cls, written: str) -> "WrittenFloat":
        """From the number's text."""
        number = super().__new__(cls, written)
        number.written = written
        return number

    def __str__(self) -> str:
        return self.written


def read_rows(path: Path) -> Rows:
    """The rows of a file, by its suffix: .csv and .tsv (any delimiter), .jsonl and .ndjson, .json.

    Raises:
        BadRequest: it isn't what its suffix says, is cut off or ragged, or has no rows; the message says where.
    """
    suffix = path.suffix.lower()
    if suffix not in {".csv", ".tsv", ".jsonl", ".ndjson", ".json"}:
        raise BadRequest(
            f"{path}: {suffix or 'no suffix'} can't be read. Give a .csv, .tsv, .jsonl or .json file; of a project of "
            "Label Studio, Export > JSON."
        )
    text = read_text(path)
    if not text.strip():
        raise BadRequest(f"{path} is empty.")
    found = (
        _table(text, path, "\t" if suffix == ".tsv" else ",") if suffix in {".csv", ".tsv"} else _objects(text, path)
    )
    if not found.rows:
        raise BadRequest(f"{path} has no rows.")
    return found


def read_text(path: Path) -> str:
    """A file's text, in UTF-8, or in UTF-16 that says so.

    Raises:
        BadRequest: it can't be read, or is in another encoding.
    """
    try:
        content = path.read_bytes()
        text = content.decode(ENCODINGS.get(content[:2], "utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8 (Excel: CSV UTF-8), or "
            "convert it, for example: iconv -f WINDOWS-1252 -t UTF-8"
        ) from error
    except OSError as error:
        raise BadRequest(f"{path} can't be read: {error.strerror}.") from error
    if "\0" in text:
        raise BadRequest(f"{path} has NUL characters: it is no text, or UTF-16 that doesn't say so. Save it as UTF-8.")
    return text


def _table(text: str, path: Path, usual: str) -> Rows:
    csv.field_size_limit(MAX_CELL)
    delimiter, text = _delimiter(text, usual)
    rows = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        heading = [name.strip() for name in next(reader, [])]
        for cells in reader:
            if not cells:
                # An empty line.
                continue
            if len(cells) != len(heading):
                raise BadRequest(
                    f"{path}, line {reader.line_num}: {len(cells)} cells under a heading of {len(heading)}. Put cells "
                    f"that contain {delimiter!r} into quotes."
                )
            rows.append(cells)
    except csv.Error as error:
        raise BadRequest(f"{path}, line {reader.line_num}: this is not a table ({error}).") from error
    names = _distinct(heading)
    notes = [_renamed(name, given) for name, given in zip(heading, names, strict=True) if name != given]
    return Rows([dict(zip(names, cells, strict=True)) for cells in rows], True, tuple(notes))


def _delimiter(text: str, usual: str) -> tuple[str, str]:
    """What separates cells, and the text without Excel's line about it.

    That with which most of the first rows have as many cells as the heading; then that which parts no quoted cell; then
    the usual one.
    """
    first, _, rest = text.partition("\n")
    mark = first.strip()
    if mark.startswith(SEPARATOR_MARK) and len(mark) == len(SEPARATOR_MARK) + 1:
        return mark[-1], rest
    return max(dict.fromkeys((usual, *DELIMITERS)), key=lambda delimiter: _fit(text, delimiter)), text


def _fit(text: str, delimiter: str) -> tuple[int, int]:
    """How many of the first rows have as many cells as the heading, -1 where that has only one; and how many cells
    begin or end within quotes, as a negative number."""
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        heading, *rows = (cells for cells in islice(reader, TELLING_ROWS) if cells)
    except (ValueError, csv.Error):
        return -1, 0
    if len(heading) == 1:
        return -1, 0
    n_torn = sum(cell.count('"') % 2 for cells in (heading, *rows) for cell in cells)
    return sum(len(cells) == len(heading) for cells in rows), -n_torn


def _distinct(heading: Sequence[str]) -> list[str]:
    """The names, each once: a second "text" becomes "text (2)", a nameless column is named by its place."""
    known = [name or f"column {place}" for place, name in enumerate(heading, start=1)]
    found: list[str] = []
    for name in known:
        unique, number = name, 1
        while unique in found or (number > 1 and unique in known):
            number += 1
            unique = f"{name} ({number})"
        found.append(unique)
    return found


def _renamed(name: str, given: str) -> str:
    what = f"Another column is named {one_line(name)!r} too" if name else "A column has no name"
    return f"{what}: it is read as {one_line(given)!r}."


def _objects(text: str, path: Path) -> Rows:
    """A list of objects, or an object on each line: suffixes don't tell which, pandas names both .json."""
    notes: dict[str, None] = {}

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        names = _distinct([name for name, _ in pairs])
        notes.update((_renamed(old, new), None) for (old, _), new in zip(pairs, names, strict=True) if old != new)
        return dict(zip(names, (value for _, value in pairs), strict=True))

    def load(part: str, where: str) -> Any:
        try:
            return json.loads(part, object_pairs_hook=mapping, parse_float=WrittenFloat)
        except RecursionError as error:
            raise BadRequest(f"{where} is nested too deeply.") from error
        except ValueError as error:
            raise BadRequest(f"{where} is not JSON: {error}.") from error

    if text.lstrip().startswith("["):
        found = load(text, str(path))
    else:
        lines = [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
        found = [load(line, f"{path} is no list of objects; as JSON lines, line {n}") for n, line in lines]
        if len(found) == 1 and path.suffix.lower() == ".json":
            raise BadRequest(f"{path} is one object. Give a list of objects (pandas: to_json(orient='records')).")
    odd = next((place for place, row in enumerate(found, start=1) if not isinstance(row, dict)), None)
    if odd is not None:
        raise BadRequest(f"{path} is not a list of objects: item {odd} is something else.")
    return Rows(found, False, tuple(notes))


def make_numbers(rows: Sequence[dict[str, Any]], left_as_text: Collection[str]) -> None:
    """In a table, numbers in place of texts where a column has nothing else, as Label Studio's own import has them."""
    for name in rows[0] if rows else ():
        if name in left_as_text:
            continue
        try:
            numbers = [json.loads(row[name]) if row[name].strip() else None for row in rows]
        except (ValueError, RecursionError):
            continue
        if all(isinstance(number, int | float | None) and not isinstance(number, bool) for number in numbers):
            for row, number in zip(rows, numbers, strict=True):
                row[name] = number
