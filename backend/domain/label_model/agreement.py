"""Accuracies from agreement alone, in closed form: what three sources give away about each other."""

import numpy as np
from numpy.typing import NDArray

POSITIVE = "sources that agree no more than chance have no accuracies above chance"


def accuracies_from_agreement(agreement: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracies of sources that vote for two classes and are wrong independently of each other.

    Sources i and j, right with probability p_i and p_j whatever the class, agree with probability

        a_ij = p_i p_j + (1 - p_i)(1 - p_j),  that is  2 a_ij - 1 = (2 p_i - 1)(2 p_j - 1)

    so with c_ij = 2 a_ij - 1, three sources give (2 p_i - 1)² = c_ij c_ik / c_jk (the triplet method: Fu et al. 2020,
    section 3; Platanios et al. 2014). The sign is not in the data: sources are taken to be better than chance. With
    more than three, the median over all triplets.

    Args:
        agreement: float64 (m, m), symmetric, share of equal votes of each pair; the diagonal is not used.

    Returns:
        float64 (m,), within [0.5, 1].

    Raises:
        ValueError: fewer than three sources (one equation with two unknowns: any p_1 has its p_2), or a pair that
            doesn't agree more than chance.
    """
    m = len(agreement)
    if m < 3:
        raise ValueError(f"{m} sources are underdetermined: accuracies follow from agreement among three or more")
    excess = 2 * agreement - 1
    if (excess[~np.eye(m, dtype=bool)] <= 0).any():
        raise ValueError(POSITIVE)
    accuracies = np.empty(m)
    for i in range(m):
        others = np.delete(np.arange(m), i)
        first, second = others[np.array(np.triu_indices(m - 1, 1))]
        squares = excess[i, first] * excess[i, second] / excess[first, second]
        # Sampling noise can carry a nearly perfect source beyond 1.
        accuracies[i] = (1 + np.sqrt(min(1.0, float(np.median(squares))))) / 2
    return accuracies


def vote_weight(accuracy: float) -> float:
    """What a vote of a source adds to the log-odds of its class: log(p / (1 - p)), two classes."""
    return float(np.log(accuracy / (1 - accuracy)))
