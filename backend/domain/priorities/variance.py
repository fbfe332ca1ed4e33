"""Expected variance reduction: tasks after whose label a classifier is surer of many others."""

import numpy as np
from numpy.typing import NDArray

from backend.domain.posterior import is_known

PRIOR = 0.03
"""What is known of each direction before any label: the inverse of the classifier's C, as its rows are longer."""
MAX_COMPARED = 10_000
"""Tasks of a larger pool that are compared, and so many labeled ones, drawn at random, that count for all."""


def information(posterior: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much a label tells of a linear classifier's weights, float64 (n,): Σ p (1 - p), its Fisher information but
    for the features. Where nothing is known, all classes are as likely.

    Args:
        posterior: (n, k), NaN rows where nothing is known.
    """
    proba = np.where(is_known(posterior)[:, None], posterior, 1 / max(1, posterior.shape[1]))
    return np.asarray((proba * (1 - proba)).sum(axis=1))


def variance_reduction(
    space: NDArray[np.float32],
    told: NDArray[np.float64],
    doubt: NDArray[np.float64],
    rows: NDArray[np.int64],
    labeled: NDArray[np.int64],
    *,
    n: int,
    seed: int,
) -> NDArray[np.int64]:
    """Rows, int64 (<= n,), each the one whose label, beside those of the labeled ones and of the picks before it, makes
    a classifier surest of all the others; times how unsure it is now.

    With information w and place x of a task, M = Σ w x xᵀ over the labeled ones + `PRIOR` is what is known of the
    weights of a logistic regression, and xᵀ M⁻¹ x the variance of what it says. A label of x lowers the summed variance
    of the pool, whose places are weighed by F = Σ w x xᵀ, by w xᵀ M⁻¹ F M⁻¹ x / (1 + w xᵀ M⁻¹ x): the greedy step of
    the Fisher information ratio (Zhang & Oles 2000; Ash et al. 2021) with one M for all classes. So a batch is
    diverse, stands for many others, and leaves out what is known; without any labels it is transductive experimental
    design (Yu et al. 2006).

    Args:
        space: see `coordinates`.
        told: (n_tasks,), see `information`.
        doubt: (n_tasks,), 0..1.
        rows: what may be picked.
        labeled: rows that are labeled.
        n: how many are wanted.
        seed: draws what is compared in a large pool.
    """
    random = np.random.default_rng(seed)
    if len(rows) > MAX_COMPARED:
        rows = random.choice(rows, MAX_COMPARED, replace=False)
    share = 1.0
    if len(labeled) > MAX_COMPARED:
        share = len(labeled) / MAX_COMPARED
        labeled = random.choice(labeled, MAX_COMPARED, replace=False)
    known, where, told_now, doubted = space[labeled], space[rows], told[rows].astype(np.float32), doubt[rows]
    precision = PRIOR * np.eye(space.shape[1]) + share * (known * told[labeled, None]).T @ known
    inverse = np.linalg.inv(precision).astype(np.float32)
    pool = (where * told_now[:, None]).T @ where
    seen = where @ inverse
    variance = (seen * where).sum(axis=1)
    saved = ((seen @ pool) * seen).sum(axis=1)
    left = np.ones(len(rows), dtype=np.bool_)
    picked = []
    for _ in range(min(n, len(rows))):
        gain = told_now * saved / (1 + told_now * np.maximum(variance, 0.0)) * doubted
        best = int(np.where(left, gain, -np.inf).argmax())
        picked.append(rows[best])
        left[best] = False
        # What a label of it changes in the inverse (Sherman & Morrison 1950), and in all that was computed from it.
        direction = inverse @ where[best]
        factor = told_now[best] / (1 + told_now[best] * float(where[best] @ direction))
        along, weighed = where @ direction, pool @ direction
        saved += factor * along * (factor * float(direction @ weighed) * along - 2 * (where @ (inverse @ weighed)))
        variance -= factor * along**2
        inverse -= factor * np.outer(direction, direction)
    return np.array(picked, dtype=np.int64)
