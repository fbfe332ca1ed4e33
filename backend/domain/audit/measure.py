"""What audit tasks tell: how often suggestions, and each source behind them, are right."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.domain.metrics import accuracy_of, is_answered, is_right
from backend.domain.questions import Question, decisions
from backend.domain.questions.forms import ABSTAIN, Posteriors
from backend.domain.statistics import wilson
from backend.domain.votes import VoteMatrix


def measure(
    question: Question,
    held_out: Posteriors,
    members: Mapping[str, Posteriors],
    votes: Mapping[str, VoteMatrix],
    gold: Mapping[str, NDArray[np.int64]],
    audit: NDArray[np.bool_],
) -> dict[str, Any]:
    """Figures of one question, ready for JSON; None where no audit task supports one.

    Args:
        question: the question.
        held_out: by `Decision.key`, each row's posterior without any influence of its own label.
        members: the same of the label model and of the classifier alone, by name.
        votes: by `Decision.key`.
        gold: int64 (n,) by `Decision.key`, -1 = unknown.
        audit: bool (n,), the tasks that people labeled with this suggestion withheld.

    Returns:
        `n_labels` audit tasks have a complete answer; on these, `answered`, `accuracy` and `accuracy_interval` as in
        `metrics.evaluate`. `sources`, `members`: for each one `accuracy` with `accuracy_interval` (Wilson 1927, 95 %)
        on the `n` audit tasks on which it votes; for a source of a multiple question, `n` counts its votes for and
        against single labels.
    """
    keys = [decision.key for decision in decisions(question)]
    rows = np.flatnonzero(audit & np.all([gold[key] >= 0 for key in keys], axis=0))
    truth = {key: gold[key][rows] for key in keys}
    sources: dict[str, dict[str, Any]] = {}
    for column, source in enumerate(votes[keys[0]].sources):
        cast = np.concatenate([votes[key].votes[rows, column] for key in keys])
        judged = cast != ABSTAIN
        sources[source] = _share(cast[judged] == np.concatenate(list(truth.values()))[judged])
    of_members: dict[str, dict[str, Any]] = {}
    for name, posteriors in members.items():
        mine = {key: posteriors[key][rows] for key in keys}
        of_members[name] = _share(is_right(question, mine, truth)[is_answered(question, mine)])
    ours = {key: held_out[key][rows] for key in keys}
    figures = accuracy_of(question, ours, truth)
    return {"n_labels": len(rows), **figures, "sources": sources, "members": of_members}


def _share(right: NDArray[np.bool_]) -> dict[str, Any]:
    n, n_right = right.size, int(right.sum())
    return {"n": n, "accuracy": n_right / n if n else None, "accuracy_interval": wilson(n_right, n)}
