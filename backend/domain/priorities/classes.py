"""Classes that lack labels: when to stay with representative tasks, and which classes to look for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.frame import Frame
from backend.domain.posterior import is_known
from backend.domain.questions import Question, decisions
from backend.domain.questions.forms import Gold

ENOUGH = 5
"""Labels of each class that a classifier's doubts are worth something from."""
PATIENCE = 10
"""Labels for each class after which nothing waits any longer for a class that nobody has met."""
RARE = 0.5
"""A class is rare below this part of its fair share, 1 / number of classes, both of the labels and of the tasks. (An
easy class gets few labels, too, where doubts choose: to ask for it as well took 5 to 8 % more labels on three sets.)"""
EXPECTED = 0.1
"""Probability from which a task may be expected to belong to a class."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label that people may choose, and where it stands in the posteriors."""

    question: str
    name: str
    key: str
    column: int
    n_classes: int


def labels_of(questions: Sequence[Question]) -> list[Label]:
    """All labels of all questions. Of a yes/no decision only the yes."""
    found = []
    for question in questions:
        for decision in decisions(question):
            if decision.label is not None:
                found.append(Label(question.name, decision.label, decision.key, 1, len(question.labels)))
            else:
                k = len(decision.classes)
                found += [Label(question.name, name, decision.key, i, k) for i, name in enumerate(decision.classes)]
    return found


def counts(labels: Sequence[Label], gold: Gold) -> NDArray[np.float64]:
    """How many units people gave each label: float64 (n_labels,)."""
    return np.array([np.count_nonzero(gold[label.key] == label.column) for label in labels], dtype=np.float64)


def chances(labels: Sequence[Label], frame: Frame) -> NDArray[np.float64]:
    """Probability of each label for each task, float64 (n_tasks, n_labels): that of its likeliest unit; 1 / number of
    classes where nothing is known."""
    posteriors = frame.posteriors
    columns = [
        frame.units[label.question].most(
            np.where(
                is_known(posteriors[label.key]), posteriors[label.key][:, label.column], 1 / max(2, label.n_classes)
            )
        )
        for label in labels
    ]
    return np.column_stack(columns) if columns else np.zeros((frame.n_tasks, 0))


def is_cold(questions: Sequence[Question], gold: Gold) -> bool:
    """Whether some class has fewer than `ENOUGH` labels, and not yet `PATIENCE` labels for each class were given.

    gold: int64 (n_units,) by `Decision.key`, -1 = unknown.
    """
    for question in questions:
        labels = labels_of([question])
        n_labeled = sum(int(np.count_nonzero(gold[key] >= 0)) for key in {label.key for label in labels})
        n_labeled //= max(1, len(decisions(question)))
        if counts(labels, gold).min(initial=ENOUGH) < ENOUGH and n_labeled < PATIENCE * len(labels):
            return True
    return False


def rare_labels(labels: Sequence[Label], gold: Gold, expected: NDArray[np.float64]) -> list[int]:
    """Places of the labels that lack examples, the one with the fewest first.

    Those with fewer than `ENOUGH`, and those that are rare: people gave them seldom, and they are expected to.

    Args:
        labels: all of them.
        gold: by `Decision.key`.
        expected: float64 (n_labels,), share of the tasks that each is expected in.
    """
    given = counts(labels, gold)
    fair = np.array([RARE / max(2, label.n_classes) for label in labels])
    n_labeled = np.array([max(1, np.count_nonzero(gold[label.key] >= 0)) for label in labels])
    rare = (given < ENOUGH) | ((given / n_labeled < fair) & (expected < fair))
    return [int(place) for place in np.argsort(given, kind="stable") if rare[place]]
