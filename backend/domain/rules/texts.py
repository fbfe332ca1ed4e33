"""Texts that are searched for words by many rules."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backend.domain.rules.tokens import Phrase, Tokens, core, count_word, is_plain, normal

SPLITTING = 80
"""Splitting a text into words takes about as long as looking for this many strings in it (measured on news texts)."""


class Texts:
    """A column of texts, each in its `normal` form.

    A few keywords are found fastest by looking for their strings and splitting only the texts that have one; many by
    splitting all texts once. Nobody knows how many are still to come, so when as much was spent on the first way as the
    second would have cost, all texts are split: at most twice the work of the better way.
    """

    def __init__(self, texts: Sequence[str], *, ignore_case: bool) -> None:
        self.normal = [normal(text, ignore_case=ignore_case) for text in texts]
        self._spent = 0.0

    @cached_property
    def _all(self) -> Tokens:
        return Tokens(self.normal)

    def count(self, phrases: Sequence[Phrase], negations: Sequence[Phrase] = (), window: int = 0) -> NDArray[np.int64]:
        """How often each text has one of the phrases without a negation (see `Tokens.follows`): int64 (n_texts,)."""
        self._spent += len(phrases)
        if self._spent > SPLITTING:
            return _count(self._all, phrases, negations, window)
        plain = all(map(is_plain, phrases))
        counts = self._count_words([word for (word,) in phrases]) if plain else self._holding(phrases)
        if plain and not negations:
            return counts
        rows = np.flatnonzero(counts)
        self._spent += SPLITTING * rows.size / max(1, counts.size)
        counts[rows] = _count(Tokens([self.normal[row] for row in rows]), phrases, negations, window)
        return counts

    def _count_words(self, words: Sequence[str]) -> NDArray[np.int64]:
        counts = [0] * len(self.normal)
        for word in dict.fromkeys(words):
            for row, text in enumerate(self.normal):
                if word in text:
                    counts[row] += count_word(text, word)
        return np.array(counts, dtype=np.int64)

    def _holding(self, phrases: Sequence[Phrase]) -> NDArray[np.int64]:
        """1 where a text may have one of the phrases, 0 where it can't."""
        strings = dict.fromkeys(map(core, phrases))
        rows = {row for string in strings for row, text in enumerate(self.normal) if string in text}
        holding = np.zeros(len(self.normal), dtype=np.int64)
        holding[list(rows)] = 1
        return holding


def _count(tokens: Tokens, phrases: Sequence[Phrase], negations: Sequence[Phrase], window: int) -> NDArray[np.int64]:
    places = tokens.find(phrases)
    if negations and places.size:
        places = places[~tokens.follows(places, tokens.find(negations, last=True), window)]
    return tokens.count(places)
