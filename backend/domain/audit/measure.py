"""Figures of audit tasks: how often suggestions, and each source behind them, are right."""

import numpy as np
from numpy.typing import NDArray

from backend.domain.frame import Frame
from backend.domain.metrics import accuracy_of, is_answered, is_right
from backend.domain.questions import Question, decisions
from backend.domain.questions.forms import ABSTAIN
from backend.domain.reports.figures import Share
from backend.domain.reports.version import AuditFigures
from backend.domain.statistics import wilson


def measure(question: Question, frame: Frame, audit: NDArray[np.bool_]) -> AuditFigures:
    """Figures of one question, without anchoring; None where no audit task supports one.

    Args:
        question: the question.
        frame: held-out posteriors, those of the members, votes and gold.
        audit: bool (n_tasks,), the tasks that people labeled with this suggestion withheld.

    Returns:
        `sources`, `members`: each on the `n` audit tasks on which it votes; for a source of a multiple question, or of
        one with several units a task, `n` counts its votes for and against single labels.
    """
    keys = [decision.key for decision in decisions(question)]
    tasks = np.flatnonzero(audit & frame.labeled(question))
    ours, rows = frame.judged(question, tasks, frame.held_out), frame.units[question.name].of_tasks(tasks)
    sources: dict[str, Share] = {}
    for column, source in enumerate(frame.votes[keys[0]].sources):
        cast = np.concatenate([frame.votes[key].votes[rows, column] for key in keys])
        judged = cast != ABSTAIN
        sources[source] = _share_right(cast[judged] == np.concatenate([ours.gold[key] for key in keys])[judged])
    of_members: dict[str, Share] = {}
    for name, posteriors in frame.members.items():
        mine = frame.judged(question, tasks, posteriors)
        of_members[name] = _share_right(is_right(question, mine)[is_answered(question, mine)])
    right = accuracy_of(question, ours)
    return AuditFigures(
        right.answered, right.accuracy, right.accuracy_interval, len(tasks), sources=sources, members=of_members
    )


def _share_right(right: NDArray[np.bool_]) -> Share:
    n, n_right = right.size, int(right.sum())
    return Share(n, n_right / n if n else None, wilson(n_right, n))
