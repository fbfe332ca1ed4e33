"""Label changes: labels that a label config adds, and answers that have an old name of a label."""

from collections.abc import Mapping

from backend.domain.label_config import LabelConfig
from backend.domain.tasks import Answer

GONE = "its label isn't in the label config any more"
"""Begins the reason of tasks that come back because their label was split or removed."""


def renamed(answers: Mapping[str, Answer], renames: Mapping[tuple[str, str], str]) -> dict[str, Answer]:
    """Answers by the labels of today.

    Args:
        answers: question -> labels.
        renames: (question, label) -> label of today.
    """
    if not renames:
        return dict(answers)
    return {
        name: tuple(dict.fromkeys(_now(name, label, renames) for label in given)) for name, given in answers.items()
    }


def _now(question: str, label: str, renames: Mapping[tuple[str, str], str]) -> str:
    """The label of today; a name that came round to itself stays."""
    seen = {label}
    while (now := renames.get((question, label))) is not None and now not in seen:
        seen.add(now)
        label = now
    return label


def added(before: LabelConfig, after: LabelConfig) -> list[tuple[str, str]]:
    """(question, label) of the labels that a question got when the label config changed."""
    known = {question.name: set(question.labels) for question in before.answered}
    return [
        (question.name, label)
        for question in after.answered
        if question.name in known
        for label in question.labels
        if label not in known[question.name]
    ]
