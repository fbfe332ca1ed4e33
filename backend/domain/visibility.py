"""Visibility: which questions Label Studio hides, by the answers to others."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.questions import Condition, Question
from backend.domain.tasks import Answer

Rows = Mapping[str, NDArray[np.bool_]]
"""Question -> the tasks of which something is so, bool (n,)."""


def hidden_rows(questions: Sequence[Question], answers: Mapping[str, Sequence[Answer]]) -> dict[str, NDArray[np.bool_]]:
    """In which tasks each question is hidden, bool (n,); only of the questions that wait for the answers of others.

    A hidden question's answer shows nothing. Questions that wait for each other in a circle, and those that wait for
    one of them, aren't shown.

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

    def shown(surely: Rows, possibly: Rows) -> Rows:
        """Where each question is shown, if what is chosen stands in what is shown surely, or else at most possibly."""
        now = {question.name: np.ones(n_tasks, dtype=np.bool_) for question in questions}
        for question in waiting:
            for condition in question.shown_when:
                among = surely if condition.chosen else possibly
                is_met = np.zeros(n_tasks, dtype=np.bool_)
                for name, is_chosen in chosen[condition]:
                    # Without a name, other Choices are meant.
                    if condition.question or name != question.name:
                        is_met |= is_chosen & among[name]
                now[question.name] &= is_met == condition.chosen
        return now

    surely: Rows = {question.name: np.zeros(n_tasks, dtype=np.bool_) for question in questions}
    possibly: Rows = {question.name: np.ones(n_tasks, dtype=np.bool_) for question in questions}
    # What is surely shown grows, what is possibly shown shrinks, until only circles are between the two.
    n_before, n_open = -1, n_tasks * len(questions)
    while n_open != n_before:
        surely, possibly = shown(surely, possibly), shown(possibly, surely)
        n_before, n_open = n_open, sum(int((possibly[name] & ~surely[name]).sum()) for name in surely)
    return {question.name: ~surely[question.name] for question in waiting}


def _chosen(question: Question, condition: Condition, answers: Sequence[Answer]) -> NDArray[np.bool_]:
    groups = [frozenset(group) for group in condition.groups]
    holds: dict[Answer, bool] = {(): False}
    for answer in set(answers) - {()}:
        chosen = question.leaves(answer)
        holds[answer] = not groups or any(group <= chosen for group in groups)
    return np.array([holds[answer] for answer in answers], dtype=np.bool_)
