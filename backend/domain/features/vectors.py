"""Embeddings as features: vectors that a model of meaning gave tasks, in a space small enough to learn in."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.decomposition import PCA

N_COMPONENTS = 128
"""Dimensions kept, those along which the project's tasks differ most. More cost memory: they are dense."""
MAX_FITTED = 5_000
"""Tasks that these dimensions are found from."""
MIN_KNOWN = 20
"""Vectors below which none are used."""
KNOWN_SHARE = 0.5
"""The same as a share of the tasks: while an endpoint is down, most tasks would look alike."""
LENGTH = 1.5
"""Mean length of the rows, next to the TF-IDF of a text, whose words and characters have length 1 each."""


@dataclass(frozen=True)
class Vectors:
    """Vectors of tasks. model: who made them. rows: float32 (n, d), NaN rows where there is none. problem: why."""

    model: str
    rows: NDArray[np.float32]
    problem: str = ""

    @property
    def known(self) -> NDArray[np.int64]:
        """Rows that have a vector: int64 (n_known,), ascending."""
        return np.flatnonzero(np.isfinite(self.rows).all(axis=1)) if self.rows.shape[1] else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class VectorSpace:
    """Turns vectors of one model into features. mean: float32 (d,), components: float32 (d, m), scaled."""

    model: str
    mean: NDArray[np.float32]
    components: NDArray[np.float32]

    @classmethod
    def fit(cls, vectors: Vectors | None, *, seed: int) -> "VectorSpace | None":
        """The leading principal components of the vectors, each vector first scaled to length 1.

        Args:
            vectors: of the project's tasks.
            seed: draws the tasks it is found from.

        Returns:
            None with too few vectors, see `MIN_KNOWN` and `KNOWN_SHARE`, or only one and the same.
        """
        if vectors is None or len(vectors.known) < max(MIN_KNOWN, KNOWN_SHARE * len(vectors.rows)):
            return None
        known = vectors.known
        if len(known) > MAX_FITTED:
            known = np.random.default_rng(seed).choice(known, MAX_FITTED, replace=False)
        rows = _unit(vectors.rows[known])
        if not np.ptp(rows, axis=0).any():
            # All alike: they tell nothing apart.
            return None
        found = PCA(min(N_COMPONENTS, *rows.shape), svd_solver="randomized", random_state=seed).fit(rows)
        deviation = float(np.sqrt(found.explained_variance_.sum()))
        components = found.components_.T * (LENGTH / max(deviation, 1e-6))
        return cls(vectors.model, found.mean_.astype(np.float32), components.astype(np.float32))

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.components.shape[1])

    def transform(self, vectors: Vectors | None, n: int) -> csr_matrix:
        """Features, float32 (n, width); a row of zeros, which is what a middling task has, where no vector is known.

        Vectors of another model than those of `fit` are not used.
        """
        table = np.zeros((n, self.width), dtype=np.float32)
        if vectors is not None and vectors.model == self.model and vectors.rows.shape[1] == len(self.mean):
            known = vectors.known
            table[known] = (_unit(vectors.rows[known]) - self.mean) @ self.components
        return csr_matrix(table)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), dtype=np.float32)
