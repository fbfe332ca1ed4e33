"""Labels of some classes go wrong more often than those of others, and mostly one way."""

import numpy as np
from numpy.typing import NDArray

PRIOR = 20.0
"""Labels of a class that the belief outweighs that all classes go wrong alike."""
ROUNDS = 50
SMALLEST = 1e-300


def by_class(
    given: NDArray[np.int64], proba: NDArray[np.float64], errors: float, teaching: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Probabilities (n, k) that know in which way the label that was given usually goes wrong.

    P(given | true) is fitted by EM as in Dawid & Skene 1979, of one annotator, with known probabilities of the truth;
    p(y) is multiplied by how much likelier the label is with y than if all classes went wrong alike. The fit has
    k (k - 1) numbers where an even share of errors has one: it is believed only if Akaike's criterion (1974) prefers
    it. Else nothing changes. Without that, chance differences between classes would be taken for news.

    Args:
        given: int64 (n,), class index.
        proba: (n, k), finite, made without the row's own label.
        errors: share of wrong labels, see `share_of_errors`.
        teaching: bool (n,), labels that are evidence; the other rows stay as they are.
    """
    k = proba.shape[1]
    some, shown = proba[teaching], given[teaching]
    if k < 2 or not shown.size:
        return proba
    even = np.full((k, k), errors / (k - 1))
    np.fill_diagonal(even, 1 - errors)
    fitted = even
    for _ in range(ROUNDS):
        joint = some * fitted[:, shown].T
        counts = np.zeros((k, k))
        np.add.at(counts.T, shown, joint / np.maximum(joint.sum(axis=1, keepdims=True), SMALLEST))
        fitted = (counts + PRIOR * even) / (counts.sum(axis=1, keepdims=True) + PRIOR)
    gain = _log_likelihood(some, fitted, shown) - _log_likelihood(some, even, shown)
    if gain <= k * (k - 1) - 1:
        return proba
    found = proba.copy()
    found[teaching] *= (fitted / even)[:, shown].T
    return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), SMALLEST))


def _log_likelihood(proba: NDArray[np.float64], transition: NDArray[np.float64], given: NDArray[np.int64]) -> float:
    """Of the labels. transition: (k, k), P(given | true), a row for each truth."""
    return float(np.log(np.maximum((proba * transition[:, given].T).sum(axis=1), SMALLEST)).sum())
