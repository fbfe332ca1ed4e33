"""Neighbours: the most similar tasks, and the labels that they were given."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.lsa import leading_dimensions, some_of

N_NEIGHBOURS = 10
DIMENSIONS = 100
"""Singular vectors that features are reduced to (latent semantic analysis, Deerwester et al. 1990)."""
MAX_REFERENCE = 10_000
"""Labeled tasks among which neighbours are looked for, drawn at random where there are more."""
CHUNK = 1_000
"""Tasks compared with the reference at a time, which bounds the memory."""
BLOCK = 64
"""Columns whose maximum is looked at first."""
SMALLEST = 1e-9


@dataclass(frozen=True)
class Neighbours:
    """The most similar labeled tasks of each task, the nearest first, never the task itself.

    rows: int64 (n, m).
    similarity: float32 (n, m), cosine, 0 where it is negative.
    """

    rows: NDArray[np.int64]
    similarity: NDArray[np.float32]

    def shares(self, gold: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
        """Share of each class, float64 (n, k), among the neighbours' labels, weighted by similarity; NaN rows without
        any."""
        known = gold[self.rows]
        weights = np.where(known >= 0, self.similarity, 0.0)
        shares = np.zeros((len(self.rows), n_classes))
        np.add.at(shares, (np.arange(len(known))[:, None], np.maximum(known, 0)), weights)
        total = shares.sum(axis=1, keepdims=True)
        np.divide(shares, total, out=shares, where=total > SMALLEST)
        shares[total[:, 0] <= SMALLEST] = np.nan
        return shares


def vectors(
    features: csr_matrix, *, unit: bool = True, most: int = MAX_REFERENCE, seed: int = 0
) -> NDArray[np.float32]:
    """Features as short dense vectors of length 1 (or 0): float32 (n, d'), d' <= `DIMENSIONS`.

    `unit`: False to leave a vector as short as the reduction made it, in shares of its length before: a task whose
    words hardly any other one has comes close to 0. `most`: tasks that the dimensions are found from.
    """
    n, d = features.shape
    if d <= DIMENSIONS:
        dense = np.asarray(features.toarray(), dtype=np.float32)
    elif n <= 1:
        dense = np.zeros((n, 1), dtype=np.float32)
    else:
        dense = leading_dimensions(features, min(DIMENSIONS, n - 1), most=most, n_iter=5, seed=seed)
    length = np.linalg.norm(dense, axis=1, keepdims=True)
    if not unit and d > DIMENSIONS:
        length = np.sqrt(np.asarray(features.multiply(features).sum(axis=1), dtype=np.float64))
    return np.asarray(dense / np.maximum(length, SMALLEST), dtype=np.float32)


def nearest(points: NDArray[np.float32], labeled: NDArray[np.int64], *, seed: int = 0) -> Neighbours:
    """The `N_NEIGHBOURS` nearest of the rows `labeled` to each row of `points` (n, d), or as many as there are.

    Args:
        points: see `vectors`.
        labeled: int64 (t,), ascending.
        seed: draws the reference.
    """
    reference = some_of(labeled, MAX_REFERENCE, seed)
    n, m = len(points), min(N_NEIGHBOURS, max(reference.size - 1, 0))
    rows, similarity = np.zeros((n, m), dtype=np.int64), np.zeros((n, m), dtype=np.float32)
    place = np.full(n, -1)
    place[reference] = np.arange(reference.size)
    for start in range(0, n if m else 0, CHUNK):
        alike = points[start : start + CHUNK] @ points[reference].T
        own = place[start : start + CHUNK]
        alike[np.flatnonzero(own >= 0), own[own >= 0]] = -np.inf
        best = _largest(alike, m)
        values = np.take_along_axis(alike, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[start : start + CHUNK] = reference[np.take_along_axis(best, order, axis=1)]
        similarity[start : start + CHUNK] = np.maximum(np.take_along_axis(values, order, axis=1), 0.0)
    return Neighbours(rows, similarity)


def _largest(values: NDArray[np.float32], m: int) -> NDArray[np.int64]:
    """Columns (n, m) of the m largest values of each row of (n, c), in no order.

    The m blocks of columns with the largest maxima hold them all, and a maximum is found ten times as fast as a
    partition.
    """
    n, c = values.shape
    n_blocks = c // BLOCK
    if n_blocks <= 2 * m:
        return np.asarray(np.argpartition(-values, m - 1, axis=1)[:, :m], dtype=np.int64)
    highest = values[:, : n_blocks * BLOCK].reshape(n, n_blocks, BLOCK).max(axis=2)
    blocks = np.argpartition(-highest, m - 1, axis=1)[:, :m]
    inside = (blocks[:, :, None] * BLOCK + np.arange(BLOCK)).reshape(n, -1)
    columns = np.hstack([inside, np.tile(np.arange(n_blocks * BLOCK, c), (n, 1))])
    best = np.argpartition(-np.take_along_axis(values, columns, axis=1), m - 1, axis=1)[:, :m]
    return np.asarray(np.take_along_axis(columns, best, axis=1), dtype=np.int64)
