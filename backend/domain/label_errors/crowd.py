"""What several annotators agree on, without a classifier: models of how they err, and which one the labels support."""

from collections.abc import Mapping
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
VOTE_SHARE = 0.5
"""How much the plain share of votes counts in the end next to the model: models are too sure of themselves, for tasks
that are hard for one annotator are hard for all."""
NEEDED_PER_TASK = 1.5
"""Log-likelihood that confusion matrices have to gain per task over one accuracy for each annotator (natural
logarithm). Hard tasks make annotators look biased in the same direction; a small gain is only that. (On 11 public crowd
sets the gain was 0.1 to 0.9 where confusion matrices made the consensus worse, by up to 5 points, or no better, and 2.4
to 5.8 where they made it better. The number was chosen on these sets.)"""
ROUNDS, TOLERANCE = 100, 1e-4
SMALLEST = 1e-9


@dataclass(frozen=True)
class Labels:
    """Who labeled what as what: int64 arrays of the same length, one entry for each label.

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
        """Share of each class among a task's labels (n_tasks, n_classes); even where there are none."""
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
    gains: log-likelihood per task of each method over majority vote.
    """

    proba: NDArray[np.float64]
    accuracies: NDArray[np.float64]
    method: str
    reason: str
    gains: Mapping[str, float]


@dataclass(frozen=True)
class _Fit:
    """`given_true`: float64 (n_annotators, n_classes true, n_classes given)."""

    proba: NDArray[np.float64]
    loss: float


def aggregate(labels: Labels) -> Aggregate:
    """Consensus by the method that the labels support.

    Majority vote while no task has two labels, or one annotator gave them all. Else one accuracy for each annotator
    (one-coin Dawid-Skene, as in Zhang et al. 2016), or a confusion matrix for each (Dawid & Skene 1979), if they make
    each label so much more probable, given the other labels of its task, that they gain `NEEDED_PER_TASK`.
    """
    shares = labels.shares()
    several = np.bincount(labels.tasks, minlength=labels.n_tasks) > 1
    if not several.any() or np.unique(labels.annotators).size < 2 or labels.n_classes < 2:
        return _aggregate(labels, shares, "majority vote", "no task has labels of two annotators", {})
    model = _Crowd(labels)
    alike = model.fit(None, of_each=False)
    coin = model.fit(None)
    matrices = [model.fit(strength) for strength in STRENGTHS]
    per_task = labels.tasks.size / labels.n_tasks
    best = min(item.loss for item in matrices)
    gains = {
        "one accuracy each": per_task * (alike.loss - coin.loss),
        "confusion matrices": per_task * (alike.loss - best),
    }
    gain = per_task * (coin.loss - best)
    if gain < NEEDED_PER_TASK:
        reason = f"confusion matrices gain {gain:.2f} per task, less than {NEEDED_PER_TASK}"
        return _aggregate(labels, coin.proba, "one accuracy each", reason, gains)
    mean = (np.mean([item.proba for item in matrices], axis=0) + VOTE_SHARE * shares) / (1 + VOTE_SHARE)
    reason = f"confusion matrices gain {gain:.2f} per task, at least {NEEDED_PER_TASK}"
    return _aggregate(labels, mean, "confusion matrices", reason, gains)


def _aggregate(
    labels: Labels, proba: NDArray[np.float64], method: str, reason: str, gains: Mapping[str, float]
) -> Aggregate:
    right = np.bincount(labels.annotators, proba[labels.tasks, labels.classes], labels.n_annotators)
    number = np.bincount(labels.annotators, minlength=labels.n_annotators)
    mean = right.sum() / max(number.sum(), 1)
    accuracies = (right + PRIOR_LABELS * mean) / (number + PRIOR_LABELS)
    return Aggregate(proba, accuracies, method, reason, gains)


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

    def fit(self, strength: float | None, *, of_each: bool = True) -> _Fit:
        """Confusion matrices with a prior of this strength, or one accuracy for each annotator when None.

        `of_each`: False for one accuracy of all, which is majority vote with a class balance.
        """
        labels, proba = self.labels, self.shares
        k = labels.n_classes
        power = 1.0 if strength is None else BALANCE_POWER
        for _ in range(ROUNDS):
            balance = ((proba.sum(axis=0) + 1) / (labels.n_tasks + k)) ** power
            balance /= balance.sum()
            given_true = self._given_true(proba, strength, of_each=of_each)
            logs = np.log(np.maximum(given_true, SMALLEST))[labels.annotators, :, labels.classes]
            scores = np.asarray(self.of_task @ logs) + np.log(balance)
            before, proba = proba, softmax(scores)
            if np.abs(proba - before).max() < TOLERANCE:
                break
        # Each label from the others of its task.
        others = softmax(scores[labels.tasks] - logs)
        expected = (others * np.exp(logs)).sum(axis=1)[self.several]
        return _Fit(proba, -float(np.log(np.maximum(expected, SMALLEST)).mean()))

    def _given_true(self, proba: NDArray[np.float64], strength: float | None, *, of_each: bool) -> NDArray[np.float64]:
        """P(given | true) of each annotator: float64 (n_annotators, true, given)."""
        m, k = self.labels.n_annotators, self.labels.n_classes
        counts = np.asarray(self.of_kind @ proba[self.labels.tasks]).reshape(m, k, k).transpose(0, 2, 1)
        right, total = np.einsum("mtt->m", counts), counts.sum(axis=(1, 2))
        mean = right.sum() / total.sum()
        accuracy = (right + PRIOR_LABELS * mean) / (total + PRIOR_LABELS) if of_each else np.full(m, mean)
        accuracy = np.clip(accuracy, SMALLEST, 1 - SMALLEST)[:, None, None]
        even: NDArray[np.float64] = np.where(np.eye(k, dtype=np.bool_), accuracy, (1 - accuracy) / (k - 1))
        if strength is None:
            return even
        joined = counts + strength * even
        return np.asarray(joined / joined.sum(axis=2, keepdims=True))
