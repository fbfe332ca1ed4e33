"""The space of tasks: which are alike, which are nearly the same, and which represent the others."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.preprocessing import normalize

from backend.domain.lsa import leading_dimensions

PLACE_DIMENSIONS = 50
"""Of the places that distances are measured between."""
SPACE_DIMENSIONS = 200
"""Of the space that all tasks lie in. (Choosing by variance with 100 needed more labels on two of four text sets and
fewer on one; 500 saved some on one and took five times as long.)"""
MAX_FITTED = 5_000
"""Tasks that this space is found from; more turn it by less than matters."""
NEAR = 0.8
"""Cosine of the features from which two tasks are nearly the same: a sentence in which one word in ten differs."""
TRIALS = 8
"""Candidates for each pick of k-means++, of which the best is taken."""
MAX_DRAWN = 20_000
"""Tasks of a larger pool, drawn at random, that k-means++ picks from."""
MAX_POTENTIAL = 10_000
"""Tasks on which its candidates are compared."""
BLOCK = 256
"""Rows compared with all others at a time."""


def coordinates(features: csr_matrix, *, seed: int) -> NDArray[np.float32]:
    """The space that tasks lie in: float32 (n, at most `SPACE_DIMENSIONS`), the dimension they differ most in first.

    By latent semantic analysis of the rows, scaled to the same length.

    Args:
        features: (n, d).
        seed: draws the tasks that the space is found from, and starts the decomposition.
    """
    n, d = features.shape
    if n == 0:
        return np.zeros((0, 1), dtype=np.float32)
    rows = normalize(features)
    if d <= SPACE_DIMENSIONS or n < 2:
        return np.asarray(rows[:, :SPACE_DIMENSIONS].toarray(), dtype=np.float32)
    return leading_dimensions(rows, SPACE_DIMENSIONS, most=MAX_FITTED, n_iter=3, seed=seed)


def places(space: NDArray[np.float32]) -> NDArray[np.float32]:
    """The place of each task: float32 (n, at most `PLACE_DIMENSIONS`), each of length 1, or 0 for a task without
    features.

    Args:
        space: see `coordinates`.
    """
    return np.asarray(normalize(space[:, :PLACE_DIMENSIONS]), dtype=np.float32)


def spread(
    candidates: NDArray[np.int64], utility: NDArray[np.float64], where: NDArray[np.float32], *, n: int, width: int
) -> NDArray[np.int64]:
    """The first `n` of the candidates, reordered so that those that follow one another differ: int64 (<= n,).

    Each pick is the one, among the first `width` candidates for each pick so far, whose utility times the distance to
    the nearest picked one is largest. So nothing comes long before its turn.

    Args:
        candidates: rows, the most useful first.
        utility: (n_tasks,), 0..1.
        where: see `places`.
        n: how many are wanted.
        width: how far a pick may come before its turn, for each pick; 1 changes nothing.
    """
    candidates = candidates[: n * width]
    left = np.ones(len(candidates), dtype=np.bool_)
    distance = np.ones(len(candidates))
    picked = []
    for turn in range(min(n, len(candidates))):
        window = (turn + 1) * width
        value = np.where(left[:window], utility[candidates[:window]] * distance[:window], -1.0)
        best = int(value.argmax())
        picked.append(candidates[best])
        left[best] = False
        # Half the squared distance of unit vectors, as far as 1: opposite is not more different than unrelated.
        distance = np.minimum(distance, np.clip(1 - where[candidates] @ where[candidates[best]], 1e-6, 1.0))
    return np.array(picked, dtype=np.int64)


def representatives(
    candidates: NDArray[np.int64],
    labeled: NDArray[np.int64],
    where: NDArray[np.float32],
    weights: NDArray[np.float64],
    lacking: NDArray[np.float64],
    *,
    n: int,
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tasks that stand for the others and differ, and the class that each was taken for: two int64 (<= n,), -1 = none.

    Greedy k-means++ (Arthur & Vassilvitskii 2007, section 6), which begins from the labeled tasks: each pick is the one
    of `TRIALS`, drawn by the squared distance to the nearest pick, after which all tasks are nearest to one. Classes
    take turns: each pick is for the class with the fewest labels, and drawn also by how probable that class is.

    Args:
        candidates: rows to pick from.
        labeled: rows that count as picked.
        where: see `places`.
        weights: (n_tasks, n_classes), how probable each class is; 1 where nothing is known; no columns = no balance.
        lacking: (n_classes,), how many labels each class has; counted up with each pick.
        n: how many are wanted.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    if len(candidates) > MAX_DRAWN:
        candidates = random.choice(candidates, MAX_DRAWN, replace=False)
    others = candidates
    if len(others) > MAX_POTENTIAL:
        others = random.choice(candidates, MAX_POTENTIAL, replace=False)
    distance, potential = _nearest(where, candidates, labeled), _nearest(where, others, labeled)
    counts, picked, classes = lacking.astype(np.float64), [], []
    for _ in range(min(n, len(candidates))):
        wanted = int(counts.argmin()) if counts.size else -1
        chance = np.maximum(distance, 0.0)
        if wanted >= 0:
            # Squared: the many tasks that are hardly expected to be of a class outweigh the few that are.
            chance = chance * weights[candidates, wanted] ** 2
        total = chance.sum()
        if total <= 0:
            left = np.flatnonzero(distance >= 0)
            drawn = random.choice(left, 1)
        else:
            drawn = np.unique(np.searchsorted(np.cumsum(chance), random.random(TRIALS) * total, side="right"))
            drawn = np.minimum(drawn, len(candidates) - 1)
        after = np.minimum(potential, _squared(where[others], where[candidates[drawn]]).T)
        best = int(drawn[after.sum(axis=1).argmin()])
        picked.append(candidates[best])
        classes.append(wanted)
        potential = after[after.sum(axis=1).argmin()]
        distance = np.minimum(distance, _squared(where[candidates], where[candidates[best]][None])[:, 0])
        distance[best] = -1.0
        if wanted >= 0:
            share = weights[candidates[best]]
            counts += share / max(share.sum(), 1e-9)
    return np.array(picked, dtype=np.int64), np.array(classes, dtype=np.int64)


def _squared(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Half the squared distances of unit vectors: (n, m)."""
    return np.asarray(np.clip(1 - one @ other.T, 0.0, None), dtype=np.float64)


def _nearest(where: NDArray[np.float32], rows: NDArray[np.int64], to: NDArray[np.int64]) -> NDArray[np.float64]:
    distance = np.ones(len(rows))
    for begin in range(0, len(to), BLOCK):
        part = _squared(where[rows], where[to[begin : begin + BLOCK]]).min(axis=1)
        distance = np.minimum(distance, part)
    return distance


def near_duplicates(features: csr_matrix, rows: NDArray[np.int64]) -> dict[int, set[int]]:
    """Which rows are nearly the same as each of the rows, itself included: cosine of the features at least `NEAR`.

    Args:
        features: sparse float32 (n_tasks, d).
        rows: int64 (n_rows,), those that are compared with each other, a few thousand at most.
    """
    near: dict[int, set[int]] = {int(row): {int(row)} for row in rows}
    if not len(rows):
        return near
    unit = csr_matrix(normalize(features[rows]))
    for begin in range(0, len(rows), BLOCK):
        similar = (unit[begin : begin + BLOCK] @ unit.T).tocoo()
        close = similar.data >= NEAR
        for one, other in zip(similar.row[close], similar.col[close], strict=True):
            near[int(rows[begin + one])].add(int(rows[other]))
    return near
