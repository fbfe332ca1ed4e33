"""Tasks that are labeled, but not as often as Label Studio wants: where they stand among those without any label."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.priorities.uncertainty import descending


@dataclass(frozen=True)
class Relabels:
    """Scores of tasks by how much another label of each would teach.

    begun: bool (n_tasks,), somebody has labeled it. scores: float64 (n_tasks,), of ActiveLab (Goh & Mueller 2023), the
    same scale for tasks with and without labels: the lower, the more another one teaches. NaN: nothing is known, so
    nothing teaches more.
    """

    begun: NDArray[np.bool_]
    scores: NDArray[np.float64]

    def in_order(self, rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        """Rows, int64 (n,), the one first whose next label teaches most; equal ones in an order drawn by the seed."""
        return rows[descending(-self._known()[rows], seed)]

    def share(self, rows: NDArray[np.int64], n: int, seed: int) -> float:
        """Share of the `n` rows whose next label teaches most that have a label: 0..1. rows: int64 (n_rows,)."""
        first = self.in_order(rows, seed)[:n]
        return float(self.begun[first].mean()) if first.size else 0.0

    def as_sure(self, confidence: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Confidences (n_tasks,), with that of a begun task lowered to what tasks without labels have at its score.

        The model has learned from its labels, so its own confidence only says that it remembers them.

        Args:
            confidence: float64 (n_tasks,), 0..1.
            rows: which count.
        """
        scores, lowered = self._known(), confidence.copy()
        begun, fresh = rows[self.begun[rows]], rows[~self.begun[rows]]
        alike = scores[begun]
        if fresh.size:
            # Both sorted, so that the lowest score stands for the lowest confidence.
            alike = np.interp(alike, np.sort(scores[fresh]), np.sort(confidence[fresh]))
        lowered[begun] = np.minimum(confidence[begun], np.clip(alike, 0, 1))
        return lowered

    def _known(self) -> NDArray[np.float64]:
        return np.nan_to_num(self.scores, nan=0.0)
