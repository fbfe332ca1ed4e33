"""Inputs and findings of a search for label errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from backend.domain.label_errors.consensus import Consensus
from backend.domain.label_errors.crowd import Labels
from backend.domain.reports.check import NotYet
from backend.domain.tasks import Answer


@dataclass(frozen=True)
class SearchInputs:
    """What is known of a question's units besides posteriors, labels and votes; rows in the same order. All of it may
    be missing.

    features: (n, d), of fields.
    groups: int64 (n,), equal for those of tasks of the same content (see `groups_of`): they share a fold.
    annotators: int64 (n,), who gave the label, -1 = unknown or several people.
    rubber_stamped: bool (n,), the label is a suggestion that was accepted unread. It says neither how good a source
        is nor what a task like it should be.
    labels, consensus: by `Decision.key`, who said what, and what they agree on; both or none of a decision.
    embedded: (n, m), embeddings as features; there may be negative numbers in them.
    """

    features: csr_matrix | None = None
    groups: NDArray[np.int64] | None = None
    annotators: NDArray[np.int64] | None = None
    rubber_stamped: NDArray[np.bool_] | None = None
    labels: Mapping[str, Labels] = field(default_factory=dict)
    consensus: Mapping[str, Consensus] = field(default_factory=dict)
    embedded: csr_matrix | None = None

    @cached_property
    def joined(self) -> csr_matrix | None:
        """Features of fields and embeddings side by side: sparse float32 (n, d + m); None without any."""
        known = [part for part in (self.features, self.embedded) if part is not None]
        return csr_matrix(hstack(known, format="csr")) if len(known) > 1 else known[0] if known else None


@dataclass(frozen=True)
class Suspect:
    """A human answer that is probably wrong.

    row: the task's place among those that were searched.
    quality: 0..1, the probability of what was given; for a set, of the label that is most likely wrong; for a rating,
        1 less the expected distance from the truth, in shares of the scale.
    likelihood: 0..1, the probability of what was expected; for a set, of its least certain label.
    votes_against: source -> what it voted, for sources that voted for something else than what was given.
    neighbours: places of similar tasks whose label is what was expected and not in doubt, the nearest first.
    others: answer -> how many other annotators of the task gave it, without those who say the same.
    region: id of the region that the answer is of; "" = the task.
    reason: why it is suspect, where the search has said it already.
    """

    row: int
    question: str
    given: Answer
    expected: Answer
    quality: float
    likelihood: float = float("nan")
    votes_against: Mapping[str, str] = field(default_factory=dict)
    neighbours: tuple[int, ...] = ()
    others: Mapping[Answer, int] = field(default_factory=dict)
    region: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Noise:
    """Confident learning (Northcutt et al. 2021): how labels go wrong, estimated. Classes in the order of `classes`.

    thresholds: float64 (c,), mean probability of a class among labels of that class. A task above the threshold of
        another class than its own is counted as one of that other class.
    joint: float64 (c, c), P(given i, true j); sums to 1.
    transition: float64 (c, c), P(given i | true j); columns sum to 1.
    n_errors: estimated number of wrong labels among `n_labels`.
    """

    classes: tuple[str, ...]
    n_labels: int
    n_errors: int
    thresholds: NDArray[np.float64]
    joint: NDArray[np.float64]
    transition: NDArray[np.float64]


@dataclass(frozen=True)
class Findings:
    """What was found in the labels of one question.

    suspects: the worst first.
    quality: float64 (n_units,), of every label that was judged, as in `Suspect`; NaN for the others.
    not_yet: what could not be judged, and why.
    noise: by `Decision.key`.
    weights: by `Decision.key`, the exponent of each member (see `members_on`).
    error_rates: by annotator, the share of his or her labels that is expected to be wrong, shrunk to that of all.
    n_unknown: labels of whose tasks nothing is known; they were left out.
    """

    suspects: list[Suspect]
    quality: NDArray[np.float64]
    not_yet: list[NotYet] = field(default_factory=list)
    noise: dict[str, Noise] = field(default_factory=dict)
    weights: dict[str, dict[str, float]] = field(default_factory=dict)
    error_rates: dict[int, float] = field(default_factory=dict)
    n_unknown: int = 0
