"""Texts that are searched for words by many rules."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backend.domain.rules.tokens import Phrase, Tokens, core, normal

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

    def rows_with(self, strings: Sequence[str]) -> NDArray[np.intp]:
        """The texts that have any of the strings, ascending."""
        rows = {row for string in dict.fromkeys(strings) for row, text in enumerate(self.normal) if string in text}
        return np.array(sorted(rows), dtype=np.intp)

    def count(self, phrases: Sequence[Phrase], negations: Sequence[Phrase] = (), window: int = 0) -> NDArray[np.int64]:
        """How often each text has one of the phrases without a negation (see `Tokens.follows`): int64 (n_texts,)."""
        counts = np.zeros(len(self.normal), dtype=np.int64)
        if self._spent + len(phrases) > SPLITTING:
            return _count(self._all, phrases, negations, window)
        rows = self.rows_with([core(wanted) for wanted in phrases])
        share = rows.size / max(1, len(self.normal))
        self._spent += len(phrases) + share * SPLITTING
        if self._spent > SPLITTING:
            return _count(self._all, phrases, negations, window)
        counts[rows] = _count(Tokens([self.normal[row] for row in rows]), phrases, negations, window)
        return counts


def _count(tokens: Tokens, phrases: Sequence[Phrase], negations: Sequence[Phrase], window: int) -> NDArray[np.int64]:
    places = tokens.find(phrases)
    if negations and places.size:
        places = places[~tokens.follows(places, tokens.find(negations, last=True), window)]
    return tokens.count(places)
