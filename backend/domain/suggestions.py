"""Suggestions: posteriors in, answers with a confidence out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backend.domain.posterior import is_known
from backend.domain.questions import Kind, Question, decisions
from backend.domain.tasks import Answer
from backend.domain.visibility import hidden_rows
from backend.domain.votes import ABSTAIN, VoteMatrix

Posteriors = Mapping[str, NDArray[np.float64]]
"""By `Decision.key`: float64 (n_tasks, n_classes), a NaN row where nothing is known."""


@dataclass(frozen=True)
class Suggestion:
    """What we would answer for one task.

    answers: question -> labels; questions of which nothing is known, that the other answers hide, and empty sets are
        left out.
    score: calibrated confidence in all that is known, 0..1; the lowest of `per_question`; 0.0 when nothing is known.
    per_question: question -> confidence; for a set of labels, that the whole set is right.
    votes: question -> source -> what it voted (several labels joined by ", "; "not X" if it only rules X out), for the
        record.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    score: float = 0.0
    per_question: dict[str, float] = field(default_factory=dict)
    votes: dict[str, dict[str, str]] = field(default_factory=dict)


def suggest(
    questions: Sequence[Question], posteriors: Posteriors, votes: Mapping[str, VoteMatrix] | None = None
) -> list[Suggestion]:
    """One suggestion per task, in the order of the posteriors' rows.

    One answer: see `chosen_classes`. A set of labels: those with P(yes) >= 0.5.

    Args:
        questions: the questions to answer.
        posteriors: for every decision of these questions.
        votes: by `Decision.key`, same rows; recorded in the suggestions where given.
    """
    n_tasks = max((len(posterior) for posterior in posteriors.values()), default=0)
    suggestions = [Suggestion() for _ in range(n_tasks)]
    answers = {question.name: answers_of(question, posteriors) for question in questions}
    hidden = hidden_rows(questions, answers)
    for question in questions:
        confidence = confidences(question, posteriors)
        if question.name in hidden:
            confidence = np.where(hidden[question.name], np.nan, confidence)
        for suggestion, certainty, answer in zip(suggestions, confidence.tolist(), answers[question.name], strict=True):
            if not np.isnan(certainty):
                suggestion.per_question[question.name] = certainty
                if answer:
                    suggestion.answers[question.name] = answer
        _record_votes(question, votes or {}, suggestions)
    return [
        Suggestion(item.answers, min(item.per_question.values(), default=0.0), item.per_question, item.votes)
        for item in suggestions
    ]


def confidences(question: Question, posteriors: Posteriors) -> NDArray[np.float64]:
    """Probability (n,) that the answer to a question is right as a whole; NaN where nothing is known.

    A set of labels is right if each label's yes or no is, taken as independent: the product of max(p, 1 - p) over the
    labels of which something is known.
    """
    if not question.multiple:
        posterior = posteriors[decisions(question)[0].key]
        chosen = chosen_classes(question, posterior)
        return np.where(chosen < 0, np.nan, posterior[np.arange(len(chosen)), chosen])
    best = np.column_stack([posteriors[decision.key].max(axis=1) for decision in decisions(question)])
    return np.where(np.isnan(best).all(axis=1), np.nan, np.nanprod(best, axis=1))


def chosen_classes(question: Question, posterior: NDArray[np.float64]) -> NDArray[np.int64]:
    """The class to answer in each row of a question with one answer: int64 (n,), -1 where nothing is known.

    The most probable class. A rating's classes are ordered, and there the answer is the median of the posterior: the
    least distance from the truth is expected of it.
    """
    known = is_known(posterior)
    if question.kind is Kind.RATING:
        # Rounded, because sums of floats may end just below a half that is reached.
        reached = np.round(np.cumsum(posterior, axis=1), 9) >= 0.5
        chosen = reached.argmax(axis=1)
    else:
        # -1 never beats a probability, so NaN rows don't disturb argmax.
        chosen = np.where(known[:, None], posterior, -1.0).argmax(axis=1)
    return np.where(known, chosen, -1)


def answers_of(question: Question, posteriors: Posteriors) -> list[Answer]:
    """The most probable answer for each task; empty where nothing is known, or where no label of a set is likely."""
    asked = decisions(question)
    if question.multiple:
        yes = np.column_stack([posteriors[decision.key][:, 1] >= 0.5 for decision in asked])
        return [tuple(question.labels[index] for index in np.flatnonzero(row)) for row in yes]
    chosen = chosen_classes(question, posteriors[asked[0].key])
    return [(question.labels[index],) if index >= 0 else () for index in chosen]


def _record_votes(question: Question, votes: Mapping[str, VoteMatrix], suggestions: Sequence[Suggestion]) -> None:
    for decision in decisions(question):
        matrix = votes.get(decision.key)
        if matrix is None:
            continue
        if matrix.excluded is not None:
            for row, column in zip(*np.nonzero(matrix.excluded != ABSTAIN), strict=True):
                excluded = decision.classes[matrix.excluded[row, column]]
                suggestions[row].votes.setdefault(question.name, {})[matrix.sources[column]] = f"not {excluded}"
        for row, column in zip(*np.nonzero(matrix.votes != ABSTAIN), strict=True):
            vote = decision.classes[matrix.votes[row, column]]
            if decision.label is not None:
                if vote == "no":
                    continue
                vote = decision.label
            said = suggestions[row].votes.setdefault(question.name, {})
            source = matrix.sources[column]
            said[source] = f"{said[source]}, {vote}" if source in said else vote
