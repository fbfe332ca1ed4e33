"""Sources that repeat each other."""

import numpy as np
from numpy.typing import NDArray

from backend.domain.label_model.patterns import indicator
from backend.domain.questions.forms import Votes

ALIKE = 0.9
"""Two sources that vote the same on this share of the tasks on which either votes begin to count as copies."""
DOUBT = 5.0
"""Tasks on which either votes that are added to that share's denominator: a few shared tasks can be chance."""
MAX_ROWS = 20_000


def copies_of(votes: Votes) -> NDArray[np.float64]:
    """How many sources, itself included, each source is a copy of: float64 (m,), at least 1.

    A pair counts in proportion to how far its share of equal votes (Jaccard 1912) lies between `ALIKE` and 1.
    """
    m = votes.shape[1]
    rows = votes[:: max(1, len(votes) // MAX_ROWS)]
    k = int(rows.max(initial=0)) + 1
    voted = indicator(rows, k)
    pairs = (voted.T @ voted).tocoo()
    equal = pairs.row % k == pairs.col % k
    places = pairs.row[equal] // k * m + pairs.col[equal] // k
    same = np.bincount(places, pairs.data[equal], minlength=m * m).reshape(m, m)
    both = np.bincount(pairs.row // k * m + pairs.col // k, pairs.data, minlength=m * m).reshape(m, m)
    count = np.diag(both)
    likeness = same / (count[:, None] + count[None, :] - both + DOUBT)
    shared = np.clip((likeness - ALIKE) / (1 - ALIKE), 0.0, 1.0)
    np.fill_diagonal(shared, 1.0)
    copies: NDArray[np.float64] = shared.sum(axis=1)
    return copies
