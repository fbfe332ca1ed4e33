"""Number: a scale of the numbers that a form takes, or of bins of what people gave. Answered by the median."""

import bisect
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from backend.domain.outside import bounded_number
from backend.domain.questions.base import Question
from backend.domain.questions.forms import Gold, Posteriors
from backend.domain.questions.scales import Scale
from backend.domain.reports.figures import Metric
from backend.domain.tasks import Answer

MOST_DIGITS = 12
MAX_ABSOLUTE = 1e12
"""Beyond it, a float has no place for the digits of a step."""
MAX_CHARS = 24
"""Of a number written as text: -1.23456789012e-300 has 20."""
MOST_BINS = 20
PER_BIN = 5
"""Answers in a bin, where numbers are too many for a class each: fewer teach a class nothing."""


def written(number: float) -> str:
    """A number as its label: without a point where it is whole."""
    return str(int(number)) if number == int(number) else f"{round(number, MOST_DIGITS):.{MOST_DIGITS}g}"


def number_in(text: str) -> float | None:
    """The number that a label stands for; None where it is none, or out of bounds."""
    try:
        return bounded_number(float(text), -MAX_ABSOLUTE, MAX_ABSOLUTE) if len(text) <= MAX_CHARS else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Number(Scale):
    """`<Number>`. Its labels are numbers, ascending: all that the form takes or, where these can't be listed, one that
    people gave for each bin of what they gave.

    starts: the lowest number of each bin but the first, ascending; () where each label is one number.
    """

    kind = "number"
    starts: tuple[float, ...] = field(default=())

    @property
    def is_unlisted(self) -> bool:
        """See `Question`."""
        return not self.labels

    def fitted(self, answers: Iterable[Answer]) -> Question:
        """See `Question`: a bin for each number that people gave or, of more than `MOST_BINS`, bins of about as many
        answers, `PER_BIN` at least. Each bin's label is its median, the lower one of two; equal numbers share a bin.
        """
        given = sorted(number for answer in answers for text in answer if (number := number_in(text)) is not None)
        numbers, counts = np.unique(np.array(given, dtype=np.float64), return_counts=True)
        if len(numbers) < 2:
            return self
        n_bins = len(numbers) if len(numbers) <= MOST_BINS else min(MOST_BINS, max(len(given) // PER_BIN, 2))
        # A number belongs where the middle of its answers falls.
        middles = (counts.cumsum() - counts / 2) / len(given)
        places = np.arange(len(numbers)) if n_bins == len(numbers) else np.floor(middles * n_bins).astype(np.int64)
        firsts = np.flatnonzero(np.diff(places, prepend=-1))
        bins = np.split(np.array(given), np.searchsorted(given, numbers[firsts[1:]]))
        labels = tuple(written(float(of_bin[(len(of_bin) - 1) // 2])) for of_bin in bins)
        # Between two bins, a number that nobody gave belongs to the nearer one.
        starts = tuple(float(low[-1] + high[0]) / 2 for low, high in itertools.pairwise(bins))
        return replace(self, labels=labels, starts=starts) if len(labels) > 1 else self

    def as_in(self, version: Question) -> Question:
        """See `Question`."""
        if self.labels or not (isinstance(version, Number) and version.starts):
            return self
        return replace(self, labels=version.labels, starts=version.starts)

    def index(self, label: str) -> int | None:
        """See `Question`: of bins, the place of the one that a number is in."""
        if not self.starts:
            return super().index(label)
        number = number_in(label)
        return None if number is None else bisect.bisect_right(self.starts, number)

    def read(self, given: Iterable[str]) -> tuple[str, ...]:
        """See `Question`: of bins, their labels."""
        places = [self.index(label) for label in given]
        return tuple(self.labels[place] for place in places if place is not None)

    def has(self, name: str) -> bool:
        """See `Question`."""
        return self.index(name) is not None

    def label_of(self, item: object) -> str | None:
        """See `Question`: models write numbers as such, or as text."""
        number = bounded_number(item, -MAX_ABSOLUTE, MAX_ABSOLUTE)
        return super().label_of(item) if number is None else written(number)

    def figures(self, posteriors: Posteriors, gold: Gold) -> tuple[Metric, ...]:
        """See `Question`; from posteriors, float64 (n, k). `mean_absolute_error`: how far the answer is off, in what
        the numbers count."""
        (decision,) = self.form.decisions
        numbers = np.array([float(label) for label in self.labels])
        chosen = decision.choose(posteriors[decision.key])
        known = chosen >= 0
        off = np.abs(numbers[chosen[known]] - numbers[gold[decision.key][known]])
        return (Metric("mean_absolute_error", float(off.mean()) if off.size else None),)
