"""Bodies of answers from outside, read while they stream in: up to a size, and as text whatever they say they are."""

import json
import re
import time
from collections.abc import Iterator

_CHARSET = re.compile(
    r"charset\s*=\s*[\"']?((?:iso-?8859|latin|windows|cp|gb|big5|shift_?jis|euc|koi8|utf)[\w.-]{0,20})", re.IGNORECASE
)
"""Of a content type: encodings of texts. Python knows others, of which some aren't of texts, and some take for ever."""


class TooLarge(Exception):
    """A body has more bytes than are read. The message has nothing of it."""


class Body:
    """The bytes of a body, collected up to a limit."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Take the next piece. Raises TooLarge."""
        self._size += len(piece)
        if self._size > self._most_bytes:
            self._pieces.clear()
            raise TooLarge(f"more than {self._most_bytes / 1e6:.0f} MB")
        self._pieces.append(piece)

    def content(self) -> bytes:
        """All pieces so far."""
        return b"".join(self._pieces)


def read_all(pieces: Iterator[bytes], most_bytes: int, limit_s: float) -> bytes:
    """All pieces as one. Raises TooLarge, and TimeoutError when they take more than `limit_s` seconds."""
    body = Body(most_bytes)
    until = time.monotonic() + limit_s
    for piece in pieces:
        body.add(piece)
        if time.monotonic() > until:
            raise TimeoutError
    return body.content()


def text_of(content: bytes, content_type: str) -> str:
    """A body as text: JSON's own encodings, whatever the header says; else what it says; else with marks for what can't
    be read."""
    try:
        return content.decode(json.detect_encoding(content))
    except UnicodeDecodeError:
        said = _CHARSET.search(content_type)
    try:
        return content.decode(said[1] if said else "utf-8", "replace")
    except LookupError:
        return content.decode("utf-8", "replace")
