"""The part of `benchmarks.label_errors` on real annotators: consensus against majority vote and Dawid-Skene."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from backend.domain.label_errors.crowd import Labels, aggregate
from benchmarks.common import OURS, Row

MAJORITY, DAWID_SKENE = "majority vote", "Dawid-Skene"
ROUNDS = 100
TOLERANCE = 1e-5


def load(path: Path) -> tuple[Labels, NDArray[np.int64], NDArray[np.int64]]:
    """Labels, and the tasks of known truth with their classes."""
    with np.load(path) as file:
        names, tasks = np.unique(file["item"], return_inverse=True)
        people, annotators = np.unique(file["worker"], return_inverse=True)
        classes = file["label"].astype(np.int64)
        known = np.isin(file["truth_item"], names)
        checked = np.searchsorted(names, file["truth_item"][known]).astype(np.int64)
        truth = file["truth"][known].astype(np.int64)
    k = int(max(classes.max(), truth.max())) + 1
    return Labels(tasks, annotators, classes, names.size, people.size, k), checked, truth


def dawid_skene(labels: Labels) -> NDArray[np.float64]:
    """Dawid & Skene 1979 as they wrote it: EM from majority vote, maximum likelihood, without any prior."""
    proba = labels.shares()
    for _ in range(ROUNDS):
        matrices = np.zeros((labels.n_annotators, labels.n_classes, labels.n_classes))
        np.add.at(matrices, (labels.annotators, labels.classes), proba[labels.tasks])
        matrices /= np.maximum(matrices.sum(axis=1, keepdims=True), 1e-300)
        scores = np.tile(np.log(np.maximum(proba.mean(axis=0), 1e-300)), (labels.n_tasks, 1))
        np.add.at(scores, labels.tasks, np.log(np.maximum(matrices[labels.annotators, labels.classes], 1e-10)))
        before, proba = proba, np.exp(scores - scores.max(axis=1, keepdims=True))
        proba /= proba.sum(axis=1, keepdims=True)
        if np.abs(proba - before).max() < TOLERANCE:
            break
    return proba


def accuracy(proba: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """In %, ties counted by their chance."""
    best = np.isclose(proba, proba.max(axis=1, keepdims=True), rtol=0, atol=1e-9)
    return 100 * float((best[np.arange(truth.size), truth] / best.sum(axis=1)).mean())


def consensus_rows(folder: Path) -> list[Row]:
    """Accuracy of the consensus, and average precision of finding the consensus labels that are wrong."""
    rows: list[Row] = []
    methods: dict[str, Callable[[Labels], NDArray[np.float64]]] = {
        OURS: lambda labels: aggregate(labels).proba,
        MAJORITY: Labels.shares,
        DAWID_SKENE: dawid_skene,
    }
    for path in sorted(folder.glob("*.npz")):
        labels, checked, truth = load(path)
        for name, method in methods.items():
            started = time.perf_counter()
            proba = method(labels)[checked]
            seconds = time.perf_counter() - started
            wrong = proba.argmax(axis=1) != truth
            found = float(average_precision_score(wrong, 1 - proba.max(axis=1))) if wrong.any() else 1.0
            rows.append(Row(f"crowd {path.stem}", name, "consensus accuracy", accuracy(proba, truth), seconds))
            rows.append(Row(f"crowd {path.stem}", name, "average precision of errors", found, seconds))
    if not rows:
        return rows
    for metric in ("consensus accuracy", "average precision of errors"):
        values = {name: [row.value for row in rows if (row.method, row.metric) == (name, metric)] for name in methods}
        rows += [Row("crowd, mean", name, metric, float(np.mean(found)), 0.0) for name, found in values.items()]
        if metric == "consensus accuracy":
            better = np.maximum(values[MAJORITY], values[DAWID_SKENE])
            worst = float((np.array(values[OURS]) - better).min())
            rows.append(Row("crowd, worst set", OURS, "points over the better of both", worst, 0.0))
    return rows
