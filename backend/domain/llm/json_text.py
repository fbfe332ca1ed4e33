"""JSON read with the place of each value in its text, strictly, and as far as it goes."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from backend.domain.outside import whole

_BLANK = re.compile(r"[ \t\n\r]*")
_CUT = re.compile(r"\s*|[.eE+-]+|t|tr|tru|f|fa|fal|fals|n|nu|nul")
"""What may be left where JSON that was cut off can't be read on: nothing, or the start of a number or a literal."""


class _Doubled:
    """Stands for an object with a key twice: which of the two was meant, nobody knows."""


def _object(pairs: list[tuple[str, object]]) -> object:
    items = dict(pairs)
    return items if len(items) == len(pairs) else _Doubled()


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_int=whole)


@dataclass(frozen=True, slots=True)
class Value:
    """A decoded value and its place, text[start:end]. An object with a key twice is no dict."""

    value: object
    start: int
    end: int


class NotJson(Exception):
    """The text can't be read on. `cut`: because it ends too early, not because something else stands there."""

    def __init__(self, cut: bool) -> None:
        super().__init__()
        self.cut = cut


class Cursor:
    """A place in a JSON text. All methods but `peek` raise NotJson; nothing else, whatever the text. After `value` has
    raised it, `at` is as far as the text was read."""

    def __init__(self, text: str, at: int = 0) -> None:
        self.text = text
        self.at = at

    def peek(self) -> str:
        """The next character that isn't blank; "" at the end."""
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def take(self, character: str) -> None:
        """Step over this character."""
        found = self.peek()
        if found != character:
            raise NotJson(cut=found == "")
        self.at += 1

    def end(self) -> None:
        """Nothing is left."""
        if self.peek():
            raise NotJson(cut=False)

    def value(self) -> Value:
        """Step over any value."""
        self.peek()
        start = self.at
        try:
            value, self.at = _decoder.raw_decode(self.text, start)
        except json.JSONDecodeError as error:
            unended = error.msg.startswith("Unterminated string")
            self.at = len(self.text) if unended else error.pos
            raise NotJson(unended or _CUT.fullmatch(self.text, error.pos) is not None) from None
        except (ValueError, RecursionError):
            # Values nested thousands deep.
            self.at = len(self.text)
            raise NotJson(cut=False) from None
        return Value(value, start, self.at)

    def elements(self) -> Iterator[Value]:
        """Step over an array, value by value."""
        self.take("[")
        if self.peek() == "]":
            self.at += 1
            return
        while True:
            yield self.value()
            if self.peek() != ",":
                self.take("]")
                return
            self.at += 1

    def keys(self) -> Iterator[str]:
        """Step over an object, key by key; whoever asks for the next one has stepped over the value."""
        self.take("{")
        if self.peek() == "}":
            self.at += 1
            return
        seen: set[str] = set()
        while True:
            key = self.value().value
            if not isinstance(key, str) or key in seen:
                raise NotJson(cut=False)
            seen.add(key)
            self.take(":")
            yield key
            if self.peek() != ",":
                self.take("}")
                return
            self.at += 1
