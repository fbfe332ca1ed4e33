"""What people chose, as class indices."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.questions import Question, decisions
from backend.domain.tasks import Answer


def gold_of(
    questions: Sequence[Question], answers: Sequence[Sequence[Mapping[str, Answer]]]
) -> dict[str, NDArray[np.int64]]:
    """What people chose: int64 (n_tasks,) by `Decision.key`, class index or -1 = unknown.

    Args:
        questions: the questions of the project.
        answers: for each task the answers of each of its annotators, question name -> labels.

    Several annotators: the majority; unknown on a tie. Labels that the question doesn't have (any more) are ignored,
    and an answer without any other is none. An answer to a multiple question says yes or no to each of its labels.
    """
    gold: dict[str, NDArray[np.int64]] = {}
    for question in questions:
        given = [
            [known for answer in task if (known := question.places(answer.get(question.name, ())))] for task in answers
        ]
        if question.multiple:
            gold |= _of_each_label(question, given)
        else:
            picks = [[labels[0] for labels in task if len(labels) == 1] for task in given]
            gold[decisions(question)[0].key] = np.array([_majority(task) for task in picks], dtype=np.int64)
    return gold


def _of_each_label(question: Question, given: Sequence[Sequence[Sequence[int]]]) -> dict[str, NDArray[np.int64]]:
    """Yes, no or unknown for each label. Labels that nobody chose share one array: there may be thousands."""
    n_answers = np.array([len(task) for task in given], dtype=np.int64)
    n_chosen: dict[int, NDArray[np.int64]] = {}
    for row, task in enumerate(given):
        for index in (index for labels in task for index in set(labels)):
            n_chosen.setdefault(index, np.zeros_like(n_answers))[row] += 1
    nobody = np.where(n_answers > 0, 0, -1)
    gold: dict[str, NDArray[np.int64]] = {}
    for index, decision in enumerate(decisions(question)):
        yes = n_chosen.get(index)
        gold[decision.key] = nobody if yes is None else np.where(2 * yes == n_answers, -1, 2 * yes > n_answers)
    return gold


def _majority(picks: Sequence[int]) -> int:
    if not picks:
        return -1
    counts = np.bincount(picks)
    best = np.flatnonzero(counts == counts.max())
    return int(best[0]) if best.size == 1 else -1
