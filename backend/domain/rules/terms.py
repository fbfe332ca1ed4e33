"""Where terms stand in a text: up to hundreds of thousands of them, by the words that they begin with."""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from backend.domain.spans.text import UNSPACED, Text
from backend.errors import RuleError

MAX_TERM = 1_000
"""Characters of a term; a longer one is a text."""
Place = tuple[int, int, int]
"""Start and end in code points, and the number of the term."""

LETTER = r"[\w\u0300-\u036f]"
"""In folded text, where marks stand behind their letters."""


_TOUCHING = re.compile(r"\w\*|\*\w")


class Folded:
    """A text as it is compared, made once for all rules that look for words in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._made: dict[bool, tuple[Text, str, list[int] | None]] = {}

    def read(self, *, ignore_case: bool) -> tuple[Text, str, list[int] | None]:
        """Its words, itself, and where each of its characters is in that; None: where it was."""
        if ignore_case not in self._made:
            folded, places = _fold(self.text, ignore_case=ignore_case)
            self._made[ignore_case] = (Text.read(folded), folded, places)
        return self._made[ignore_case]


class Terms:
    """Terms to look for: words, or several in a row with any white space between them.

    They are whole words; in scripts without spaces they are found anywhere. Accents and apostrophes may be written in
    any way, with `ignore_case` letters, too. `wild`: `*` in a word stands for any letters.
    """

    def __init__(self, terms: Sequence[str], *, ignore_case: bool = True, wild: bool = False) -> None:
        """Raises RuleError when a term is empty or too long."""
        self._ignore_case = ignore_case
        self._numbers: dict[str, list[int]] = {}
        self._longest: dict[str, int] = {}
        self._wild: list[tuple[int, re.Pattern[str]]] = []
        for number, term in enumerate(terms):
            folded = _fold(term.strip(), ignore_case=ignore_case)[0] if len(term) <= MAX_TERM else ""
            if not folded.strip():
                raise RuleError(f"the term {term[:40]!r} is empty, or longer than {MAX_TERM:,} characters")
            if wild and _TOUCHING.search(folded):
                self._wild.append((number, _wild(folded)))
            else:
                words = Text.read(folded).words
                self._numbers.setdefault(" ".join(words), []).append(number)
                self._longest[words[0]] = max(len(words), self._longest.get(words[0], 0))

    def find(self, text: Folded) -> list[Place]:
        """The terms in a text, in its order, the longest first: none begins within one that was taken before it.

        Several terms that stand at the same place are all found.
        """
        read, folded, places = text.read(ignore_case=self._ignore_case)
        found = list(self._in_words(read))
        if self._wild:
            found += self._in_text(read, folded)
        if places is not None:
            found = list(_unfolded(found, places))
        return list(_longest(found)) if len(found) > 1 else found

    def _in_words(self, read: Text) -> Iterator[Place]:
        words, longest = read.words, self._longest
        for first, word in enumerate(words):
            if word in longest:
                for stop in range(min(first + longest[word], len(words)), first, -1):
                    for number in self._numbers.get(" ".join(words[first:stop]), ()):
                        yield read.starts[first], read.ends[stop - 1], number

    def _in_text(self, read: Text, folded: str) -> Iterator[Place]:
        starts, ends = set(read.starts), set(read.ends)
        for number, pattern in self._wild:
            for start, end in (match.span() for match in pattern.finditer(folded)):
                if start in starts and end in ends:
                    yield start, end, number


def _longest(found: list[Place]) -> Iterator[Place]:
    """From left to right, the longest at each place, without overlaps; all that stand at the same place."""
    taken = (-1, -1)
    for start, end, number in sorted(found, key=lambda item: (item[0], -item[1], item[2])):
        if start >= taken[1]:
            taken = (start, end)
        if (start, end) == taken:
            yield start, end, number


def _fold(text: str, *, ignore_case: bool) -> tuple[str, list[int] | None]:
    """A text as it is compared, and where each of its characters, and its end, is in that; None: where it was."""
    if text.isascii():
        return text.lower() if ignore_case else text, None
    text = text.replace("\u2019", "'")
    folded = unicodedata.normalize("NFD", text.casefold() if ignore_case else text)
    if len(folded) == len(text):
        # No character becomes less than one, so each is one.
        return folded, None
    parts: list[str] = []
    places = [0]
    for char in text:
        part = unicodedata.normalize("NFD", char.casefold() if ignore_case else char)
        parts.append(part)
        places.append(places[-1] + len(part))
    return "".join(parts), places


def _unfolded(found: list[Place], places: list[int]) -> Iterator[Place]:
    """Places in the text itself. What begins or ends within a character that stands for several is none."""
    for start, end, number in found:
        first, last = bisect_left(places, start), bisect_left(places, end)
        if places[first] == start and places[last] == end:
            yield first, last, number


def _wild(term: str) -> re.Pattern[str]:
    first, *inner, last = (re.sub(r"(?:\\\s)+", r"\\s+", re.escape(part)) for part in term.split("*"))
    letters = f"(?:(?![{UNSPACED}]){LETTER})*"
    # From the middle of a long word on, `*` would be tried at each of its letters.
    begins = f"(?<!{LETTER})" if re.match(rf"\*|(?![{UNSPACED}])\w", term) else ""
    # Each piece where it comes first, for good: tried at all places, some stars take years with one long word.
    middle = "".join(f"(?>{letters}?{piece})" for piece in inner)
    return re.compile(f"{begins}{first}{middle}{letters}{last}")
