"""Label weights: how much a human answer counts while it is suspect."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.corpus import Corpus
from backend.domain.frame import Frame
from backend.domain.label_errors.action import WEIGHTS
from backend.domain.questions import decisions
from backend.ports import Deps
from backend.workflows.check.verdicts import UNDECIDED


def weighed(deps: Deps, corpus: Corpus) -> Frame:
    """The corpus's frame with how much each human answer counts: less while it is suspect and nobody has ruled.

    See `Action` for how much less. What doesn't count at all isn't gold: label models and figures, too, are made
    without it. An answer that others of the task have outvoted teaches nothing anyway: what the others say counts in
    full.
    """
    weights = weights_of(deps, corpus)
    gold = {
        decision.key: np.where(weights[question.name] > 0, corpus.gold[decision.key], -1)
        for question in corpus.questions
        if question.name in weights
        for decision in decisions(question)
    }
    return replace(corpus.frame, weights=weights, gold={**corpus.gold, **gold})


def weights_of(deps: Deps, corpus: Corpus) -> dict[str, NDArray[np.float64]]:
    """How much each unit's human answer counts, float64 (n_units,), by question; see `weighed`."""
    weight = WEIGHTS[deps.policy(corpus.key).check_action]
    tasks = {task_id: task for task, task_id in enumerate(corpus.ids.tolist())}
    by_name = {question.name: question for question in corpus.questions}
    weights: dict[str, NDArray[np.float64]] = {}
    for suspect in deps.database.suspects(corpus.key):
        question, task = by_name.get(suspect.question), tasks.get(suspect.task_id)
        if suspect.status not in UNDECIDED or question is None or task is None:
            continue
        is_shared = len(corpus.items[task].annotations) > 1
        units, places = corpus.units[question.name], question.places(suspect.given)
        for unit in units.of_tasks(np.array([task])).tolist():
            if suspect.region not in ("", units.region(unit)):
                continue
            if not is_shared or question.form.is_gold(places, corpus.gold, unit):
                weights.setdefault(question.name, np.ones(units.n))[unit] = weight
    return weights
