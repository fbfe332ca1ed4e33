"""The terminal: the one place that prints.

Titles, labels, names, file names and errors are texts of users. Whatever is printed is made harmless here: no secret,
no markup, no character that acts instead of being seen, and no line break that isn't ours.
"""

import gc
import json
import logging
import os
import sys
import traceback
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from backend.adapters.redaction import redact
from backend.domain.outside import KEPT_CHARS, one_line, shortened, visible

if TYPE_CHECKING:
    from backend.ports import Progress as Report

SENTENCE_CHARS = 20_000
"""Of a sentence. It may hold a list of ours, so it is longer than what stands in a table."""
NARROWEST = 12
"""Columns of a name that is wanted whole."""
EXPECTED_FAILURE, FAULT = 1, 70
"""Exit codes: a person can mend it; it is a fault of ours (EX_SOFTWARE of sysexits.h)."""

OURS = f"{Path(__file__).parents[1]}{os.sep}"
"""Folder of our code."""

Part = str | tuple[str, str]
"""A text, or a text with its style."""
Cell = str | Sequence[Part]
"""A text, or lines."""

# Names like "llm:pick:1a2b" are no emoji.
out = Console(emoji=False, markup=False, highlight=False)
err = Console(stderr=True, emoji=False, markup=False, highlight=False)


@contextmanager
def loading() -> Iterator[None]:
    """Import what a quick command needs without looking for garbage, of which there is none; a tenth of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def say(*parts: Part) -> None:
    """Print one line, made of texts with or without a style."""
    out.print(_line(parts), soft_wrap=True)


def complain(sentence: str, style: str = "") -> None:
    """Print one line on standard error."""
    err.print(_line([(sentence, style)]), soft_wrap=True)


def fail(sentence: str, code: int = EXPECTED_FAILURE) -> NoReturn:
    """End the command with a sentence on standard error."""
    complain(f"prelabel: {sentence}", "red")
    raise SystemExit(code) from None


def fail_unexpectedly(error: Exception) -> NoReturn:
    """End the command after a fault of ours: where it is, in a sentence; all of it for those who want to mend it."""
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        import structlog  # noqa: PLC0415 - help needs no log

        structlog.get_logger().error("a command failed", exc_info=error)
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if OURS in frame.filename] or frames
    place = (
        f"{ours[-1].filename.partition(OURS)[2] or ours[-1].filename}:{ours[-1].lineno}" if ours else "an unknown place"
    )
    about = str(error) or "no more is known"
    fail(
        f"This is a fault of Prelabel itself, at {place}: {type(error).__name__}: {about[:KEPT_CHARS]}. "
        "LOG_LEVEL=DEBUG shows all of it, for a bug report; `prelabel doctor` may say what led to it.",
        FAULT,
    )


def say_json(value: object) -> None:
    """Print JSON for scripts. What isn't ASCII is escaped: terminals act on nothing, half characters get through.

    Numbers that JSON doesn't have (NaN, infinite) become null.
    """
    finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
    out.out(redact(json.dumps(finite, indent=1)), highlight=False)


class Grid:
    """A table of texts; cells go on in the next line, so that nothing is cut off without a sign."""

    def __init__(
        self, *headings: str, title: str = "", figures: Collection[str] = (), names: Collection[str] = ()
    ) -> None:
        """`figures`: headings of columns that stand to the right, in one line. `names`: of those that need room."""
        columns = [
            Column(
                _cell(heading),
                overflow="fold",
                justify="right" if heading in figures else "left",
                no_wrap=heading in figures,
                min_width=NARROWEST if heading in names else None,
            )
            for heading in headings
        ]
        # Little space between columns: the names get what figures leave of the line.
        self._table = Table(
            *columns,
            box=box.SIMPLE_HEAD,
            title=_cell(title) if title else None,
            title_justify="left",
            padding=(0, 1, 0, 0),
        )

    def row(self, *cells: Cell) -> None:
        """Add a row."""
        self._table.add_row(*map(_cell, cells))

    def show(self) -> None:
        """Print it."""
        out.print(self._table)


@contextmanager
def progress_bar(waiting_for: str) -> "Iterator[Report]":
    """A progress bar on standard error, which goes away at the end."""
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    )
    with bar:
        shown = bar.add_task(_harmless(waiting_for), total=None)

        def report(step: str, done: int, total: int) -> None:
            bar.update(shown, description=_harmless(step), completed=done, total=total or None)

        yield report


@contextmanager
def spinner(what: str) -> Iterator[None]:
    """A sign that something goes on, where a person watches."""
    with out.status(_line([what])):
        yield


def write_what_can_be_written() -> None:
    """Let a terminal or file of another encoding show characters that it doesn't have by their number, not end us."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _line(parts: Sequence[Part]) -> Text:
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((shortened(visible(redact(text)), SENTENCE_CHARS), style) for text, style in pairs))


def _cell(cell: Cell) -> Text:
    lines: Sequence[Part] = [cell] if isinstance(cell, str) else cell
    pairs = [(line, "") if isinstance(line, str) else line for line in lines]
    return Text("\n").join(Text(_harmless(text), style) for text, style in pairs)


def _harmless(text: str) -> str:
    return one_line(redact(text))
