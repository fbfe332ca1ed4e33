"""Gold: the classes that people chose, as class indices."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.questions import Question
from backend.domain.questions.units import Units
from backend.domain.tasks import Answer


def gold_of(
    questions: Sequence[Question],
    answers: Sequence[Sequence[Mapping[str, Answer]]],
    units: Mapping[str, Units] | None = None,
) -> dict[str, NDArray[np.int64]]:
    """The classes that people chose: int64 (n_units,) by `Decision.key`, class index or -1 = unknown.

    Args:
        questions: the questions of the project.
        answers: for each task the answers of each of its annotators, question name -> labels.
        units: by question; each task is one unit where it is missing.

    Several annotators: the majority; unknown on a tie. Labels that the question doesn't have (any more) are ignored,
    and an answer without any other is none. An answer to a multiple question says yes or no to each of its labels.
    """
    gold: dict[str, NDArray[np.int64]] = {}
    for question in questions:
        given = [[answer.get(question.name, ()) for answer in task] for task in answers]
        of_question = (units or {}).get(question.name)
        if of_question is not None and of_question.of_task is not None:
            given = _of_units(question, of_question, given)
        gold |= question.form.gold(
            [[known for answer in of_unit if (known := question.places(answer))] for of_unit in given]
        )
    return gold


def _of_units(question: Question, units: Units, given: Sequence[Sequence[Answer]]) -> list[list[Answer]]:
    """What each annotator says of each unit, from what he or she says of its task."""
    found: list[list[Answer]] = [[] for _ in range(units.n)]
    for task, answers in enumerate(given):
        for answer in filter(None, answers):
            for unit, part in enumerate(question.split(answer, units, task), start=int(units.firsts[task])):
                found[unit].append(part)
    return found
