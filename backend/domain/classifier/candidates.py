"""The models a classifier can be: each learns scores from weighted examples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import ComplementNB
from sklearn.svm import LinearSVC

REGULARISATION = 10.0
"""scikit-learn's C of logistic regression. Rows of TF-IDF have length 1, which makes the default of 1 timid."""
SVM_TOLERANCE = 0.05
"""Where liblinear stops; its own default is 0.1. With 0.001 training takes twice as long and is no better."""
ALPHA = 0.3
"""Smoothing of naive Bayes."""
SHRINKAGE = 0.7
"""Of the covariance of embeddings. (Better than 0.3 on 8 of 9 text sets with 20 to 100 labels, by up to 2 points.)"""
MAX_DENSE = 200
"""Columns that gradient boosting takes at most: they are stored dense."""
MAX_CLASS_WEIGHT = 20.0
SMALLEST = 1e-9


class Candidate(StrEnum):
    """The kinds of classifier that are compared."""

    LOGISTIC = "logistic regression"
    SVM = "linear SVM"
    BAYES = "complement naive Bayes"
    """Of embeddings, which are no counts, Gaussians of one shape: see `_gaussians`."""
    BOOSTING = "gradient boosting"


class View(StrEnum):
    """The columns that a classifier learns from, where some of them hold embeddings."""

    ALL = ""
    WITHOUT_VECTORS = "without vectors"
    VECTORS_ALONE = "vectors alone"

    def columns(self, width: int, n_vectors: int) -> slice:
        """The columns of this view, where the last `n_vectors` columns hold embeddings."""
        first = width - n_vectors
        return {View.ALL: slice(0, width), View.WITHOUT_VECTORS: slice(0, first)}.get(self, slice(first, width))


@dataclass(frozen=True)
class LinearScores:
    """Scores that are linear in the features. `weights`: float32 (d, k), `intercept`: float64 (k,)."""

    weights: NDArray[np.float32]
    intercept: NDArray[np.float64]

    def among(self, columns: slice, width: int) -> "LinearScores":
        """The same for features of which only these columns were learned from."""
        weights = np.zeros((width, self.weights.shape[1]), dtype=np.float32)
        weights[columns] = self.weights
        return LinearScores(weights, self.intercept)

    def scores(self, features: csr_matrix) -> NDArray[np.float64]:
        """Unnormalised log-probabilities, float64 (n, k)."""
        product: NDArray[np.float64] = (features @ self.weights).astype(np.float64)
        return product + self.intercept


@dataclass(frozen=True)
class BoostedTrees:
    """Gradient-boosted trees on features that are few enough to be a table."""

    model: HistGradientBoostingClassifier

    def scores(self, features: csr_matrix) -> NDArray[np.float64]:
        """Log-probabilities, float64 (n, k)."""
        proba: NDArray[np.float64] = self.model.predict_proba(features.toarray())
        logs: NDArray[np.float64] = np.log(np.maximum(proba, SMALLEST))
        return logs


Scores = LinearScores | BoostedTrees
DEFAULT_SHARPNESS = {Candidate.LOGISTIC: 1.0, Candidate.SVM: 2.0, Candidate.BAYES: 2.0, Candidate.BOOSTING: 1.0}
"""What scores are multiplied by to be log-probabilities, as long as no human labels say better."""


def suitable(features: csr_matrix, *, is_table: bool, n_vectors: int = 0) -> list[Candidate]:
    """Candidates worth trying: naive Bayes needs counts (nothing negative) in all columns but those of embeddings,
    which are the last `n_vectors`; gradient boosting a table without text. features: sparse (n, d)."""
    found = [Candidate.LOGISTIC, Candidate.SVM]
    counts = features[:, : features.shape[1] - n_vectors] if n_vectors else features
    if not counts.nnz or counts.data.min() >= 0:
        found.append(Candidate.BAYES)
    if is_table and features.shape[0] >= 100 and 1 < features.shape[1] <= MAX_DENSE:
        found.append(Candidate.BOOSTING)
    return found


def fit_scores(
    candidate: Candidate,
    features: csr_matrix,
    classes: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    seed: int,
    n_vectors: int = 0,
) -> Scores:
    """Fit a candidate.

    Args:
        candidate: which.
        features: (n, d).
        classes: int64 (n,), 0..k-1, each at least once, k >= 2.
        weights: (n,), positive.
        seed: makes the result reproducible.
        n_vectors: columns at the end that are of embeddings.
    """
    if candidate is Candidate.BAYES:
        return _bayes(features, classes, weights, n_vectors)
    return _FITS[candidate](features, classes, weights, seed)


def class_weights(classes: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights that give each class the same total: float64 (k,), at most `MAX_CLASS_WEIGHT`.

    Without it a rare class is hardly ever answered while labels are few: regularisation pulls towards the shares of
    the classes. (Logistic regression on six text sets with 50 to 1,000 labels: better or equal on all, up to 7 points
    of macro-F1 with 1,000 labels and 15 with 200 where one class in eight is rare.)
    """
    totals = np.bincount(classes, weights)
    balanced: NDArray[np.float64] = np.minimum(weights.sum() / (totals.size * totals), MAX_CLASS_WEIGHT)
    return balanced


def _logistic(
    features: csr_matrix, classes: NDArray[np.int64], weights: NDArray[np.float64], _seed: int
) -> LinearScores:
    model = LogisticRegression(C=REGULARISATION, max_iter=300, tol=1e-4)
    return _fit_linear(model, features, classes, weights)


def _svm(features: csr_matrix, classes: NDArray[np.int64], weights: NDArray[np.float64], seed: int) -> LinearScores:
    return _fit_linear(LinearSVC(C=1.0, tol=SVM_TOLERANCE, random_state=seed), features, classes, weights)


def _fit_linear(
    model: LogisticRegression | LinearSVC,
    features: csr_matrix,
    classes: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> LinearScores:
    """Fit on the columns that occur: those that don't would get 0 and only cost time."""
    columns = np.unique(features.indices)
    balanced = (weights * class_weights(classes, weights)[classes]).astype(features.dtype)
    model.fit(features[:, columns] if columns.size else features, classes, sample_weight=balanced)
    k = int(classes.max()) + 1
    coefficients, intercept = model.coef_, np.asarray(model.intercept_, dtype=np.float64).reshape(-1)
    if k == 2:
        coefficients, intercept = np.vstack([0 * coefficients, coefficients]), np.array([0.0, intercept[0]])
    full = np.zeros((features.shape[1], k), dtype=np.float32)
    full[columns if columns.size else np.arange(features.shape[1])] = coefficients.T
    return LinearScores(full, intercept)


def _bayes(
    features: csr_matrix, classes: NDArray[np.int64], weights: NDArray[np.float64], n_vectors: int
) -> LinearScores:
    """Words and embeddings are taken to be independent given the class: their log-odds are added up."""
    balanced = weights * class_weights(classes, weights)[classes]
    counts = features.shape[1] - n_vectors
    k = int(classes.max()) + 1
    found, intercept = np.zeros((features.shape[1], k)), np.zeros(k)
    if counts:
        model = ComplementNB(alpha=ALPHA).fit(features[:, :counts], classes, sample_weight=balanced)
        logs = model.feature_log_prob_.T
        # The mean of a column moves all classes' scores alike, and the rest keeps more digits without it.
        found[:counts] = logs - logs.mean(axis=1, keepdims=True)
    if n_vectors:
        found[counts:], intercept = _gaussians(features[:, counts:].toarray(), classes, balanced)
    return LinearScores(found.astype(np.float32), intercept)


def _gaussians(
    vectors: NDArray[np.float32], classes: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Linear discriminant analysis: a Gaussian for each class, of one covariance, shrunk towards a multiple of the
    identity (Friedman 1989). Weights (d, k) and intercept (k,) of the log-odds, over the sharpness of naive Bayes.
    """
    totals = np.bincount(classes, weights)
    means = np.zeros((totals.size, vectors.shape[1]))
    np.add.at(means, classes, vectors * weights[:, None])
    means /= totals[:, None]
    rest = vectors - means[classes]
    covariance = (rest * weights[:, None]).T @ rest / weights.sum()
    size = max(float(np.trace(covariance)) / len(covariance), SMALLEST)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * size * np.eye(len(covariance))
    found = np.linalg.solve(shrunk, means.T)
    intercept = -0.5 * np.einsum("kd,dk->k", means, found)
    sharpness = DEFAULT_SHARPNESS[Candidate.BAYES]
    return found / sharpness, intercept / sharpness


def _boosting(
    features: csr_matrix, classes: NDArray[np.int64], weights: NDArray[np.float64], seed: int
) -> BoostedTrees:
    model = HistGradientBoostingClassifier(
        max_iter=40, learning_rate=0.2, max_leaf_nodes=8, min_samples_leaf=5, random_state=seed
    )
    return BoostedTrees(model.fit(features.toarray(), classes, sample_weight=weights))


_FITS: Mapping[Candidate, Callable[[csr_matrix, NDArray[np.int64], NDArray[np.float64], int], Scores]] = {
    Candidate.LOGISTIC: _logistic,
    Candidate.SVM: _svm,
    Candidate.BOOSTING: _boosting,
}
