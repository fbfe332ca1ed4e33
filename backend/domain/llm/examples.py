"""Few-shot examples: labeled tasks to show with a request."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.preprocessing import normalize

NEAR = 0.9
"""Cosine of TF-IDF vectors from which two tasks are near-duplicates: such an example would give the answer away."""


def choose_examples(
    asked: csr_matrix,
    labeled: csr_matrix,
    classes: NDArray[np.int64],
    n: int,
    *,
    forbidden: Collection[int] = (),
    near: float = NEAR,
) -> list[int]:
    """The labeled tasks nearest to those that are asked about, balanced over classes: rows of `labeled`, at most `n`.

    Classes take turns, the one with the nearest task first, each giving its nearest one that is left (nearest-neighbour
    demonstrations, Liu et al. 2022, balanced). No example is a task that is asked about, or a near-duplicate of one.

    Args:
        asked: (n_asked, d), TF-IDF, a few rows.
        labeled: (n_labeled, d), of the same vectorizer.
        classes: int64 (n_labeled,), what people chose; any numbers, one for each answer.
        n: number of examples.
        forbidden: rows of `labeled` that never become examples.
        near: cosine of near-duplicates.
    """
    if not n or not labeled.shape[0]:
        return []
    # A few rows against all: the product stays small whatever the number of labeled tasks.
    cosines = (normalize(labeled) @ normalize(asked).T).toarray().max(axis=1)
    usable = cosines < near
    if (asked.getnnz(axis=1) == 0).any():
        # No known word in either: they may well be the same.
        usable &= labeled.getnnz(axis=1) > 0
    usable[list(forbidden)] = False
    rows = np.flatnonzero(usable)
    order = rows[np.argsort(-cosines[rows], kind="stable")]
    queues: dict[int, list[int]] = {}
    for row in order.tolist():
        queues.setdefault(int(classes[row]), []).append(row)
    chosen: list[int] = []
    while queues and len(chosen) < n:
        for label in list(queues):
            if len(chosen) < n:
                chosen.append(queues[label].pop(0))
            if not queues[label]:
                del queues[label]
    return chosen
