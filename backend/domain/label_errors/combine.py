"""Posteriors of several members, combined into one with weights that allow for wrong labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

MOST = 4.0
"""No member counts more than this many times."""
PULL = 4.0
"""Log-loss, summed over labels, that a weight 1 away from its default has to save: a few labels change little."""
PRIOR_ERRORS, PRIOR_LABELS = 1.0, 20.0
"""What the share of wrong labels is believed to be before any evidence: so many among so many."""
MAX_ERRORS = 0.4
"""No larger share is believed: members that learned from labels that are mostly wrong can't show it."""
ROUNDS = 8
MAX_ROWS = 20_000
"""Labels that weights are fitted on, evenly spaced where there are more: for a handful of numbers that is plenty."""
SMALLEST = 1e-6


@dataclass(frozen=True)
class Member:
    """Something that says how probable each class of a task is.

    proba: (n, k), NaN rows where it says nothing.
    weight: its exponent as long as labels don't say better.
    """

    name: str
    proba: NDArray[np.float64]
    weight: float


def combine_members(members: Sequence[Member], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """One posterior of all members, p(y) ∝ Π_i p_i(y)^w_i, float64 (n, k) (Genest & Zidek 1986, log-linear); NaN rows
    where no member knows anything."""
    scores = np.tensordot(weights, _logs(members), 1)
    silent = np.all([~np.isfinite(member.proba).all(axis=1) for member in members], axis=0)
    return np.where(silent[:, None], np.nan, _softmax(scores))


def fit_weights(members: Sequence[Member], given: NDArray[np.int64]) -> NDArray[np.float64]:
    """The exponents that make the given labels most probable, some of which are wrong.

    The likelihood of a label is Σ_y p(y) P(given | y), where P(given | y) is 1 - ε for y itself and even over the other
    classes. ε is found by EM, weights within each round by L-BFGS. Without ε a few labels that are plainly wrong would
    flatten what all members say, for the log-loss of a wrong label has no bound.

    A weight is one number for all tasks, so a label has next to no say in how it is judged itself.

    Args:
        members: made without the row's own label, at least one.
        given: int64 (n,), class index.

    Returns:
        Float64 (number of members,), 0 to `MOST`.
    """
    step = max(1, -(-given.size // MAX_ROWS))
    given, logs = given[::step], _logs(members)[:, ::step]
    default = np.array([member.weight for member in members])
    if not given.size or logs.shape[2] < 2:
        return default
    weights, errors = default, PRIOR_ERRORS / PRIOR_LABELS
    for _ in range(ROUNDS):
        weights = _fit(logs, given, default, weights, errors)
        proba = _softmax(np.tensordot(weights, logs, 1))
        before, errors = errors, _next_errors(proba[np.arange(given.size), given], errors, logs.shape[2])
        if abs(errors - before) < 1e-3:
            break
    return weights


def share_of_errors(proba_of_given: NDArray[np.float64], n_classes: int) -> float:
    """The share of wrong labels ε that makes the labels most probable, by EM: 0 to `MAX_ERRORS`.

    proba_of_given: float64 (n,), the probability of each label that was given.
    """
    errors = PRIOR_ERRORS / PRIOR_LABELS
    for _ in range(10 * ROUNDS):
        before, errors = errors, _next_errors(proba_of_given, errors, n_classes)
        if abs(errors - before) < 1e-4:
            break
    return errors


def posterior_of_right(proba_of_given: NDArray[np.float64], errors: float, n_classes: int) -> NDArray[np.float64]:
    """P(the label is right | everything, the label itself included): float64 (n,).

    proba_of_given: float64 (n,), the probability of each label without itself. errors: the share of wrong labels.
    """
    right = proba_of_given * (1 - errors)
    wrong = (1 - proba_of_given) * errors / max(n_classes - 1, 1)
    posterior: NDArray[np.float64] = right / np.maximum(right + wrong, 1e-300)
    return posterior


def _next_errors(proba_of_given: NDArray[np.float64], errors: float, n_classes: int) -> float:
    wrong = 1 - posterior_of_right(proba_of_given, errors, n_classes)
    return min(float(wrong.sum() + PRIOR_ERRORS) / (wrong.size + PRIOR_LABELS), MAX_ERRORS)


def _fit(
    logs: NDArray[np.float64],
    given: NDArray[np.int64],
    default: NDArray[np.float64],
    start: NDArray[np.float64],
    errors: float,
) -> NDArray[np.float64]:
    k = logs.shape[2]
    of_given = np.full((given.size, k), errors / (k - 1))
    of_given[np.arange(given.size), given] = 1 - errors

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        proba = _softmax(np.tensordot(weights, logs, 1))
        joint = proba * of_given
        total = joint.sum(axis=1, keepdims=True)
        gradient = -np.einsum("nk,ink->i", joint / total - proba, logs)
        away = weights - default
        return float(-np.log(total).sum() + PULL * away @ away), gradient + 2 * PULL * away

    bounds = [(0.0, MOST)] * len(default)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 30})
    return np.asarray(found.x, dtype=np.float64)


def _logs(members: Sequence[Member]) -> NDArray[np.float64]:
    """Logarithms (number of members, n, k); 0, which says nothing, in NaN rows."""
    return np.stack([np.log(np.clip(np.nan_to_num(member.proba, nan=1.0), SMALLEST, 1.0)) for member in members])


def _softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    proba: NDArray[np.float64] = np.exp(scores - scores.max(axis=1, keepdims=True))
    proba /= proba.sum(axis=1, keepdims=True)
    return proba
