"""Why a label is suspect, in a line for people."""

from collections.abc import Sequence

from backend.domain.label_errors.records import Suspect
from backend.domain.questions import Question
from backend.domain.tasks import Answer
from backend.domain.words import both_shares, share

MOST_VOTES = 3
"""Votes named at most; the others are counted."""


def explain(question: Question, suspect: Suspect, task_ids: Sequence[int]) -> str:
    """Probabilities, annotators and votes against the label, and the tasks most like it that have the expected one.

    Args:
        question: the question.
        suspect: what was found.
        task_ids: of the rows that were searched.
    """
    if suspect.reason:
        return suspect.reason
    given, expected = _named(suspect.given), _named(suspect.expected)
    if question.form.quality_is_share:
        likelihood, quality = both_shares(suspect.likelihood, suspect.quality)
        parts = [f"{expected} {likelihood}, {given} {quality}"]
    else:
        likelihood, quality = share(suspect.likelihood), share(suspect.quality)
        parts = [f"expected {expected} ({likelihood}), given {given} (quality {quality})"]
    if suspect.others:
        counts = sorted(suspect.others.items(), key=lambda entry: -entry[1])
        parts.append(", ".join(_who(count, _named(answer)) for answer, count in counts))
    against = list(suspect.votes_against.items())
    if against:
        said = [f"{source} says {vote}" for source, vote in against[:MOST_VOTES]]
        said += [f"{len(against) - MOST_VOTES} more disagree"] if len(against) > MOST_VOTES else []
        parts.append(", ".join(said))
    if suspect.neighbours:
        alike = ", ".join(str(task_ids[row]) for row in suspect.neighbours)
        parts.append(f"like {'task' if len(suspect.neighbours) == 1 else 'tasks'} {alike} ({expected})")
    return "; ".join(parts)


def _who(count: int, answer: str) -> str:
    """Annotators are counted, not named: whoever labels reads this."""
    return f"another annotator says {answer}" if count == 1 else f"{count} other annotators say {answer}"


def _named(answer: Answer) -> str:
    return ", ".join(answer) or "none"
