"""Visibility: which questions Label Studio hides, by the answers to others."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.questions import Condition, Question
from backend.domain.tasks import Answer


def hidden_rows(questions: Sequence[Question], answers: Mapping[str, Sequence[Answer]]) -> dict[str, NDArray[np.bool_]]:
    """In which tasks each question is hidden, bool (n,); only of the questions that wait for the answers of others.

    A hidden question's answer shows nothing. Of questions that wait for each other none is shown.

    Args:
        questions: all questions of the project.
        answers: question -> what is answered in each of n tasks; () = nothing.
    """
    waiting = [question for question in questions if question.shown_when]
    if not waiting:
        return {}
    n_tasks = len(answers[questions[0].name])
    chosen = {
        condition: [
            (decider.name, _chosen(decider, condition, answers[decider.name]))
            for decider in questions
            if decider.is_meant_by(condition)
        ]
        for condition in {item for question in waiting for item in question.shown_when}
    }
    shown = {question.name: np.full(n_tasks, not question.shown_when) for question in questions}
    # What is shown may show more; each round settles one question at least, unless they wait in a circle.
    for _ in waiting:
        holds = {
            condition: np.any([is_chosen & shown[name] for name, is_chosen in deciders], axis=0) == condition.chosen
            for condition, deciders in chosen.items()
        }
        now = {item.name: np.all([holds[condition] for condition in item.shown_when], axis=0) for item in waiting}
        if all(np.array_equal(now[name], shown[name]) for name in now):
            break
        shown |= now
    return {question.name: ~shown[question.name] for question in waiting}


def _chosen(question: Question, condition: Condition, answers: Sequence[Answer]) -> NDArray[np.bool_]:
    groups = [frozenset(group) for group in condition.groups]
    holds: dict[Answer, bool] = {(): False}
    for answer in set(answers) - {()}:
        chosen = question.leaves(answer)
        holds[answer] = not groups or any(group <= chosen for group in groups)
    return np.array([holds[answer] for answer in answers], dtype=np.bool_)
