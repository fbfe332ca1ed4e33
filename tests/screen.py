"""A screen that a test can read."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backend.entrypoints import console


@contextmanager
def screen(width: int = 200, *, is_terminal: bool = False) -> Iterator[io.StringIO]:
    """What commands print while this is open, both outputs together."""
    text = io.StringIO()
    names = {"_file": text, "_width": width, "_force_terminal": is_terminal, "is_interactive": is_terminal}
    with pytest.MonkeyPatch.context() as patch:
        for each in (console.out, console.err):
            for name, value in names.items():
                patch.setattr(each, name, value)
        yield text
