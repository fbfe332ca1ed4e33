"""Learning curves for `benchmarks.active_learning`: the labels that a target takes, and how methods compare."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.common import OURS, Row

SHARE = 0.95
"""Of what all labels of the pool give: the target."""
WINDOW = 5
"""Checkpoints that a curve is smoothed over, and for which it has to stay above the target."""
METRICS = ("accuracy", "macro_f1")
RANDOM = "random"
WORDS = "random, words alone"
"""The classifier sees no embeddings."""
NO_RULES, WHOLE = f"{OURS} without rules", f"{OURS}, rules teach too"


def crossing(points: Sequence[Mapping[str, float]], metric: str, target: float) -> float | None:
    """Labels at which the mean over `WINDOW` checkpoints reaches the target for `WINDOW` in a row; None if never."""
    values = np.array([point[metric] for point in points])
    labels = np.array([point["n"] for point in points])
    if values.size < WINDOW:
        return None
    # Complete windows only, each at its middle checkpoint.
    smooth = np.convolve(values, np.full(WINDOW, 1 / WINDOW), mode="valid")
    labels = labels[WINDOW // 2 : WINDOW // 2 + smooth.size]
    for place in range(smooth.size - WINDOW + 1):
        if (smooth[place : place + WINDOW] >= target).all():
            if place == 0:
                return float(labels[0])
            before, after = smooth[place - 1], smooth[place]
            part = (target - before) / (after - before)
            return float(labels[place - 1] + part * (labels[place] - labels[place - 1]))
    return None


def ratios(rows: Sequence[Row], metric: str) -> dict[str, dict[str, float]]:
    """Labels as a part of random's: method -> set -> ratio. Where there are no rules, ours is the same without them."""
    labels: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.metric == what(metric):
            labels.setdefault(row.method, {})[row.set] = row.value
    for method in (NO_RULES, WHOLE):
        if method in labels:
            labels[method] = labels.get(OURS, {}) | labels[method]
    chance = labels.get(RANDOM, {})
    return {
        method: {name: value / chance[name] for name, value in by_set.items() if name in chance}
        for method, by_set in labels.items()
    }


def summaries(rows: Sequence[Row]) -> Iterator[Row]:
    """Each method's labels as a part of random's, and ours as a part of the peers', on the sets that both ran on."""
    for metric in METRICS:
        table = ratios(rows, metric)
        for method, by_set in table.items():
            for name, value in by_set.items():
                yield Row(name, method, f"{metric}: labels / random's", value, 0.0)
        for method, by_set in table.items():
            if by_set:
                name = f"geometric mean ({len(by_set)})"
                yield Row(name, method, f"{metric}: labels / random's", mean_of(by_set), 0.0)
        peers = {
            method: by_set for method, by_set in table.items() if method not in (RANDOM, WORDS) and OURS not in method
        }
        names = {name for by_set in peers.values() for name in by_set}
        best = {name: min(by_set[name] for by_set in peers.values() if name in by_set) for name in names}
        for method in (NO_RULES, OURS, WHOLE):
            without = {WORDS: table[WORDS]} if WORDS in table else {}
            for peer, theirs in [*without.items(), *peers.items(), ("best peer of each set", best)]:
                mine = {name: value / theirs[name] for name, value in table.get(method, {}).items() if name in theirs}
                if mine:
                    yield Row(f"geometric mean ({len(mine)})", method, f"{metric}: / {peer}", mean_of(mine), 0.0)


def what(metric: str) -> str:
    """The name of the figure."""
    return f"labels to {SHARE:.0%} of {metric}"


def mean_of(by_set: Mapping[str, float]) -> float:
    """Geometric mean."""
    return float(np.exp(np.mean(np.log(list(by_set.values())))))


def figures(name: str, method: str, runs: Sequence[Mapping[str, Any]], full: Mapping[str, float]) -> Iterator[Row]:
    """Means and standard deviations over the seeds of one method."""
    seconds = float(np.mean([run["seconds"] for run in runs]))
    for metric in METRICS:
        found = [crossing(run["points"], metric, SHARE * full[metric]) for run in runs]
        labels = [run["points"][-1]["n"] if value is None else value for value, run in zip(found, runs, strict=True)]
        yield Row(name, method, what(metric), float(np.mean(labels)), seconds)
        yield Row(
            name, method, f"{what(metric)}: sd", float(np.std(labels, ddof=1)) if len(labels) > 1 else 0.0, seconds
        )
        if None in found:
            yield Row(name, method, f"{what(metric)}: seeds that never did", float(found.count(None)), seconds)
