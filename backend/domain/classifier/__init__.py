"""The classifier: learns from features what people chose, and from the label model while people chose little."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.classifier.candidates import (
    DEFAULT_SHARPNESS,
    Candidate,
    LinearScores,
    Scores,
    View,
    class_weights,
    fit_scores,
)
from backend.domain.codec import omitted

TRUSTED_TYPES: tuple[str, ...] = (
    "backend.domain.classifier.Classifier",
    "backend.domain.classifier.candidates.LinearScores",
    "backend.domain.classifier.candidates.BoostedTrees",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""Types in a stored classifier, which a skops loader has to be told to trust: our own, and scikit-learn's arrays of one
tree, which skops doesn't list."""

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
UNSEEN = 1e-6
"""Probability given to a class that was never seen, before normalising: rare, not impossible."""
ENOUGH = 3
"""Labels below which a class is not predicted: of one or two tasks nobody knows what is typical."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a classifier is made.

    view: the columns that it learns from.
    trust: multiplies the weight of weak labels; 0 leaves them out.
    smoothing: share of a human label that is spread over all classes (label smoothing, Szegedy et al. 2016).
    """

    candidate: Candidate = Candidate.LOGISTIC
    trust: float = 1.0
    smoothing: float = 0.0
    view: View = omitted(View.ALL)

    @property
    def name(self) -> str:
        """The name of candidate and view, as a person reads it."""
        return ", ".join(filter(None, (self.candidate, self.view)))


@dataclass(frozen=True)
class Classifier:
    """A fitted model of the classes it has enough examples of, and a guess at those of which it hasn't.

    classes: int64 (m,), the classes that `model` scores, in order; without a model there is one.
    sharpness: what scores are multiplied by to be log-probabilities (temperature scaling, Guo et al. 2017).
    shift: what undoes the class weights: this times log class weight is subtracted; 0 to 1.
    offsets: float64 (m,), log class weights.
    shares: float64 (n_classes,), probability of classes with too few labels, 0 for those of `classes`. They are never
        the most probable.
    """

    n_classes: int
    classes: NDArray[np.int64]
    model: Scores | None
    offsets: NDArray[np.float64]
    shares: NDArray[np.float64]
    sharpness: float = 1.0
    shift: float = 0.0

    def scores(self, features: csr_matrix) -> NDArray[np.float64]:
        """Scores that `calibrated` makes probabilities of: float64 (n, m), from features (n, d)."""
        if self.model is None:
            return np.zeros((features.shape[0], self.classes.size))
        return self.model.scores(features)

    def predict_proba(self, features: csr_matrix) -> NDArray[np.float64]:
        """Probabilities, float64 (n, k), all above 0."""
        return self.calibrated(self.scores(features))

    def calibrated(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities, float64 (n, k), from `scores`."""
        return self._probabilities(scores * self.sharpness - self.shift * self.offsets)

    def calibrated_each(
        self, scores: NDArray[np.float64], factors: NDArray[np.float64], shift: float
    ) -> NDArray[np.float64]:
        """Probabilities, float64 (n_factors, n, k): what `calibrated_by` each factor and the shift would make of
        `scores`."""
        return self._probabilities(scores * (self.sharpness * factors)[:, None, None] - shift * self.offsets)

    def _probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """From (..., m) to (..., k)."""
        proba = np.zeros((*logits.shape[:-1], self.n_classes))
        known = np.exp(logits - logits.max(axis=-1, keepdims=True))
        known /= known.sum(axis=-1, keepdims=True)
        proba[..., self.classes] = known * (1 - min(self.shares.sum(), 0.5))
        proba += np.minimum(self.shares, proba.max(axis=-1, keepdims=True) / 2) + UNSEEN
        proba /= proba.sum(axis=-1, keepdims=True)
        return proba

    def among(self, columns: slice, width: int) -> "Classifier":
        """The same classifier for features that have more columns than those it was fitted on."""
        if not isinstance(self.model, LinearScores):
            # Trees see all columns, and without a model nothing is looked at.
            return self
        return replace(self, model=self.model.among(columns, width))

    def calibrated_by(self, factor: float, shift: float) -> "Classifier":
        """The same classifier with its sharpness multiplied by a factor, and another shift."""
        return replace(self, sharpness=self.sharpness * factor, shift=shift)


@dataclass(frozen=True)
class _Examples:
    """What is learned from: a row appears once for each class it may have."""

    rows: NDArray[np.int64]
    classes: NDArray[np.int64]
    weights: NDArray[np.float64]
    evidence: NDArray[np.float64]
    """Number of labels of each class, weak ones counted by their probability: (n_classes,)."""


def train_classifier(
    features: csr_matrix,
    gold: NDArray[np.int64],
    weak: NDArray[np.float64],
    *,
    seed: int,
    recipe: Recipe | None = None,
    weights: NDArray[np.float64] | None = None,
    n_vectors: int = 0,
) -> Classifier | None:
    """A classifier from human labels, and from weak labels while human labels are few.

    A weak label is a distribution, a soft target: its task is learned from once per likely class, weighted by that
    probability times `WEAK_WEIGHT` · trust · h / (h + number of human labels), h = `HALF_AT`. A class with fewer than
    `ENOUGH` labels, weak ones counted, is not learned.

    Args:
        features: (n, d).
        gold: int64 (n,), class index or -1 = unknown.
        weak: float64 (n, k), the label model's posterior; NaN rows where there is none. Not used where gold is known.
        seed: draws the weak labels that are used when there are more than `MAX_WEAK`.
        recipe: how; the default when None.
        weights: float64 (n,), how much each human label counts; 1 when None.
        n_vectors: columns at the end that are of embeddings.

    Returns:
        None when there are not two classes to tell apart, or not `ENOUGH` labels of any.
    """
    recipe, n_classes = recipe or Recipe(), weak.shape[1]
    examples = _examples(gold, weak, n_classes, recipe, weights, seed)
    if (examples.evidence > 0).sum() < 2:
        return None
    enough = np.flatnonzero(examples.evidence >= ENOUGH)
    if not enough.size:
        return None
    shares = examples.evidence / examples.evidence.sum()
    shares[enough] = 0.0
    used = np.isin(examples.classes, enough) & (examples.weights > 0)
    rows, row_weights = examples.rows[used], examples.weights[used]
    classes = np.searchsorted(enough, examples.classes[used])
    learned = features[rows]
    if np.unique(classes).size < 2:
        return Classifier(n_classes, enough[:1], None, np.zeros(1), shares)
    totals = np.bincount(classes, row_weights)
    if not learned.nnz:
        # Nothing to tell tasks apart by: the shares of the classes are all that is known.
        constant = LinearScores(np.zeros((features.shape[1], enough.size), dtype=np.float32), np.log(totals))
        return Classifier(n_classes, enough, constant, np.zeros(enough.size), shares)
    model = fit_scores(recipe.candidate, learned, classes, row_weights, seed=seed, n_vectors=n_vectors)
    offsets = np.log(class_weights(classes, row_weights))
    return Classifier(n_classes, enough, model, offsets, shares, DEFAULT_SHARPNESS[recipe.candidate])


def short_classes(gold: NDArray[np.int64], n_classes: int) -> list[int]:
    """Classes that people gave fewer than `ENOUGH` times, to be asked for first; gold: int64 (n,), -1 = unknown."""
    counts = np.bincount(gold[gold >= 0], minlength=n_classes)
    return [int(index) for index in np.flatnonzero(counts < ENOUGH)]


def _examples(
    gold: NDArray[np.int64],
    weak: NDArray[np.float64],
    n_classes: int,
    recipe: Recipe,
    weights: NDArray[np.float64] | None,
    seed: int,
) -> _Examples:
    labeled = np.flatnonzero(gold >= 0)
    counted = np.ones(labeled.size) if weights is None else weights[labeled]
    rows, classes, parts = [labeled], [gold[labeled]], [counted]
    if recipe.smoothing > 0:
        present = np.unique(gold[labeled])
        spread = recipe.smoothing / max(present.size, 1)
        parts = [counted * (1 - recipe.smoothing)]
        for index in present:
            rows.append(labeled)
            classes.append(np.full(labeled.size, index))
            parts.append(counted * spread)
    evidence = np.bincount(gold[labeled], counted > 0, n_classes).astype(np.float64)
    if recipe.trust > 0:
        weak_rows, weak_classes, weak_weights = _weak_examples(gold, weak, seed)
        evidence += np.bincount(weak_classes, weak_weights, n_classes)
        rows.append(weak_rows)
        classes.append(weak_classes)
        parts.append(weak_weights * WEAK_WEIGHT * recipe.trust * HALF_AT / (HALF_AT + labeled.size))
    return _Examples(np.concatenate(rows), np.concatenate(classes), np.concatenate(parts), evidence)


def _weak_examples(
    gold: NDArray[np.int64], weak: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rows, classes and probabilities of the weak labels; a row appears once for each of its likely classes."""
    usable = np.flatnonzero((gold < 0) & np.isfinite(weak).all(axis=1))
    if usable.size > MAX_WEAK:
        usable = np.sort(np.random.default_rng(seed).choice(usable, MAX_WEAK, replace=False))
    places, classes = np.nonzero(weak[usable] > UNLIKELY)
    return usable[places], classes, weak[usable][places, classes]
