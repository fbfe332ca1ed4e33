"""Spans of a text, its tokens, and the way between the two.

A `Span` counts code points, as Label Studio does for `Labels` on `Text`; a `Run` counts tokens. Everything that learns
works on runs; `Text` turns one into the other. No boundary is ever moved: a token is split where a span of a source or
of a person begins or ends inside of it. Only white space at a span's ends is left off, since no token holds any.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Self

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
"""Scripts that write words without spaces (Thai, Lao, Burmese, Khmer, kana, Han): each character is a token."""


_ASCII = re.compile(r"\w+|[^\w\s]", re.ASCII)


class Span(NamedTuple):
    """A labeled part of a text, from `start` up to but not including `end`, in code points."""

    start: int
    end: int
    label: str


class Run(NamedTuple):
    """A labeled row of tokens, from `first` up to but not including `stop`, in tokens."""

    first: int
    stop: int
    label: str

    def overlaps(self, other: "Run") -> bool:
        """Whether a token is in both."""
        return self.first < other.stop and other.first < self.stop


@dataclass(frozen=True, slots=True)
class Text:
    """The tokens of one text and where they stand.

    starts, ends: code points, ascending, half-open, of each token; length: code points of the text.
    """

    words: tuple[str, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    length: int

    @classmethod
    def read(cls, text: str, spans: Iterable[Span] = ()) -> Self:
        """Split a text into words and symbols; also where one of the spans, of anybody, begins or ends."""
        cuts = sorted({edge for span in spans for edge in span[:2] if 0 < edge < len(text)})
        words, starts, ends = [], [], []
        at = 0
        for match in (_ASCII if text.isascii() else _token()).finditer(text):
            start, end = match.span()
            while at < len(cuts) and cuts[at] <= start:
                at += 1
            while at < len(cuts) and cuts[at] < end:
                words.append(text[start : cuts[at]])
                starts.append(start)
                ends.append(cuts[at])
                start = cuts[at]
                at += 1
            words.append(text[start:end])
            starts.append(start)
            ends.append(end)
        return cls(tuple(words), tuple(starts), tuple(ends), len(text))

    @classmethod
    def of_words(cls, words: Sequence[str]) -> Self:
        """Tokens that somebody else made, as they are, with one space between each two."""
        starts, ends, at = [], [], 0
        for word in words:
            starts.append(at)
            ends.append(at + len(word))
            at = ends[-1] + 1
        return cls(tuple(words), tuple(starts), tuple(ends), max(at - 1, 0))

    def runs(self, spans: Iterable[Span]) -> tuple[list[Run], int]:
        """The spans in tokens, and how many are left out: empty, outside of the text, or ending inside of a token."""
        first_at = {start: index for index, start in enumerate(self.starts)}
        stop_at = {end: index + 1 for index, end in enumerate(self.ends)}
        found: list[Run] = []
        left_out = 0
        for start, end, label in spans:
            first, stop = first_at.get(start), stop_at.get(end)
            if first is None or stop is None:
                first, stop = self._within(start, end)
            if first is None or stop is None or first >= stop:
                left_out += 1
            else:
                found.append(Run(first, stop, label))
        return found, left_out

    def spans(self, runs: Iterable[Run]) -> list[Span]:
        """The runs in code points."""
        return [Span(self.starts[first], self.ends[stop - 1], label) for first, stop, label in runs]

    def _within(self, start: int, end: int) -> tuple[int | None, int | None]:
        """The tokens of a span with white space at its ends; None where it cuts through a token or leaves the text."""
        if start < 0 or end > self.length:
            return None, None
        inside = [index for index in range(len(self.words)) if self.starts[index] < end and self.ends[index] > start]
        if not inside or self.starts[inside[0]] < start or self.ends[inside[-1]] > end:
            return None, None
        return inside[0], inside[-1] + 1


@cache
def _token() -> re.Pattern[str]:
    """A character of a script without spaces; a word with its combining marks; or one symbol."""
    marks = "".join(
        chr(code) for code in range(0x300, sys.maxunicode + 1) if unicodedata.category(chr(code)) in {"Mn", "Mc", "Me"}
    )
    # An emoji of several, joined or varied, is one symbol.
    joined = "\u200d\ufe0e\ufe0f\U0001f3fb-\U0001f3ff"
    letter = rf"(?![{UNSPACED}])[\w{marks}]"
    return re.compile(rf"[{UNSPACED}][{marks}]*|(?:{letter})+|[^\w\s](?:[{joined}{marks}]|(?<=\u200d)[^\w\s])*")
