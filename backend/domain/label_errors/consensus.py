"""Several annotators: what they agree on, how good each of them is, and which tasks deserve another label."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.label_errors.crowd import Aggregate, Labels, aggregate
from backend.domain.posterior import is_known

CROWDLAB = "CROWDLAB"
MAX_CELLS = 2_000_000
"""Tasks times annotators up to which cleanlab's table of labels is made: its loops take minutes beyond."""
MAX_TASKS = 20_000
"""The same for tasks with labels."""
SMALLEST = 1e-3


@dataclass(frozen=True)
class Consensus:
    """What the annotators of a project agree on.

    classes: int64 (n_tasks,), the consensus label; -1 where there is no label.
    quality: float64 (n_tasks,), probability that it is right; NaN where there is no label.
    proba: float64 (n_tasks, n_classes), the same of every class; even where nothing is known.
    annotator_quality: float64 (n_annotators,), 0..1, how far the labels of each can be relied on; NaN without labels.
    relabel_scores: float64 (n_tasks,), ActiveLab's score (Goh & Mueller 2023): the lower, the more another label of
        this task would teach, labeled or not. NaN where a task has no label and the classifier says nothing of it.
    method: what made the consensus; reason: why it.
    """

    classes: NDArray[np.int64]
    quality: NDArray[np.float64]
    proba: NDArray[np.float64]
    annotator_quality: NDArray[np.float64]
    relabel_scores: NDArray[np.float64]
    method: str
    reason: str


def consensus_of(labels: Labels, held_out: NDArray[np.float64] | None = None) -> Consensus:
    """Consensus by CROWDLAB (Goh et al. 2022, through cleanlab) where there is a classifier, else see `aggregate`.

    Args:
        labels: who labeled what as what.
        held_out: a classifier's posterior of each task, float64 (n_tasks, n_classes), made without the task's own
            labels; NaN rows where it says nothing. CROWDLAB takes part where it says something of every labeled task,
            and at least one task has two labels.

    Raises:
        ValueError: labels or probabilities out of range, partly NaN or of another shape.
    """
    _check(labels, held_out)
    labeled = np.bincount(labels.tasks, minlength=labels.n_tasks)
    plain = aggregate(labels)
    why = _why_not(labels, labeled, held_out)
    if why is None and held_out is not None:
        return _crowdlab(labels, labeled, held_out, plain.accuracies)
    classes = np.where(labeled > 0, plain.proba.argmax(axis=1), -1)
    number = np.bincount(labels.annotators, minlength=labels.n_annotators)
    return Consensus(
        classes=classes,
        quality=np.where(labeled > 0, plain.proba.max(axis=1), np.nan),
        proba=plain.proba,
        annotator_quality=np.where(number > 0, plain.accuracies, np.nan),
        relabel_scores=_relabel_scores(labels, plain),
        method=plain.method,
        reason=f"{plain.reason}; {why}",
    )


def _check(labels: Labels, held_out: NDArray[np.float64] | None) -> None:
    sizes = {
        "tasks": (labels.tasks, labels.n_tasks),
        "annotators": (labels.annotators, labels.n_annotators),
        "classes": (labels.classes, labels.n_classes),
    }
    for name, (values, limit) in sizes.items():
        if values.size and (values.min() < 0 or values.max() >= limit):
            raise ValueError(f"{name} of labels must be 0 to {limit - 1}; found {values.min()} to {values.max()}")
    if held_out is None:
        return
    if held_out.shape != (labels.n_tasks, labels.n_classes):
        raise ValueError(f"probabilities have the shape {held_out.shape}, not {(labels.n_tasks, labels.n_classes)}")
    bad = ~np.isnan(held_out).all(axis=1) & ~is_known(held_out)
    if bad.any():
        raise ValueError(f"probabilities of {bad.sum()} tasks are partly NaN or infinite")


def _why_not(labels: Labels, labeled: NDArray[np.int64], held_out: NDArray[np.float64] | None) -> str | None:
    """Why CROWDLAB can't be used; None if it can."""
    if held_out is None or not is_known(held_out)[labeled > 0].all():
        return "no classifier that knows all labeled tasks"
    if not (labeled > 1).any() or np.unique(labels.annotators).size < 2:
        return "no task has labels of two annotators"
    if labels.n_tasks * labels.n_annotators > MAX_CELLS:
        return f"more than {MAX_CELLS} tasks times annotators"
    if (labeled > 0).sum() > MAX_TASKS:
        return f"more than {MAX_TASKS} labeled tasks"
    return None


def _crowdlab(
    labels: Labels,
    labeled: NDArray[np.int64],
    held_out: NDArray[np.float64],
    accuracies: NDArray[np.float64],
) -> Consensus:
    from cleanlab.multiannotator import get_label_quality_multiannotator  # noqa: PLC0415 - see backend/__init__.py

    rows, people, table = _table(labels, labeled)
    with warnings.catch_warnings():
        # cleanlab warns of classes that nobody chose, and of annotators who never met another one.
        warnings.simplefilter("ignore")
        found = get_label_quality_multiannotator(
            table, held_out[rows], return_detailed_quality=False, return_weights=True, verbose=False
        )
        relabel_scores = _active_lab(labels, labeled, held_out)
    classes = np.full(labels.n_tasks, -1, dtype=np.int64)
    quality = np.full(labels.n_tasks, np.nan)
    classes[rows] = found["label_quality"]["consensus_label"].to_numpy(dtype=np.int64)
    quality[rows] = found["label_quality"]["consensus_quality_score"].to_numpy(dtype=np.float64)
    proba = _weighted(table, held_out[rows], np.asarray(found["annotator_weight"]), float(found["model_weight"]))
    everything = np.where(is_known(held_out)[:, None], held_out, 1 / labels.n_classes)
    everything[rows] = proba
    of_annotators = np.full(labels.n_annotators, np.nan)
    stats = found["annotator_stats"]["annotator_quality"]
    of_annotators[people[stats.index.to_numpy(dtype=np.int64)]] = stats.to_numpy(dtype=np.float64)
    # One who never labeled a task with somebody else has no quality in CROWDLAB.
    of_annotators[people] = np.where(np.isfinite(of_annotators[people]), of_annotators[people], accuracies[people])
    return Consensus(
        classes=classes,
        quality=quality,
        proba=everything,
        annotator_quality=of_annotators,
        relabel_scores=relabel_scores,
        method=CROWDLAB,
        reason="there is a classifier, and tasks with labels of several annotators",
    )


def _weighted(
    table: NDArray[np.float64],
    held_out: NDArray[np.float64],
    weights: NDArray[np.float64],
    model_weight: float,
) -> NDArray[np.float64]:
    """Mean of the classifier's probabilities and one-hot labels by CROWDLAB's weights (n, k), for the classes that the
    consensus is not."""
    k = held_out.shape[1]
    proba = model_weight * held_out
    for column, weight in enumerate(weights):
        rows = np.flatnonzero(np.isfinite(table[:, column]))
        proba[rows, table[rows, column].astype(np.int64)] += max(float(weight), 0.0)
    total = proba.sum(axis=1, keepdims=True)
    scaled: NDArray[np.float64] = np.where(total > 0, proba / np.maximum(total, 1e-300), 1 / k)
    return scaled


def _relabel_scores(labels: Labels, plain: Aggregate) -> NDArray[np.float64]:
    """ActiveLab's score where there is no classifier to take part, so from labels alone.

    (w̄ / k + Σ_j w_j [label_j is the consensus]) / (w̄ + Σ_j w_j), where w_j is how much better than chance annotator j
    is, and w̄ the mean: the more of a task's labels agree, and the more there are, the less another one teaches.
    """
    k = max(labels.n_classes, 2)
    weights = np.maximum(plain.accuracies - 1 / k, SMALLEST)
    mean = float(weights.mean()) if weights.size else 1.0
    agree = plain.proba.argmax(axis=1)[labels.tasks] == labels.classes
    of_labels = weights[labels.annotators]
    agreeing = np.bincount(labels.tasks, of_labels * agree, labels.n_tasks)
    total = np.bincount(labels.tasks, of_labels, labels.n_tasks)
    return np.asarray((mean / k + agreeing) / (mean + total))


def _active_lab(labels: Labels, labeled: NDArray[np.int64], held_out: NDArray[np.float64]) -> NDArray[np.float64]:
    from cleanlab.multiannotator import get_active_learning_scores  # noqa: PLC0415 - see backend/__init__.py

    scores = np.full(labels.n_tasks, np.nan)
    rows, _, table = _table(labels, labeled)
    open_rows = np.flatnonzero((labeled == 0) & is_known(held_out))
    of_labeled, of_open = get_active_learning_scores(
        table, held_out[rows], held_out[open_rows] if open_rows.size else None
    )
    scores[rows] = of_labeled
    if open_rows.size:
        scores[open_rows] = of_open
    return scores


def _table(
    labels: Labels, labeled: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Tasks with labels, annotators with labels, and cleanlab's table of them, NaN where there is none.

    Of several labels that one annotator gave to a task the last counts.
    """
    rows, people = np.flatnonzero(labeled), np.unique(labels.annotators)
    table = np.full((rows.size, people.size), np.nan)
    table[np.searchsorted(rows, labels.tasks), np.searchsorted(people, labels.annotators)] = labels.classes
    return rows, people, table
