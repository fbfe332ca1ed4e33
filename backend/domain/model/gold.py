"""What people chose, as class indices."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.questions import Question
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
        gold |= question.form.gold(
            [
                [known for answer in task if (known := question.places(answer.get(question.name, ())))]
                for task in answers
            ]
        )
    return gold
