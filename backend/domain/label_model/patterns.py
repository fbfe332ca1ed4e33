"""What label models compute with: sparse votes, repetitions counted once, human labels apart.

Nothing here makes a dense float copy of a vote matrix: 10⁶ × 200 votes are 400 MB as they are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.questions.forms import ABSTAIN, Votes

CHUNK = 20_000
"""Rows looked at at a time, so that temporary copies stay small."""
MAX_ROWS = 200_000
"""Unlabeled rows learned from, drawn at random where there are more: a few numbers per source need no more."""


@dataclass(frozen=True, slots=True)
class VoteCounts:
    """The data that a label model is fitted on: rows with votes, the distinct ones once.

    Rules make few distinct rows (18,000 tasks of one public set have 12), which makes EM fast.

    Attributes:
        votes: sparse float64 (p, m · k), the distinct unlabeled rows as `indicator` gives them.
        counts: float64 (p,), how many rows each stands for.
        n_votes: int64 (p,), votes on each, at least 1.
        labeled: sparse float64 (t, m · k), the labeled rows.
        gold: int64 (t,), what people chose there.
        n_classes: k.
    """

    votes: csr_matrix
    counts: NDArray[np.float64]
    n_votes: NDArray[np.int64]
    labeled: csr_matrix
    gold: NDArray[np.int64]
    n_classes: int

    @property
    def gold_counts(self) -> NDArray[np.float64]:
        """Float64 (m · k, k): how often people chose class y where source j votes c, at [j · k + c, y]."""
        return np.asarray(self.labeled.T @ np.eye(self.n_classes)[self.gold])

    @property
    def chosen(self) -> NDArray[np.int64]:
        """Int64 (k,): how often people chose each class."""
        return np.bincount(self.gold, minlength=self.n_classes)


def vote_counts_of(votes: Votes, n_classes: int, gold: NDArray[np.int64]) -> VoteCounts:
    """The rows with votes, split by whether people labeled them; deterministic.

    votes: int16 (n, m), -1 = abstain. gold: int64 (n,), class index or -1 = unknown.
    """
    voted = n_votes_of(votes) > 0
    labeled = np.flatnonzero(voted & (gold >= 0))
    open_rows = np.flatnonzero(voted & (gold < 0))
    if open_rows.size > MAX_ROWS:
        open_rows = np.sort(np.random.default_rng(0).choice(open_rows, MAX_ROWS, replace=False))
    seen = votes[open_rows]
    first, counts = distinct_rows(seen)
    return VoteCounts(
        votes=indicator(seen[first], n_classes),
        counts=counts.astype(np.float64),
        n_votes=n_votes_of(seen[first]),
        labeled=indicator(votes[labeled], n_classes),
        gold=gold[labeled],
        n_classes=n_classes,
    )


def distinct_rows(votes: Votes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One row of each kind, and how many there are of it: int64 (p,) both.

    Found by a linear hash with random odd coefficients modulo 2⁶⁴ (Carter & Wegman 1979), always the same ones. That
    two different rows among `MAX_ROWS` share a hash has a probability below 10⁻⁸.
    """
    coefficients = np.random.default_rng(0).integers(0, 2**62, votes.shape[1], dtype=np.int64) * 2 + 1
    hashes = np.zeros(len(votes), dtype=np.int64)
    for start in range(0, len(votes), CHUNK):
        hashes[start : start + CHUNK] = votes[start : start + CHUNK].astype(np.int64) @ coefficients
    _, first, counts = np.unique(hashes, return_index=True, return_counts=True)
    return first, counts


def indicator(votes: Votes, n_classes: int) -> csr_matrix:
    """Sparse float64 (n, m · k): column j · k + c is 1 where source j votes c.

    With it, sums over votes by class and by source are sparse products.
    """
    n, m = votes.shape
    ends = np.concatenate([[0], np.cumsum(n_votes_of(votes))])
    columns = np.empty(ends[-1], dtype=np.int32)
    offsets = np.arange(m, dtype=np.int32) * n_classes
    for start in range(0, n, CHUNK):
        chunk = votes[start : start + CHUNK]
        columns[ends[start] : ends[min(start + CHUNK, n)]] = (chunk + offsets)[chunk != ABSTAIN]
    return csr_matrix((np.ones(columns.size), columns, ends), shape=(n, m * n_classes))


def n_votes_of(votes: Votes) -> NDArray[np.int64]:
    """How many sources vote on each row: int64 (n,)."""
    counts = [
        np.count_nonzero(votes[start : start + CHUNK] != ABSTAIN, axis=1) for start in range(0, len(votes), CHUNK)
    ]
    return np.concatenate(counts).astype(np.int64) if counts else np.zeros(0, dtype=np.int64)


def vote_shares(votes: csr_matrix, n_classes: int) -> NDArray[np.float64]:
    """Share of each class in the votes of `indicator`: float64 (n, k); NaN rows where nobody votes."""
    counts = np.asarray(votes @ own_class(votes.shape[1] // max(n_classes, 1), n_classes))
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.full(counts.shape, np.nan)
    np.divide(counts, totals, out=shares, where=totals > 0)
    return shares


def own_class(m: int, n_classes: int) -> NDArray[np.float64]:
    """Float64 (m · k, k): row j · k + c is 1 at c, the class that vote is for."""
    return np.tile(np.eye(n_classes), (m, 1))


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of scores, float64 (n, k), as distributions."""
    # Shifting by the largest score keeps exp from overflowing and cancels out in the division.
    proba: NDArray[np.float64] = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    proba /= proba.sum(axis=1, keepdims=True)
    return proba


def change(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Largest absolute difference of two float64 arrays of one shape, for example (n, k); 0 for empty ones."""
    return float(np.abs(after - before).max(initial=0.0))
