"""Label weights: how much a human answer counts while it is suspect."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.label_errors.action import WEIGHTS
from backend.domain.questions import Question, decisions
from backend.ports import (
    Deps,
    MirroredTask,
)
from backend.workflows.check.verdicts import UNDECIDED


def weights_of(
    deps: Deps,
    key: str,
    items: Sequence[MirroredTask],
    questions: Sequence[Question],
    gold: Mapping[str, NDArray[np.int64]],
) -> dict[str, NDArray[np.float64]]:
    """How much each task's human answer counts, by question: less while it is suspect and nobody has ruled.

    See `Action` for how much less. An answer that others of the task have outvoted teaches nothing anyway: what the
    others say counts in full.
    """
    weight = WEIGHTS[deps.policy(key).check_action]
    rows = {item.task.id: row for row, item in enumerate(items)}
    by_name = {question.name: question for question in questions}
    weights: dict[str, NDArray[np.float64]] = {}
    for suspect in deps.database.suspects(key):
        question, row = by_name.get(suspect.question), rows.get(suspect.task_id)
        if suspect.status not in UNDECIDED or question is None or row is None:
            continue
        if len(items[row].annotations) > 1 and not question.form.is_gold(question.places(suspect.given), gold, row):
            continue
        weights.setdefault(suspect.question, np.ones(len(items)))[row] = weight
    return weights


def without_suspects(
    questions: Sequence[Question], gold: Mapping[str, NDArray[np.int64]], weights: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.int64]]:
    """Gold without answers that don't count at all: label models and figures, too, are made without them."""
    return {
        decision.key: np.where(weights[question.name] > 0, gold[decision.key], -1)
        if question.name in weights
        else gold[decision.key]
        for question in questions
        for decision in decisions(question)
    }
