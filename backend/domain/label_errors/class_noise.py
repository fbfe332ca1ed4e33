"""Labels of some classes go wrong more often than those of others, and mostly one way."""

import numpy as np
from numpy.typing import NDArray

from backend.domain.label_errors.pool import posterior_of_right

PRIOR = 20.0
"""Labels of a class that the belief outweighs that all classes go wrong alike."""
ROUNDS = 50


def shift_by_class(
    given: NDArray[np.int64], proba: NDArray[np.float64], errors: float, teaching: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How much likelier each label is to be right than if all classes went wrong alike: (n,), in log odds.

    P(given | true) is fitted by EM as in Dawid & Skene 1979, of one annotator, with known probabilities of the truth.
    It has k (k - 1) numbers where an even share of errors has one: it is believed only if Akaike's criterion (1974)
    prefers it. Else nothing is shifted. Without that, chance differences between classes would be taken for news.

    Args:
        given: int64 (n,), class index.
        proba: (n, k), finite, made without the row's own label.
        errors: share of wrong labels, see `share_of_errors`.
        teaching: bool (n,), labels that are evidence.
    """
    n, k = proba.shape
    some, shown = proba[teaching], given[teaching]
    if k < 2 or not shown.size:
        return np.zeros(n)
    even = np.full((k, k), errors / (k - 1))
    np.fill_diagonal(even, 1 - errors)
    fitted = even
    for _ in range(ROUNDS):
        counts = np.zeros((k, k))
        np.add.at(counts.T, shown, _truth(some, fitted, shown))
        fitted = (counts + PRIOR * even) / (counts.sum(axis=1, keepdims=True) + PRIOR)
    gain = _log_likelihood(some, fitted, shown) - _log_likelihood(some, even, shown)
    if gain <= k * (k - 1) - 1:
        return np.zeros(n)
    rows = np.arange(n)
    right = _truth(proba, fitted, given)[rows, given]
    return log_odds(right) - log_odds(posterior_of_right(proba[rows, given], errors, k))


def log_odds(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of probabilities, which are kept from 0 and 1, and yet apart."""
    clipped = np.clip(share, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(clipped / (1 - clipped)))


def shifted(share: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities after a shift of their log odds."""
    return np.asarray(1 / (1 + np.exp(-log_odds(share) - shift)))


def _truth(
    proba: NDArray[np.float64], transition: NDArray[np.float64], given: NDArray[np.int64]
) -> NDArray[np.float64]:
    """P(true | everything, the label included) (n, k). transition: (k, k), P(given | true), a row for each truth."""
    joint = proba * transition[:, given].T
    return np.asarray(joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300))


def _log_likelihood(proba: NDArray[np.float64], transition: NDArray[np.float64], given: NDArray[np.int64]) -> float:
    return float(np.log(np.maximum((proba * transition[:, given].T).sum(axis=1), 1e-300)).sum())
