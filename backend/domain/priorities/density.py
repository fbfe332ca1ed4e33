"""Strategies that look at the pool as a whole: information density, expected error reduction."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import euclidean_distances

MAX_MODAL = 500
"""Tasks up to which modAL's own routine serves; it compares each with each at once."""
MAX_REFERENCE = 1_000
"""Tasks of a larger pool that each task is compared with: the mean of so many similarities is close enough."""
CHUNK = 10_000


def density(where: NDArray[np.float32], *, seed: int) -> NDArray[np.float64]:
    """How much each task is like the others, float64 (n,), 0..1: information density (Settles & Craven 2008), the mean
    over the pool of 1 / (1 + distance). Of a larger pool than `MAX_MODAL`, the mean over a random part of it.

    Args:
        where: see `places`.
        seed: draws that part.
    """
    from modAL.density import information_density  # noqa: PLC0415 - see backend/__init__.py

    n = len(where)
    if n == 0:
        return np.zeros(0)
    if n <= MAX_MODAL:
        return np.asarray(information_density(where), dtype=np.float64)
    return sampled_density(where, min(n, MAX_REFERENCE), seed=seed)


def sampled_density(where: NDArray[np.float32], n_reference: int, *, seed: int) -> NDArray[np.float64]:
    """`density` from `n_reference` tasks drawn at random: float64 (n,), 0..1."""
    reference = where[np.random.default_rng(seed).choice(len(where), n_reference, replace=False)]
    parts = [
        (1 / (1 + euclidean_distances(where[begin : begin + CHUNK], reference))).mean(axis=1)
        for begin in range(0, len(where), CHUNK)
    ]
    similar: NDArray[np.float64] = np.concatenate(parts).astype(np.float64)
    return similar


def expected_error(
    where: NDArray[np.float32],
    labeled: NDArray[np.int64],
    gold: NDArray[np.int64],
    candidates: NDArray[np.int64],
    pool: NDArray[np.int64],
    *,
    n_likely: int = 5,
) -> NDArray[np.float64]:
    """Expected error of a classifier on the pool after a candidate is labeled (n_candidates,): the mean of 1 - max p
    over the other tasks, for each class that the candidate may have, weighted by its probability (Roy & McCallum 2001).

    modAL's routine computes the same with all classes, and fails to import with NumPy 1.24 and later. Both refit the
    classifier for each candidate and class, so this is for a few hundred candidates at most. The classifier is a
    logistic regression in the space of `places`.

    Args:
        where: see `places`.
        labeled: rows with a label.
        gold: int64 (n_tasks,), class index or -1 = unknown; known where labeled.
        candidates: rows.
        pool: rows that the error is expected on.
        n_likely: how many of the most probable classes of a candidate are tried.
    """
    known = gold[labeled]
    if np.unique(known).size < 2:
        return np.zeros(len(candidates))
    model = LogisticRegression(C=10.0, max_iter=200).fit(where[labeled], known)
    classes, proba = model.classes_, model.predict_proba(where[candidates])
    # Each fit begins where the one before ended, and they differ by a single task.
    model.set_params(warm_start=True)
    errors = np.zeros(len(candidates))
    for place, row in enumerate(candidates):
        others = pool[pool != row]
        likely = np.argsort(-proba[place])[:n_likely]
        total = proba[place, likely].sum()
        for index in likely:
            model.fit(where[np.append(labeled, row)], np.append(known, classes[index]))
            errors[place] += proba[place, index] / total * (1 - model.predict_proba(where[others]).max(axis=1)).mean()
    return errors
