"""What several annotators agree on, without a classifier: models of how they err, and which one the labels support."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.label_model.patterns import softmax

STRENGTHS = (1.0, 4.0)
"""How many labels of a class the belief outweighs that an annotator's errors are spread evenly over the other classes.
The data hardly tell which is better (bluebird wants the first, weather the second), so the mean of both is taken."""
PRIOR_LABELS = 4.0
"""How many labels the belief outweighs that an annotator is as good as all of them together."""
BALANCE_POWER = 0.75
"""The class balance is drawn a quarter of the way to an even one, in logarithms: a common class that takes over rare
ones in one round of EM takes more of them in the next."""
MAJORITY, ACCURACIES, MATRICES = "majority vote", "one accuracy each", "confusion matrices"
VOTE_SHARE = 0.5
"""How much the plain share of votes counts in the end next to the model: models are too sure of themselves, for tasks
that are hard for one annotator are hard for all."""
NEEDED_PER_LABEL = 0.13
"""Log-likelihood (natural logarithm) that a confusion matrix for each annotator has to gain per label over one matrix
for all. Hard tasks make all annotators look biased in the same direction, which one matrix for all explains as well;
only what is left shows that people differ in how they err. (On 12 public crowd sets the gain was 0.03 and 0.09 where
matrices made the consensus worse by 5 and 7 points, and 0.15 to 0.5 where they made it better by 1 point or more.)"""
NAMED, KEPT = 0.1, 0.1
"""A class that has `NAMED` of the labels of people who tell classes apart is lost if fewer than `KEPT` times as many
tasks get it."""
ONE_CLASS = 0.95
"""Who gives this share of all labels to one class doesn't tell classes apart."""
ROUNDS, TOLERANCE = 100, 1e-4
SMALLEST = 1e-9


@dataclass(frozen=True)
class Labels:
    """Labels of several annotators: int64 arrays of the same length, one entry for each label.

    tasks: 0..n_tasks - 1; annotators: 0..n_annotators - 1; classes: 0..n_classes - 1.
    """

    tasks: NDArray[np.int64]
    annotators: NDArray[np.int64]
    classes: NDArray[np.int64]
    n_tasks: int
    n_annotators: int
    n_classes: int

    @property
    def counts(self) -> NDArray[np.float64]:
        """Labels of each class on each task: float64 (n_tasks, n_classes)."""
        places = self.tasks * self.n_classes + self.classes
        flat = np.bincount(places, minlength=self.n_tasks * self.n_classes)
        return flat.reshape(self.n_tasks, self.n_classes).astype(np.float64)

    def shares(self) -> NDArray[np.float64]:
        """Share of each class among a task's labels: float64 (n_tasks, n_classes); even where there are none."""
        counts = self.counts
        total = counts.sum(axis=1, keepdims=True)
        shares = np.full_like(counts, 1 / self.n_classes)
        np.divide(counts, total, out=shares, where=total > 0)
        return shares


@dataclass(frozen=True)
class Aggregate:
    """What annotators agree on.

    proba: float64 (n_tasks, n_classes).
    accuracies: float64 (n_annotators,), expected share of each annotator's labels that is right.
    method: "majority vote", "one accuracy each" or "confusion matrices".
    reason: why this one.
    """

    proba: NDArray[np.float64]
    accuracies: NDArray[np.float64]
    method: str
    reason: str


@dataclass(frozen=True)
class _Fit:
    """`given_true`: float64 (n_annotators, n_classes true, n_classes given)."""

    proba: NDArray[np.float64]
    loss: float


def aggregate(labels: Labels) -> Aggregate:
    """Consensus by the method that the labels support.

    Majority vote while no task has two labels, or one annotator gave them all. Else a confusion matrix for each
    annotator (Dawid & Skene 1979), if that gains `NEEDED_PER_LABEL`: each label becomes so much more probable, given
    the other labels of its task, than with one matrix for all. Else one accuracy for each annotator (one-coin
    Dawid-Skene, as in Zhang et al. 2016). Where this would lose a class that many people name (see `lost`), majority
    vote: with one accuracy each, people who say one class to everything outvote all others in EM.
    """
    shares = labels.shares()
    several = np.bincount(labels.tasks, minlength=labels.n_tasks) > 1
    if not several.any() or np.unique(labels.annotators).size < 2 or labels.n_classes < 2:
        return _aggregate(labels, shares, MAJORITY, "no task has labels of two annotators")
    model = _Crowd(labels)
    matrices = [model.fit(model.matrices(strength)) for strength in STRENGTHS]
    gain = model.fit(model.one_matrix).loss - min(item.loss for item in matrices)
    said = f"confusion matrices gain {gain:.2f} per label, "
    if gain >= NEEDED_PER_LABEL:
        proba = (np.mean([item.proba for item in matrices], axis=0) + VOTE_SHARE * shares) / (1 + VOTE_SHARE)
        method, reason = MATRICES, f"{said}at least {NEEDED_PER_LABEL}"
    else:
        proba = model.fit(model.accuracies).proba
        method, reason = ACCURACIES, f"{said}less than {NEEDED_PER_LABEL}"
    if lost(labels, proba).any():
        reason = f"{method} would lose a class that many people name"
        return _aggregate(labels, shares, MAJORITY, reason)
    return _aggregate(labels, proba, method, reason)


def lost(labels: Labels, proba: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which classes many people name and hardly a task gets: bool (k,); `proba`: of the tasks, float64 (n_tasks, k).

    People who tell classes apart have to name it: what somebody says to everything may well be wrong everywhere.
    """
    m, k = labels.n_annotators, labels.n_classes
    of_each = np.bincount(labels.annotators * k + labels.classes, minlength=m * k).reshape(m, k)
    telling = of_each[of_each.max(axis=1) < ONE_CLASS * of_each.sum(axis=1)].sum(axis=0)
    given = telling / max(telling.sum(), 1)
    named = np.bincount(proba.argmax(axis=1), minlength=k) / labels.n_tasks
    return np.asarray((given >= NAMED) & (named < KEPT * given))


def _aggregate(labels: Labels, proba: NDArray[np.float64], method: str, reason: str) -> Aggregate:
    right = np.bincount(labels.annotators, proba[labels.tasks, labels.classes], labels.n_annotators)
    number = np.bincount(labels.annotators, minlength=labels.n_annotators)
    mean = right.sum() / max(number.sum(), 1)
    accuracies = (right + PRIOR_LABELS * mean) / (number + PRIOR_LABELS)
    return Aggregate(proba, accuracies, method, reason)


class _Crowd:
    """EM on labels in long form: memory grows with labels, not with tasks times annotators."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        n, k = labels.tasks.size, labels.n_classes
        ones, entries = np.ones(n), np.arange(n)
        self.of_task = csr_matrix((ones, (labels.tasks, entries)), shape=(labels.n_tasks, n))
        kinds = labels.annotators * k + labels.classes
        self.of_kind = csr_matrix((ones, (kinds, entries)), shape=(labels.n_annotators * k, n))
        self.shares = labels.shares()
        self.several = (np.bincount(labels.tasks, minlength=labels.n_tasks) > 1)[labels.tasks]

    def fit(self, given_true: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> _Fit:
        """EM for a model of annotators: P(given | true) (n_annotators, k true, k given), from a posterior of tasks."""
        labels, proba = self.labels, self.shares
        for _ in range(ROUNDS):
            balance = ((proba.sum(axis=0) + 1) / (labels.n_tasks + labels.n_classes)) ** BALANCE_POWER
            balance /= balance.sum()
            logs = np.log(np.maximum(given_true(proba), SMALLEST))[labels.annotators, :, labels.classes]
            scores = np.asarray(self.of_task @ logs) + np.log(balance)
            before, proba = proba, softmax(scores)
            if np.abs(proba - before).max() < TOLERANCE:
                break
        # Each label from the others of its task.
        others = softmax(scores[labels.tasks] - logs)
        expected = (others * np.exp(logs)).sum(axis=1)[self.several]
        return _Fit(proba, -float(np.log(np.maximum(expected, SMALLEST)).mean()))

    def accuracies(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        """One accuracy for each annotator, errors spread evenly over the other classes."""
        return self._even(self._counts(proba))

    def matrices(self, strength: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        """A confusion matrix for each annotator, drawn to `accuracies` by a prior of this strength."""

        def given_true(proba: NDArray[np.float64]) -> NDArray[np.float64]:
            counts = self._counts(proba)
            joined = counts + strength * self._even(counts)
            return np.asarray(joined / joined.sum(axis=2, keepdims=True))

        return given_true

    def one_matrix(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same confusion matrix for all annotators."""
        joined = self._counts(proba).sum(axis=0) + SMALLEST
        return np.broadcast_to(joined / joined.sum(axis=1, keepdims=True), (self.labels.n_annotators, *joined.shape))

    def _counts(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected labels of each annotator by true and given class."""
        m, k = self.labels.n_annotators, self.labels.n_classes
        return np.asarray(self.of_kind @ proba[self.labels.tasks]).reshape(m, k, k).transpose(0, 2, 1)

    @staticmethod
    def _even(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """P(given | true) where each annotator is right with one probability, estimated from the expected labels."""
        k = counts.shape[1]
        right, total = np.einsum("mtt->m", counts), counts.sum(axis=(1, 2))
        accuracy = (right + PRIOR_LABELS * right.sum() / total.sum()) / (total + PRIOR_LABELS)
        accuracy = np.clip(accuracy, SMALLEST, 1 - SMALLEST)[:, None, None]
        return np.asarray(np.where(np.eye(k, dtype=np.bool_), accuracy, (1 - accuracy) / (k - 1)))
