"""Words: texts split once, so that all keyword rules search them together."""

import re
import sys
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from backend.domain.spans.text import UNSPACED

Positions = NDArray[np.intp]
"""Places in the stream of tokens, ascending, each once."""

Phrase = tuple[str, ...]
"""Tokens in a row; in each, `*` stands for any letters, none included."""

CLAUSE_ENDS = frozenset(".,;:!?\u2026\u3002\uff0c\u3001\uff1b\uff1a\uff01\uff1f\u0964")
"""Punctuation that ends the reach of a negation; Chinese, Japanese and Hindi have their own."""
_EACH_UNSPACED = re.compile(f"([{UNSPACED}])")
_ASCII = re.compile(r"[nN]'[tT]\b|\w+|[^\w\s]", re.ASCII)
_CONTRACTION = re.compile(r"(?<=\w)(n't)\b", re.IGNORECASE)
_LAST = chr(sys.maxunicode)


class Tokens:
    """Texts (see `normal`) as one stream of tokens, each text followed by an end mark that matches nothing.

    A token is a word, or one symbol; "don't" is `do` and `n't`, so that negations can be told by one token. In scripts
    without spaces each character is a token, and a word of several is found as a phrase.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.n_texts = len(texts)
        self._vocabulary = _Vocabulary({"": 0})
        words = [[*split(text), ""] for text in texts]
        self._ids = np.fromiter(map(self._vocabulary.__getitem__, chain.from_iterable(words)), dtype=np.int32)
        self._ends = np.cumsum([len(item) for item in words], dtype=np.int64)
        self._is_end = self._table(lambda word: word in CLAUSE_ENDS or not word)

    @property
    def n_tokens(self) -> int:
        """Length of the stream, end marks included."""
        return int(self._ids.size)

    def count(self, positions: Positions) -> NDArray[np.int64]:
        """How many of the positions lie in each text: int64 (n_texts,)."""
        counts: NDArray[np.int64] = np.bincount(
            self._ends.searchsorted(positions, side="right"), minlength=self.n_texts
        )
        return counts

    def find(self, phrases: Sequence["Phrase"], *, last: bool = False) -> Positions:
        """Where any of the phrases begins; with `last`, where its last token is."""
        if not phrases:
            return np.empty(0, dtype=np.intp)
        tables = [[self._matching(pattern) for pattern in phrase] for phrase in phrases]
        starts = np.flatnonzero(np.logical_or.reduce([table[0] for table in tables])[self._ids])
        found: list[Positions] = []
        single = [table[0] for table in tables if len(table) == 1]
        if single:
            found.append(starts[np.logical_or.reduce(single)[self._ids[starts]]])
        for table in (table for table in tables if len(table) > 1):
            places = starts
            # The end mark matches nothing, so a place that matched so far has a next token.
            for offset, matches in enumerate(table):
                places = places[matches[self._ids[places + offset]]]
            found.append(places + len(table) - 1 if last else places)
        return found[0] if len(found) == 1 else np.unique(np.concatenate(found))

    def follows(self, positions: Positions, marks: Positions, window: int) -> NDArray[np.bool_]:
        """Which positions have a mark among the `window` tokens before them, in the same clause: bool
        (n_positions,)."""
        marked = np.zeros(self._ids.size, dtype=np.bool_)
        marked[marks] = True
        within = np.ones(positions.size, dtype=np.bool_)
        followed = np.zeros(positions.size, dtype=np.bool_)
        for back in range(1, window + 1):
            # Before the first token comes the stream's last one, which is an end mark.
            before = np.maximum(positions - back, -1)
            within &= ~self._is_end[self._ids[before]]
            followed |= within & marked[before]
        return followed

    def _matching(self, pattern: str) -> NDArray[np.bool_]:
        """Which words of the vocabulary match: an exact word, or one with `*` for any letters."""
        table = np.zeros(len(self._vocabulary), dtype=np.bool_)
        if not _is_wild(pattern):
            if pattern in self._vocabulary:
                table[self._vocabulary[pattern]] = True
            return table
        prefix, rest = pattern.split("*", 1)
        first, behind = (bisect_left(self._sorted, bound) for bound in (prefix, prefix + _LAST))
        first_piece, *inner, last_piece = map(re.escape, pattern.split("*"))
        # Each piece where it comes first, for good: tried at all places, some stars take years with one long word.
        middle = "".join(f"(?>.*?{piece})" for piece in inner)
        matches = re.compile(f"{first_piece}{middle}.*{last_piece}").fullmatch
        for word in self._sorted[first:behind]:
            if not rest or matches(word):
                table[self._vocabulary[word]] = True
        return table

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._vocabulary)

    def _table(self, test: Callable[[str], bool]) -> NDArray[np.bool_]:
        return np.fromiter(map(test, self._vocabulary), dtype=np.bool_, count=len(self._vocabulary))


class _Vocabulary(dict[str, int]):
    """Numbers words as they come."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


def normal(text: str, *, ignore_case: bool) -> str:
    """A text as it is compared: one case, one way to write accents and apostrophes, and a space before each token that
    would otherwise touch a word: the `n't` of "don't", and each character of a script without spaces.
    """
    if ignore_case:
        text = text.casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).replace("\u2019", "'")
        text = _EACH_UNSPACED.sub(r" \1 ", text)
    return _CONTRACTION.sub(r" \1", text) if "'" in text else text


def split(text: str, *, wild: bool = False) -> list[str]:
    """The tokens of a normal text; with `wild`, `*` belongs to the word it touches."""
    if wild and "*" in text:
        return _any_script(wild=True).findall(text)
    return (_ASCII if text.isascii() else _any_script()).findall(text)


def phrase(keyword: str, *, ignore_case: bool = True) -> Phrase:
    """A keyword as tokens; empty when there is nothing in it."""
    tokens = split(normal(keyword, ignore_case=ignore_case), wild=True)
    # Stars that touch no word are symbols like any other.
    return tuple(part for token in tokens for part in ([token] if token.strip("*") else token))


def core(wanted: Phrase) -> str:
    """The longest piece of a phrase that every text with it has."""
    pieces = [piece for token in wanted for piece in (token.split("*") if _is_wild(token) else [token])]
    return max(pieces, key=len)


def is_plain(wanted: Phrase) -> bool:
    """Whether a phrase is one word of ASCII letters and digits, which `count_word` can look for."""
    (first, *others) = wanted
    # The parts of "n't" are no words of their own.
    return not others and first.isascii() and first.isalnum() and first not in {"n", "t"}


def count_word(text: str, word: str) -> int:
    """How often a normal text has a plain word as a token, without splitting the text."""
    count, at = 0, text.find(word)
    while at >= 0:
        end = at + len(word)
        if not (at and _joins(text[at - 1])) and not (end < len(text) and _joins(text[end])):
            count += 1
        at = text.find(word, end)
    return count


def _joins(char: str) -> bool:
    """Whether a character beside a word belongs to it."""
    return char.isalnum() or char == "_" or (not char.isascii() and char in _marks())


@cache
def _marks() -> frozenset[str]:
    """Combining marks, which belong to a word although `\\w` doesn't have them (Hindi, Tamil)."""
    return frozenset(char for char in map(chr, range(0x300, 0x10000)) if unicodedata.category(char) in {"Mn", "Mc"})


@cache
def _any_script(*, wild: bool = False) -> re.Pattern[str]:
    """Tokens of texts that aren't ASCII."""
    inside = rf"\w{''.join(sorted(_marks()))}" + ("*" if wild else "")
    return re.compile(rf"[nN]'[tT]\b|[{inside}]+|[^\s{inside}]")


def _is_wild(pattern: str) -> bool:
    return "*" in pattern and pattern.strip("*") != ""
