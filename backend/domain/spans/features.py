"""What the tagger sees of each token: the word, its shape and ends, its neighbours, and what every source marked."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

from backend.domain.spans.text import Run
from backend.domain.spans.vote import Voted, supporters, vote

Features = list[list[str]]
"""For each token the names of the features that it has."""

OUTSIDE = "-"
"""Beside the first token and the last one."""
WORD_CHARS = 40
"""Of a word in a feature: a longer one is no word."""


def features(text: Voted) -> Features:
    """The features of each token of a text."""
    words = [_word(word) for word in text.words]
    marks = _marks(text)
    lower = [OUTSIDE, OUTSIDE, *(word.lower for word in words), OUTSIDE, OUTSIDE]
    nothing = _NOTHING
    found: Features = []
    for at, word in enumerate(words):
        before = words[at - 1] if at else nothing
        after = words[at + 1] if at + 1 < len(words) else nothing
        seen = [
            *word.own,
            *before.as_before,
            *after.as_after,
            "w-2=" + lower[at],
            "w+2=" + lower[at + 4],
            "2-=" + before.lower + " " + word.lower,
            "2+=" + word.lower + " " + after.lower,
        ]
        for side, place in (("<", at - 1), ("", at), (">", at + 1)):
            if 0 <= place < len(words):
                seen += [side + mark for mark in marks[place]] or [side + "none"]
        seen.append("all=" + "|".join(marks[at]))
        found.append(seen)
    return found


def _marks(text: Voted) -> list[list[str]]:
    """For each token what sources say of it: "3B0" = source 3 begins a run of label number 0 here; I = it goes on."""
    marks: list[list[str]] = [[] for _ in text.words]
    for run, sources in supporters(text).items():
        for source in sources:
            _mark(marks, run, f"{source}")
    for source, runs in enumerate(text.against):
        for run in runs:
            _mark(marks, run, f"{source}no")
    for source, runs in enumerate(text.hints):
        for run in runs:
            _mark(marks, run, f"{source}hint")
    for run in vote(text):
        _mark(marks, run, "vote")
    return [sorted(mark) for mark in marks]


def _mark(marks: Sequence[list[str]], run: Run, name: str) -> None:
    label = _storable(run.label)
    marks[run.first].append(f"{name}B{label}")
    for at in range(run.first + 1, run.stop):
        marks[at].append(f"{name}I{label}")


class _Word:
    """The features of one word, for itself and for its neighbours."""

    __slots__ = ("as_after", "as_before", "lower", "own")

    def __init__(self, word: str) -> None:
        word = _storable(word[:WORD_CHARS])
        lower = self.lower = word.lower()
        shape, end = _shape(word), lower[-3:]
        ends = [f"{kind}={part}" for n in (1, 2, 3, 4) if len(lower) > n for kind, part in _parts(lower, n)]
        self.own = ("all", "w=" + lower, "s=" + shape, *ends)
        self.as_before = ("w-=" + lower, "s-=" + shape, "e-=" + end)
        self.as_after = ("w+=" + lower, "s+=" + shape, "e+=" + end)


def _storable(text: str) -> str:
    """A half character (lone surrogate) can't be stored in a model."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _parts(word: str, n: int) -> Sequence[tuple[str, str]]:
    return ((f"b{n}", word[:n]), (f"e{n}", word[-n:]))


def _shape(word: str) -> str:
    """ "Xxd-" and the like: kinds of characters, of a row of more than two of a kind the first two."""
    kinds = ("".join(_kind(char) for char in word)) if not word.islower() else "x" * len(word)
    return "".join("".join(row)[:2] for _, row in groupby(kinds))


def _kind(char: str) -> str:
    return (
        "X" if char.isupper() else "x" if char.islower() else "d" if char.isdigit() else "c" if char.isalpha() else char
    )


_word = lru_cache(maxsize=100_000)(_Word)
_NOTHING = _Word(OUTSIDE)
