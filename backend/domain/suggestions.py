"""Suggestions: posteriors in, answers with a confidence out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from backend.domain.frame import Frame
from backend.domain.questions import Question, decisions
from backend.domain.questions.forms import ABSTAIN
from backend.domain.tasks import Answer
from backend.domain.visibility import hidden_rows


@dataclass(frozen=True)
class Suggestion:
    """What we would answer for one task.

    answers: question -> labels; questions of which nothing is known, that the other answers hide, and empty sets are
        left out.
    score: calibrated confidence in all that is known, 0..1; the lowest of `per_question`; 0.0 when nothing is known.
    per_question: question -> confidence; for a set of labels, that the whole set is right.
    scores: question -> confidence in each region of its answer, in their order, where answers are regions.
    votes: question -> source -> what it voted (several labels joined by ", "; "not X" if it only rules X out), for the
        record.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    score: float = 0.0
    per_question: dict[str, float] = field(default_factory=dict)
    votes: dict[str, dict[str, str]] = field(default_factory=dict)
    scores: dict[str, tuple[float, ...]] = field(default_factory=dict)


def suggest(frame: Frame) -> list[Suggestion]:
    """One suggestion per task, in their order, from the posteriors of all questions; votes are recorded in it."""
    suggestions = [Suggestion() for _ in range(frame.n_tasks)]
    answers = task_answers(frame)
    hidden = hidden_rows(frame.questions, answers)
    for question in frame.questions:
        confidence = question.certainty(frame.units[question.name], question.form.confidences(frame.posteriors))
        if question.name in hidden:
            confidence = np.where(hidden[question.name], np.nan, confidence)
        for suggestion, certainty, answer in zip(suggestions, confidence.tolist(), answers[question.name], strict=True):
            if not np.isnan(certainty):
                suggestion.per_question[question.name] = certainty
                if answer:
                    suggestion.answers[question.name] = answer
        _record_votes(question, frame, suggestions)
    return [
        Suggestion(item.answers, min(item.per_question.values(), default=0.0), item.per_question, item.votes)
        for item in suggestions
    ]


def task_answers(frame: Frame) -> dict[str, list[Answer]]:
    """The most probable answer to each question for each task, in their order; () where nothing is known."""
    return {
        question.name: question.join(question.answers(frame.posteriors), frame.units[question.name])
        for question in frame.questions
    }


def _record_votes(question: Question, frame: Frame, suggestions: Sequence[Suggestion]) -> None:
    units = frame.units[question.name]
    for decision in decisions(question):
        matrix = frame.votes.get(decision.key)
        if matrix is None:
            continue
        if matrix.excluded is not None:
            for row, column in zip(*np.nonzero(matrix.excluded != ABSTAIN), strict=True):
                excluded = decision.classes[matrix.excluded[row, column]]
                said = suggestions[units.task(row)].votes.setdefault(question.name, {})
                said[matrix.sources[column]] = f"not {excluded}"
        for row, column in zip(*np.nonzero(matrix.votes != ABSTAIN), strict=True):
            vote = decision.classes[matrix.votes[row, column]]
            if decision.label is not None:
                if vote == "no":
                    continue
                vote = decision.label
            said = suggestions[units.task(row)].votes.setdefault(question.name, {})
            source = matrix.sources[column]
            said[source] = f"{said[source]}, {vote}" if source in said else vote
