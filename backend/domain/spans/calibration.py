"""Probabilities that keep what they promise: Platt's (1999) two numbers, held where they are by few examples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-4
PULL = 4.0
"""So many nats, summed over examples, that a step of 1 away from doing nothing has to save."""
LEAST_SLOPE = 0.1


@dataclass(frozen=True, slots=True)
class Calibration:
    """p -> sigmoid(slope · logit(p) + shift)."""

    slope: float = 1.0
    shift: float = 0.0

    def of(self, p: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probabilities of those that a tagger gave: float64 (n,) or any other shape, the same for both."""
        if (self.slope, self.shift) == (1.0, 0.0):
            return p
        from scipy.special import expit  # noqa: PLC0415 - commands that only look don't need it

        return np.asarray(expit(self.slope * logit(p) + self.shift))


def fit_calibration(p: Sequence[float], right: Sequence[bool]) -> Calibration:
    """The two numbers that fit best what was right and what wasn't; (1, 0) without examples.

    The log-loss and a normal prior around (1, 0), which are convex; the slope is kept above 0, so the order stays.
    """
    if not len(p):
        return Calibration()
    from scipy.optimize import minimize  # noqa: PLC0415 - see above
    from scipy.special import expit  # noqa: PLC0415

    x, y = logit(np.asarray(p, dtype=np.float64)), np.asarray(right, dtype=np.float64)

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        score = at[0] * x + at[1]
        away = at - np.array([1.0, 0.0])
        wrong = expit(score) - y
        value = (np.logaddexp(0.0, score) - y * score).sum() + PULL * away @ away
        return float(value), np.array([wrong @ x, wrong.sum()]) + 2 * PULL * away

    found = minimize(
        loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(LEAST_SLOPE, None), (None, None)]
    )
    return Calibration(float(found.x[0]), float(found.x[1]))


def logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(p / (1 - p)), with p kept away from 0 and 1: float64 (n,) or any other shape, as p."""
    clipped = np.clip(p, SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(clipped / (1 - clipped)))


def log_loss(p: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Sum of -log of the probability of what happened. p: float64 (n,), 0..1; right: bool (n,)."""
    clipped = np.clip(p, SMALLEST, 1 - SMALLEST)
    return float(-np.log(np.where(right, clipped, 1 - clipped)).sum())
