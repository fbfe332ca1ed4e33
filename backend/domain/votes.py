"""Votes: what each source said of each task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backend.domain.questions import Decision, Question, decisions
from backend.domain.rules import Rule, TaskFields, Vote

ABSTAIN = -1

Votes = NDArray[np.int16]
"""int16 (n_tasks, n_sources): a class index, or -1 = abstain."""


@dataclass(frozen=True, slots=True)
class VoteMatrix:
    """The votes on one decision: int16 (n_tasks, n_sources), -1 = abstain, columns in the order of `sources`."""

    decision: Decision
    sources: tuple[str, ...]
    votes: Votes


@dataclass(slots=True)
class Faults:
    """What went wrong while rules voted: rule name -> number of faults and the first reason."""

    counts: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, rule: str, reason: str) -> None:
        """Count one fault; only the first reason of a rule is kept."""
        self.counts[rule] = self.counts.get(rule, 0) + 1
        self.reasons.setdefault(rule, reason)

    def merge(self, other: "Faults") -> None:
        """Add another count to this one."""
        for rule, count in other.counts.items():
            self.counts[rule] = self.counts.get(rule, 0) + count
            self.reasons.setdefault(rule, other.reasons[rule])


def apply_rules(
    rules: Sequence[Rule], tasks: Sequence[Mapping[str, object]], questions: Sequence[Question]
) -> tuple[dict[str, VoteMatrix], Faults]:
    """Let every rule vote on every task.

    Args:
        rules: labeling functions with unique names.
        tasks: task data, n_tasks of them.
        questions: the questions of the project.

    Returns:
        One vote matrix for each decision of each question, by `Decision.key`, rows in the order of `tasks`, columns the
        rules that answer the question, in the order of `rules`; and the faults. A rule that raises, or that votes for a
        label the question doesn't have, abstains on that task and is counted.
    """
    fields = [TaskFields(data) for data in tasks]
    faults = Faults()
    matrices: dict[str, VoteMatrix] = {}
    for question in questions:
        asked = [rule for rule in rules if rule.answers(question)]
        chosen = [[_labels_voted(rule, task, question, faults) for rule in asked] for task in fields]
        matrices |= votes_on(question, tuple(rule.name for rule in asked), chosen)
    return matrices, faults


def votes_on(
    question: Question, sources: tuple[str, ...], chosen: Sequence[Sequence[tuple[int, ...]]]
) -> dict[str, VoteMatrix]:
    """Vote matrices of one question from the label indices that each source chose for each task (none = abstain).

    In a multiple question, a source that names some labels says nothing about the others: it abstains on them.
    """
    shape = (len(chosen), len(sources))
    matrices = {}
    for index, decision in enumerate(decisions(question)):
        votes = np.full(shape, ABSTAIN, dtype=np.int16)
        for row, picks in enumerate(chosen):
            for column, labels in enumerate(picks):
                if not question.multiple and labels:
                    votes[row, column] = labels[0]
                elif index in labels:
                    votes[row, column] = 1
        matrices[decision.key] = VoteMatrix(decision, sources, votes)
    return matrices


def _labels_voted(rule: Rule, task: TaskFields, question: Question, faults: Faults) -> tuple[int, ...]:
    try:
        vote: Vote = rule.function(task)
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything; it must not stop the others
        faults.add(rule.name, f"{type(error).__name__}: {error}")
        return ()
    if vote is None:
        return ()
    labels = (vote,) if isinstance(vote, str) else tuple(vote)
    indices = [question.index(label) for label in labels]
    known = tuple(index for index in indices if index is not None)
    if len(known) < len(indices):
        faults.add(rule.name, f"voted for a label that {question.name!r} doesn't have")
        return ()
    if len(known) > 1 and not question.multiple:
        faults.add(rule.name, f"voted for several labels, but {question.name!r} takes one")
        return ()
    return known
