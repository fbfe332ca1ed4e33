"""Measure: how often a proposed rule is right on labels that had no part in it, and what it would change."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.audit.draw import ENOUGH
from backend.domain.posterior import is_known
from backend.domain.questions import Decision
from backend.domain.questions.forms import ABSTAIN
from backend.domain.statistics import Interval, exact
from backend.domain.votes import VoteMatrix

LEVEL = 0.9
"""Of the cases in which the interval holds, at least."""
MINED_SHARE = 0.5
"""Of the labeled tasks that rules are made from; all others only measure."""


@dataclass(frozen=True, slots=True)
class Precision:
    """n_right of n votes are right, on tasks that had no part in the rule. interval: of that share on unseen tasks."""

    n_right: int
    n: int
    interval: Interval

    @property
    def mean(self) -> float:
        """What the share is taken for: with one right and one wrong vote more than were seen."""
        return (self.n_right + 1) / (self.n + 2)


def is_mined(key: str, task_id: int) -> bool:
    """Whether rules may be made from a task's label; the same answer at any time, as good as drawn at random.

    So a rule that was proposed is measured on the same tasks when it is asked for again.
    """
    digest = hashlib.sha256(f"mined {key} {task_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < MINED_SHARE


def precision(votes: list[tuple[VoteMatrix, NDArray[np.int64]]], source: str, audit: NDArray[np.bool_]) -> Precision:
    """How often the votes of a rule are right.

    Nothing was chosen by these labels, so that the exact interval (Clopper & Pearson 1934) holds: no rule was shown or
    left out for being right here. Audit tasks are drawn at random, and others are asked for because they are hard: with
    `ENOUGH` votes on them they count alone.

    Args:
        votes: of each decision the votes on the tasks that measure, with gold, int64 (n,).
        source: the rule.
        audit: bool (n,), the audit tasks among them.
    """
    judged, right = [], []
    for matrix, gold in votes:
        voted, against = _columns(matrix, source)
        judged.append((gold >= 0) & ((voted != ABSTAIN) | (against != ABSTAIN)))
        right.append(np.where(voted != ABSTAIN, voted == gold, against != gold))
    of_audit = [rows & audit for rows in judged]
    rows = of_audit if sum(int(part.sum()) for part in of_audit) >= ENOUGH else judged
    n = sum(int(part.sum()) for part in rows)
    n_right = sum(int((part & good).sum()) for part, good in zip(rows, right, strict=True))
    return Precision(n_right, n, exact(n_right, n, LEVEL))


def changed(
    decision: Decision, posterior: NDArray[np.float64], matrix: VoteMatrix, source: str, right: float
) -> NDArray[np.int64]:
    """What is decided once a rule votes, int64 (n,), -1 where nothing is known: its vote is one more witness, as
    trustworthy as it was measured to be.

    Args:
        decision: one of the question's.
        posterior: float64 (n, k) of the version in use, a NaN row where it knows nothing.
        matrix: votes.
        source: the rule.
        right: the probability that its votes are right.
    """
    voted, against = _columns(matrix, source)
    k = posterior.shape[1]
    each = np.arange(k)
    likelihood = np.ones(posterior.shape)
    rows = voted != ABSTAIN
    likelihood[rows] = np.where(each == voted[rows, None], right, (1 - right) / max(k - 1, 1))
    rows = against != ABSTAIN
    likelihood[rows] = np.where(each == against[rows, None], (1 - right), right / max(k - 1, 1))
    prior = np.where(is_known(posterior)[:, None], posterior, 1 / k)
    after = prior * likelihood
    after /= np.maximum(after.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    # A vote against a label is no answer by itself.
    after[~is_known(posterior) & (voted == ABSTAIN)] = np.nan
    return decision.choose(after)


def _columns(matrix: VoteMatrix, source: str) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Votes for classes, and against them, int16 (n,)."""
    column = matrix.sources.index(source)
    voted = matrix.votes[:, column]
    return voted, np.full_like(voted, ABSTAIN) if matrix.excluded is None else matrix.excluded[:, column]
