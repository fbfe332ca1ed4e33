"""Priorities: which task a person should label next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from modAL.uncertainty import classifier_entropy, classifier_margin, classifier_uncertainty
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans

from backend.domain.posterior import is_known
from backend.domain.questions import Question, decisions

DIGITS = 9
"""Uncertainties that agree to so many digits are equal: what differs beyond is rounding, not meaning."""
DIMENSIONS = 20
"""Of the space that tasks are clustered in. Few enough that distances mean something."""


class Strategy(StrEnum):
    """How uncertainty is measured. Only under least confidence is it 1 - confidence."""

    LEAST_CONFIDENCE = "least_confidence"
    MARGIN = "margin"
    ENTROPY = "entropy"


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
    """Uncertainty (n,) of one decision, 0..1; 1 in rows of which nothing is known.

    least_confidence: 1 - max p, not scaled, so that 1 - uncertainty is the confidence. margin: 1 - (first - second).
    entropy: divided by log k.

    Args:
        posteriors: (n, k), NaN rows where nothing is known.
        strategy: one of `Strategy`.

    Raises:
        ValueError: there is no such strategy.
    """
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


def rank(
    questions: Sequence[Question],
    posteriors: Mapping[str, NDArray[np.float64]],
    *,
    strategy: str = Strategy.LEAST_CONFIDENCE,
    seed: int,
) -> Priorities:
    """Order tasks by how little is known of them.

    A question with several labels is as certain as all its decisions together, the product of their 1 - uncertainty; a
    task is as uncertain as its most uncertain question. Decisions and questions of which nothing is known are left out,
    as they are left out of the suggestion, unless nothing is known of the task at all. So under least confidence
    uncertainty = 1 - `Suggestion.score`.

    Args:
        questions: the questions of the project.
        posteriors: (n_tasks, k) for every decision of these questions, by `Decision.key`.
        strategy: one of `Strategy`.
        seed: shuffles tasks of equal uncertainty, which otherwise would come in the order of their import.
    """
    n_tasks = max((len(posterior) for posterior in posteriors.values()), default=0)
    certainty: NDArray[np.float64] = np.full(n_tasks, np.inf)
    for question in questions:
        of_question, anything = np.ones(n_tasks), np.zeros(n_tasks, dtype=np.bool_)
        for decision in decisions(question):
            known = is_known(posteriors[decision.key])
            of_question[known] *= 1 - uncertainty(posteriors[decision.key], strategy)[known]
            anything |= known
        certainty = np.where(anything, np.minimum(certainty, of_question), certainty)
    result = np.where(np.isfinite(certainty), 1 - certainty, 1.0)
    shuffled = np.random.default_rng(seed).permutation(n_tasks)
    order = shuffled[np.argsort(-np.round(result[shuffled], DIGITS), kind="stable")]
    return Priorities(result, order)


def clusters(features: csr_matrix, top: NDArray[np.int64], *, n_clusters: int, seed: int) -> NDArray[np.int64]:
    """Group the most useful tasks by what they are about: int64 (len(top),), from 0, fewer groups than asked for if
    fewer tasks differ.

    k-means on the leading singular vectors of the rows (latent semantic analysis, Deerwester et al. 1990).

    Args:
        features: (n_tasks, d).
        top: rows of `features`, a few hundred at most.
        n_clusters: at most so many groups.
        seed: of k-means.
    """
    rows = features[top]
    # With few rows, the eigenvectors of their inner products are the singular vectors: exact, cheap for any d.
    products = (rows @ rows.T).toarray()
    values, vectors = np.linalg.eigh(products)
    leading = np.argsort(values)[::-1][:DIMENSIONS]
    places = np.round(vectors[:, leading] * np.sqrt(np.maximum(values[leading], 0.0)), 6)
    n_distinct = len(np.unique(places, axis=0))
    if min(n_distinct, n_clusters) < 2:
        return np.zeros(len(top), dtype=np.int64)
    model = KMeans(n_clusters=min(n_clusters, n_distinct), n_init=5, random_state=seed)
    return np.asarray(model.fit_predict(places), dtype=np.int64)
