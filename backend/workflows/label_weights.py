"""Label weights: how much a human answer counts while it is suspect."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from backend.domain.corpus import Corpus
from backend.domain.label_errors.action import WEIGHTS
from backend.domain.questions import decisions
from backend.ports import Deps
from backend.workflows.check.verdicts import UNDECIDED


def weights_of(deps: Deps, corpus: Corpus) -> dict[str, NDArray[np.float64]]:
    """How much each task's human answer counts, by question: less while it is suspect and nobody has ruled.

    See `Action` for how much less. An answer that others of the task have outvoted teaches nothing anyway: what the
    others say counts in full.
    """
    weight = WEIGHTS[deps.policy(corpus.key).check_action]
    rows = {task_id: row for row, task_id in enumerate(corpus.ids.tolist())}
    by_name = {question.name: question for question in corpus.questions}
    weights: dict[str, NDArray[np.float64]] = {}
    for suspect in deps.database.suspects(corpus.key):
        question, row = by_name.get(suspect.question), rows.get(suspect.task_id)
        if suspect.status not in UNDECIDED or question is None or row is None:
            continue
        is_shared = len(corpus.items[row].annotations) > 1
        if is_shared and not question.form.is_gold(question.places(suspect.given), corpus.gold, row):
            continue
        weights.setdefault(suspect.question, np.ones(len(rows)))[row] = weight
    return weights


def without_suspects(corpus: Corpus, weights: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.int64]]:
    """Gold without answers that don't count at all: label models and figures, too, are made without them."""
    return {
        decision.key: np.where(weights[question.name] > 0, corpus.gold[decision.key], -1)
        if question.name in weights
        else corpus.gold[decision.key]
        for question in corpus.questions
        for decision in decisions(question)
    }
