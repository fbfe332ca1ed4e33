"""Anchoring: do people choose a label because it was suggested?"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.reports.version import Anchoring
from backend.domain.statistics import Interval, wilson

ENOUGH = 20
"""Tasks of each kind below which nothing is said: the interval would be wider than any effect."""
N_BINS = 10


def anchoring(
    shown: NDArray[np.float64],
    accepted: NDArray[np.bool_],
    withheld: NDArray[np.float64],
    agreed: NDArray[np.bool_],
) -> Anchoring:
    """How often people accept what is shown, against how often they choose the same when they don't see it.

    Served tasks are harder than audit tasks, so both are compared at equal confidence: in ten equal bins of the
    suggestion's confidence. The differences are weighted as Mantel and Haenszel (1959) do, by n_shown · n_withheld /
    (n_shown + n_withheld), so that bins where one kind is missing count nothing. What remains is the difference within
    a bin, at most 0.1 of confidence. The interval, 95 %, is that of a linear function of binomial shares (Zou, Huang &
    Zhang 2009) from Wilson's of each bin, which holds for few tasks too.

    Args:
        shown: (n,), 0..1, confidence of suggestions that stood in the form.
        accepted: bool (n,), the person left it.
        withheld: (m,), confidence of suggestions of audit tasks.
        agreed: bool (m,), the person chose the same.
    """
    bins = [np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1) for confidence in (shown, withheld)]
    n_shown, n_withheld = (np.bincount(places, minlength=N_BINS) for places in bins)
    both = (n_shown > 0) & (n_withheld > 0)
    n_shown, n_withheld = n_shown[both], n_withheld[both]
    found = Anchoring(int(n_shown.sum()), int(n_withheld.sum()))
    reason = ""
    if found.n_withheld < ENOUGH:
        reason = f"{found.n_withheld} labeled audit tasks can be compared, {ENOUGH} are needed"
    elif found.n_shown < ENOUGH:
        reason = f"{found.n_shown} tasks labeled with a suggestion in the form can be compared, {ENOUGH} are needed"
    if reason:
        return replace(found, reason=reason)
    n_accepted, n_agreed = (
        np.bincount(places, said, N_BINS)[both] for places, said in zip(bins, (accepted, agreed), strict=True)
    )
    weights = n_shown * n_withheld / (n_shown + n_withheld)
    weights = weights / weights.sum()
    accepted_share, agreed_share = n_accepted / n_shown, n_agreed / n_withheld
    difference, interval = _linear(
        np.concatenate([weights, -weights]),
        np.concatenate([n_accepted, n_agreed]),
        np.concatenate([n_shown, n_withheld]),
    )
    return replace(
        found,
        accepted=float(weights @ accepted_share),
        would_choose=float(weights @ agreed_share),
        difference=difference,
        difference_interval=interval,
    )


def _linear(factors: NDArray[np.float64], n_right: NDArray[np.float64], n: NDArray[np.int64]) -> tuple[float, Interval]:
    """The sum of factors · shares (m,), with its 95 % interval."""
    shares = n_right / n
    limits = np.array([wilson(int(right), int(total)) for right, total in zip(n_right, n, strict=True)])
    # The end of each share's interval that makes the sum smaller, and the one that makes it larger.
    falling = np.where(factors > 0, limits[:, 0], limits[:, 1])
    rising = np.where(factors > 0, limits[:, 1], limits[:, 0])
    value = float(factors @ shares)
    down, up = (float(np.sqrt(np.sum((factors * (shares - end)) ** 2))) for end in (falling, rising))
    return value, (max(-1.0, value - down), min(1.0, value + up))
