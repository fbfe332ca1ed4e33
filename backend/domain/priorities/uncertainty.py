"""Uncertainty: how little is known of a task, from its posteriors alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.frame import Frame
from backend.domain.posterior import is_known
from backend.domain.priorities.strategy import MEASURES, Strategy
from backend.domain.questions import decisions

DIGITS = 9
"""Uncertainties that agree to so many digits are equal: what differs beyond is rounding, not meaning."""


@dataclass(frozen=True, slots=True)
class Priorities:
    """Which tasks are most useful to label.

    uncertainty: float64 (n_tasks,), 0..1, 1 = we know nothing.
    order: int64 (n_tasks,), rows, the most useful first.
    """

    uncertainty: NDArray[np.float64]
    order: NDArray[np.int64]


@dataclass(frozen=True)
class _Known:
    """A classifier to modAL: it already knows the answer."""

    proba: NDArray[np.float64]

    def predict_proba(self, _: object) -> NDArray[np.float64]:
        return self.proba


def uncertainty(posteriors: NDArray[np.float64], strategy: str = Strategy.LEAST_CONFIDENCE) -> NDArray[np.float64]:
    """Uncertainty of one decision, float64 (n,), 0..1; 1 in rows of which nothing is known.

    least_confidence: 1 - max p, not scaled, so that 1 - uncertainty is the confidence. margin: 1 - (first - second).
    entropy: divided by log k.

    Args:
        posteriors: (n, k), NaN rows where nothing is known.
        strategy: one of `MEASURES`.

    Raises:
        ValueError: it is none of them.
    """
    from modAL.uncertainty import classifier_entropy, classifier_margin, classifier_uncertainty  # noqa: PLC0415 - see backend/__init__.py

    if strategy not in MEASURES:
        raise ValueError(f"{strategy!r} doesn't measure uncertainty: {', '.join(MEASURES)} do")
    known = is_known(posteriors)
    proba = _Known(posteriors[known])
    k = posteriors.shape[1]
    result = np.ones(len(posteriors))
    if k < 2:
        # A single class can't be in doubt; modAL takes it for the greatest doubt.
        result[known] = 0.0
        return result
    match Strategy(strategy):
        case Strategy.LEAST_CONFIDENCE:
            result[known] = classifier_uncertainty(proba, None)
        case Strategy.MARGIN:
            result[known] = 1 - classifier_margin(proba, None)
        case Strategy.ENTROPY:
            result[known] = classifier_entropy(proba, None) / np.log(k)
    return np.clip(result, 0.0, 1.0)


def rank(frame: Frame, *, strategy: str = Strategy.LEAST_CONFIDENCE, seed: int) -> Priorities:
    """Order tasks by how little is known of them.

    A question with several labels is as certain as all its decisions together, the product of their 1 - uncertainty; of
    several units, see `Question.certainty`. A task is as uncertain as its most uncertain question. Decisions and
    questions of which nothing is known are left out, as they are left out of the suggestion, unless nothing is known of
    the task at all. So under least confidence uncertainty = 1 - `Suggestion.score`.

    Args:
        frame: posteriors of all questions.
        strategy: one of `MEASURES`.
        seed: shuffles tasks of equal uncertainty, which otherwise would come in the order of their import.
    """
    result = combined(frame, {key: uncertainty(value, strategy) for key, value in frame.posteriors.items()})
    return Priorities(result, descending(result, seed))


def combined(frame: Frame, measured: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """One figure per task, float64 (n_tasks,), from one per unit and decision, as `rank` does it; 1 where nothing is
    known.

    Args:
        frame: posteriors of all questions, which say where anything is known.
        measured: (n_units,), 0..1, by `Decision.key`.
    """
    certainty: NDArray[np.float64] = np.full(frame.n_tasks, np.inf)
    for question in frame.questions:
        units = frame.units[question.name]
        of_question, anything = np.ones(units.n), np.zeros(units.n, dtype=np.bool_)
        for decision in decisions(question):
            known = is_known(frame.posteriors[decision.key])
            of_question[known] *= 1 - measured[decision.key][known]
            anything |= known
        of_question[~anything] = np.nan
        certainty = np.fmin(certainty, question.certainty(units, of_question))
    return np.where(np.isfinite(certainty), 1 - certainty, 1.0)


def descending(values: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Rows, int64 (n,), the highest value first, equal ones in an order drawn by the seed."""
    shuffled = np.random.default_rng(seed).permutation(len(values))
    return shuffled[np.argsort(-np.round(values[shuffled], DIGITS), kind="stable")]
