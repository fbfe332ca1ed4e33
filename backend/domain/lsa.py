"""Latent semantic analysis (Deerwester et al. 1990): sparse features as a few dense dimensions."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD


def leading_dimensions(
    rows: csr_matrix, n_dimensions: int, *, most: int, n_iter: int, seed: int
) -> NDArray[np.float32]:
    """Where rows lie along their leading singular vectors: float32 (n, at most `n_dimensions`), the longest first.

    Args:
        rows: sparse float32 (n, d), at least two rows and more columns than dimensions are wanted.
        n_dimensions: how many dimensions are wanted.
        most: rows that the vectors are found from; where there are more, they are drawn.
        n_iter: power iterations (Halko et al. 2011); more make the vectors more exact.
        seed: draws rows, and starts the decomposition.
    """
    sample = some_of(np.arange(rows.shape[0]), most, seed)
    space = TruncatedSVD(min(n_dimensions, sample.size), n_iter=n_iter, random_state=seed).fit(rows[sample])
    return np.asarray(space.transform(rows), dtype=np.float32)


def some_of(rows: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Some of the rows, drawn by the seed: int64 (n,), n at most `most`, ascending if they were."""
    if rows.size <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
