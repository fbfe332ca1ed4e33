"""CSV files, which people open in spreadsheets."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from backend.domain.outside import cell
from backend.errors import ConfigurationError


def write_csv(path: Path, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file; a text that a spreadsheet would compute begins with "'".

    Raises:
        ConfigurationError: the file can't be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(headings)
            writer.writerows([cell(value) for value in row] for row in rows)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be written: {error.strerror}.") from error
