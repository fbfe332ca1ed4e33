"""How right spans are: exact precision, recall and F1, with an interval over texts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from backend.domain.spans.text import Run

N_DRAWS = 1_000


@dataclass(frozen=True, slots=True)
class SpanScores:
    """Exact matches: same ends, same label. interval: 95 % of the F1, by drawing texts with replacement."""

    precision: float
    recall: float
    f1: float
    interval: tuple[float, float]
    n_right: int
    n_marked: int
    n_true: int


def f1(n_right: float, n_marked: float, n_true: float) -> float:
    """2 · right / (marked + true); 1 where nothing was to be marked and nothing was."""
    return 2 * n_right / (n_marked + n_true) if n_marked + n_true else 1.0


def span_scores(marked: Sequence[Collection[Run]], true: Sequence[Collection[Run]], *, seed: int = 0) -> SpanScores:
    """Scores of what was marked in n texts against what people marked there.

    The interval is Efron's percentile bootstrap over texts: spans of one text are right or wrong together.
    """
    counts = np.array(
        [
            (len(set(ours) & set(theirs)), len(set(ours)), len(set(theirs)))
            for ours, theirs in zip(marked, true, strict=True)
        ],
        dtype=np.float64,
    ).reshape(-1, 3)
    right, n_marked, n_true = counts.sum(axis=0)
    random = np.random.default_rng(seed)
    draws = (
        random.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=N_DRAWS)
        if len(counts)
        else np.zeros((1, 0))
    )
    drawn = draws @ counts
    values = np.divide(
        2 * drawn[:, 0], drawn[:, 1] + drawn[:, 2], out=np.ones(len(drawn)), where=drawn[:, 1] + drawn[:, 2] > 0
    )
    low, high = np.quantile(values, [0.025, 0.975])
    return SpanScores(
        float(right / n_marked) if n_marked else 1.0,
        float(right / n_true) if n_true else 1.0,
        f1(right, n_marked, n_true),
        (float(low), float(high)),
        int(right),
        int(n_marked),
        int(n_true),
    )
