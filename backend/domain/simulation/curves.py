"""What learning curves say: which labels and how much money reach a share of the full accuracy, against others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backend.domain.simulation.records import Curve, Point

SHARES = (0.90, 0.95, 0.99)
"""Of the accuracy with all labels."""


@dataclass(frozen=True, slots=True)
class Band:
    """A figure over seeds: median, lowest and highest. None: never reached (the median: in half of the runs)."""

    middle: float | None
    low: float | None
    high: float | None
    n_reached: int
    n_runs: int


@dataclass(frozen=True, slots=True)
class BandPoint:
    """A point of the mean curve, its USD and tokens the mean too, with the lowest and highest accuracy over `n_runs`
    seeds."""

    n_labels: int
    usd: float
    accuracy: float
    low: float
    high: float
    n_runs: int
    n_tokens: float = 0.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a plan needs to reach a share of the full accuracy. tokens: that people read, where
    spans are marked; else 0."""

    plan: str
    share: float
    labels: Band
    usd: Band
    tokens: Band


@dataclass(frozen=True, slots=True)
class Final:
    """Where a plan ended: accuracy, labels given by people, and how many of these were about suspects."""

    plan: str
    accuracy: Band
    labels: Band
    again: Band


def finals(curves: Sequence[Curve]) -> list[Final]:
    """The last point of each plan, over seeds."""
    found = []
    for plan, runs in by_plan(curves).items():
        last = [curve.points[-1] for curve in runs]
        accuracies, labels = [point.accuracy for point in last], [float(point.n_labels) for point in last]
        found.append(Final(plan, band(accuracies), band(labels), band([float(point.n_again) for point in last])))
    return found


def reached(points: Sequence[Point], accuracy: float) -> Point | None:
    """The first point with an accuracy that holds: the next point has it, too, or there is none.

    None if there is no such point; nothing is extrapolated. A point without any label doesn't count: that rules alone
    are good enough is only known once people have labeled a first batch.
    """
    labeled = [point for point in points if point.n_labels]
    for place, point in enumerate(labeled):
        if all(item.accuracy >= accuracy for item in labeled[place : place + 2]):
            return point
    return None


def costs(curves: Sequence[Curve], shares: Sequence[float] = SHARES) -> list[Cost]:
    """What each plan needs for each share, plans in the order in which they first come."""
    found = []
    for plan in dict.fromkeys(curve.plan for curve in curves):
        runs = [curve for curve in curves if curve.plan == plan]
        for share in shares:
            # A share of nothing is reached by nothing.
            points = [reached(curve.points, share * curve.full) if curve.full > 0 else None for curve in runs]
            labels = [None if point is None else float(point.n_labels) for point in points]
            usd = [None if point is None else point.usd for point in points]
            tokens = [None if point is None else float(point.n_tokens) for point in points]
            found.append(Cost(plan, share, band(labels), band(usd), band(tokens)))
    return found


def band(values: Sequence[float | None] | Sequence[float]) -> Band:
    """Median, lowest and highest, where None is above all others."""
    known = sorted(value for value in values if value is not None)
    n = len(values)
    ordered: list[float | None] = [*known, *[None] * (n - len(known))]
    return Band(_median(ordered), ordered[0], ordered[-1], len(known), n)


def ratio(mine: Band, other: Band) -> float | None:
    """How many times as much the other needs, by the medians; None where one of them isn't reached."""
    if mine.middle is None or other.middle is None or mine.middle == 0:
        return None
    return other.middle / mine.middle


def mean_curve(curves: Sequence[Curve]) -> list[BandPoint]:
    """One plan's curves over seeds as one, at each number of labels that all runs have got to.

    Runs in which people labeled suspects again have points at other numbers of labels: between its points, a run is
    taken to be a straight line. Of two points with as many labels, the later one counts.
    """
    runs = [{point.n_labels: point for point in curve.points} for curve in curves]
    end = min(max(run) for run in runs)
    found = []
    for n_labels in sorted({n_labels for run in runs for n_labels in run if n_labels <= end}):
        accuracies = [_at(run, n_labels, [point.accuracy for point in run.values()]) for run in runs]
        usd = [_at(run, n_labels, [point.usd for point in run.values()]) for run in runs]
        tokens = [_at(run, n_labels, [float(point.n_tokens) for point in run.values()]) for run in runs]
        mean, lowest, highest = float(np.mean(accuracies)), min(accuracies), max(accuracies)
        found.append(BandPoint(n_labels, float(np.mean(usd)), mean, lowest, highest, len(runs), float(np.mean(tokens))))
    return found


def _at(run: Mapping[int, Point], n_labels: int, values: Sequence[float]) -> float:
    return float(np.interp(n_labels, list(run), values))


def by_plan(curves: Sequence[Curve]) -> Mapping[str, list[Curve]]:
    """The curves of each plan, plans in the order in which they first come."""
    found: dict[str, list[Curve]] = {}
    for curve in curves:
        found.setdefault(curve.plan, []).append(curve)
    return found


def _median(ordered: Sequence[float | None]) -> float | None:
    """Of an even number the mean of the two in the middle, None if one of them is."""
    n = len(ordered)
    low, high = ordered[(n - 1) // 2], ordered[n // 2]
    return None if low is None or high is None else (low + high) / 2
