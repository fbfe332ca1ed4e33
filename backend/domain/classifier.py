"""The classifier: learns from features what people chose, and from the label model while people chose little."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

TRUSTED_TYPES: tuple[str, ...] = ("backend.domain.classifier.Classifier",)
"""Our own types in a stored classifier, which a skops loader has to be told to trust."""

MAX_WEAK = 5_000
"""Weakly labeled tasks learned from; more cost time and teach the same."""
WEAK_WEIGHT = 0.3
"""How much a weak label counts next to a human one, before there are any. A classifier that learns a task's weak label
by heart only repeats what the label model said of that task, and it is counted twice; with less weight it has to find
what many tasks share. (Best of 1, 0.3, 0.1, 0.03 on the open tasks of five text sets with 0 to 250 human labels.)"""
HALF_AT = 100.0
"""Number of human labels at which weak labels count half of that: they start the classifier and fade later."""
UNLIKELY = 0.1
"""Weak labels below this probability are left out: they cost as much time as likely ones."""
REGULARISATION = 10.0
"""scikit-learn's C. Rows of TF-IDF have length 1, which makes the default of 1 timid."""
UNSEEN = 1e-6
"""Probability given to a class that was never seen, before normalising: rare, not impossible."""


@dataclass(frozen=True)
class Classifier:
    """A fitted logistic regression over all classes of a decision, also those it never saw."""

    n_classes: int
    model: LogisticRegression

    def predict_proba(self, features: csr_matrix) -> NDArray[np.float64]:
        """Probabilities (n, k), all above 0."""
        proba = np.full((features.shape[0], self.n_classes), UNSEEN)
        if features.shape[0]:
            proba[:, self.model.classes_] += self.model.predict_proba(features)
        proba /= proba.sum(axis=1, keepdims=True)
        return proba


def train_classifier(
    features: csr_matrix, gold: NDArray[np.int64], weak: NDArray[np.float64], n_classes: int, *, seed: int
) -> Classifier | None:
    """Logistic regression on human labels, and on weak labels while human labels are few.

    A weak label is a distribution: its task is learned from once per likely class, weighted by that probability times
    `WEAK_WEIGHT` · h / (h + number of human labels), h = `HALF_AT`.

    Args:
        features: (n, d).
        gold: int64 (n,), class index or -1 = unknown.
        weak: float64 (n, k), the label model's posterior; NaN rows where there is none. Not used where gold is known.
        n_classes: k.
        seed: draws the weak labels that are used when there are more than `MAX_WEAK`.

    Returns:
        None when there are not two classes to tell apart.
    """
    taught = np.flatnonzero(gold >= 0)
    rows, classes, weights = _weak_examples(gold, weak, seed)
    rows = np.concatenate([taught, rows])
    classes = np.concatenate([gold[taught], classes])
    weights = np.concatenate([np.ones(taught.size), weights])
    if np.unique(classes).size < 2:
        return None
    model = LogisticRegression(C=REGULARISATION, max_iter=300, tol=1e-3)
    model.fit(features[rows], classes, sample_weight=weights)
    return Classifier(n_classes, model)


def _weak_examples(
    gold: NDArray[np.int64], weak: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rows, classes and weights of the weak labels; a row appears once for each of its likely classes."""
    usable = np.flatnonzero((gold < 0) & np.isfinite(weak).all(axis=1))
    if usable.size > MAX_WEAK:
        usable = np.sort(np.random.default_rng(seed).choice(usable, MAX_WEAK, replace=False))
    places, classes = np.nonzero(weak[usable] > UNLIKELY)
    weights = weak[usable][places, classes] * WEAK_WEIGHT * HALF_AT / (HALF_AT + (gold >= 0).sum())
    return usable[places], classes, weights
