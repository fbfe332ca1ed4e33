"""Figures with their intervals, as textbooks have them."""

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
"""Ends of an interval, of 95 % where nothing else is said."""
Z = 1.959964
"""Standard normal quantile of two-sided 95 %."""


def wilson(n_right: int, n: int) -> Interval | None:
    """95 % score interval of a share (Wilson 1927); None for n = 0. Unlike the normal one it holds for few labels."""
    if n == 0:
        return None
    share, spread = n_right / n, Z * Z / n
    centre = (share + spread / 2) / (1 + spread)
    half = Z * np.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def exact(n_right: int, n: int, level: float) -> Interval:
    """Interval of a share that holds with at least this probability, however few are counted (Clopper & Pearson 1934);
    (0, 1) for n = 0."""
    from scipy.stats import beta  # noqa: PLC0415 - it takes a second to load

    tail = (1 - level) / 2
    low = float(beta.ppf(tail, n_right, n - n_right + 1)) if n_right else 0.0
    high = float(beta.ppf(1 - tail, n_right + 1, n - n_right)) if n_right < n else 1.0
    return low, high


def cohen_kappa(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> tuple[float, Interval]:
    """Agreement beyond chance, with its 95 % interval; 0 where chance explains all.

    kappa = (observed - chance) / (1 - chance) (Cohen 1960, equation 1). Its interval is Wilson's of the observed
    agreement put through the same formula: like Cohen's own (his equation 7) it takes chance as known, but it doesn't
    shrink to nothing when all answers agree.

    Args:
        ours: int64 (n,), n > 0, classes.
        theirs: int64 (n,), classes.
    """
    n_classes = int(max(ours.max(), theirs.max())) + 1
    share = np.bincount(ours, minlength=n_classes) * np.bincount(theirs, minlength=n_classes)
    expected = float(share.sum()) / len(ours) ** 2
    observed = float((ours == theirs).mean())
    if expected >= 1:
        # Both gave one class and no other: nothing tells agreement from chance.
        return 0.0, (0.0, 0.0)
    kappa = (observed - expected) / (1 - expected)
    low, high = (
        max(-1.0, (bound - expected) / (1 - expected)) for bound in wilson(int((ours == theirs).sum()), len(ours)) or ()
    )
    return kappa, (low, high)
