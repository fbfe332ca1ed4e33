"""Audit tasks in the queue: at the rate of all others, wherever in it people are."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.priorities.pool_state import PoolState
from backend.domain.priorities.queue import TaskQueue, ascending, choose_next
from backend.domain.reports.version import Round

AUDIT = "audit"
"""What the queue calls the turns of audit tasks. Not a strategy, and not to be chosen by a person."""
AUDIT_REASON = "audit task: its suggestion is withheld"


@dataclass(frozen=True, slots=True)
class AuditTasks:
    """rows: int64 (m,), of the open audit tasks, in the order in which they are wanted. share: of all tasks that are
    audit tasks, 0..1."""

    rows: NDArray[np.int64]
    share: float


def choose_with_audit(
    state: PoolState,
    confidence: NDArray[np.float64],
    audit: AuditTasks,
    *,
    strategy: str,
    n: int,
    seed: int,
    history: Iterable[Round] = (),
) -> TaskQueue:
    """Order the open tasks as `choose_next` does, with the audit tasks among them: of any stretch about their share.

    No strategy chooses audit tasks, or the hard ones of them would be labeled first, and show too little accuracy. An
    audit task's score is that of the task behind it, so it says nothing of its suggestion.

    Args:
        state: as for `choose_next`, with the audit tasks labeled in it, but not open.
        confidence: as there, float64 (n_tasks,), 0..1.
        audit: the audit tasks.
        strategy: as there.
        n: how many are served, audit tasks included.
        seed: as there.
        history: as there.
    """
    if not audit.rows.size:
        return choose_next(state, confidence, strategy=strategy, n=n, seed=seed, history=history)
    is_audit = _places(len(state.open_rows), len(audit.rows), audit.share, seed)
    others = np.flatnonzero(~is_audit)
    n_served = min(n, len(is_audit))
    if others.size:
        # A strategy serves one task at least: the queue behind it is ordered by confidence.
        n_served = max(n_served, int(others[0]) + 1)
    wanted = int((~is_audit[:n_served]).sum())
    queue = choose_next(state, confidence, strategy=strategy, n=wanted, seed=seed, history=history)
    order = np.empty(len(is_audit), dtype=np.int64)
    order[is_audit], order[~is_audit] = audit.rows, queue.order
    chosen = iter(zip(queue.chosen_by, queue.reasons, strict=True))
    turns = [(AUDIT, AUDIT_REASON) if place else next(chosen) for place in is_audit[:n_served]]
    return replace(
        queue,
        order=order,
        chosen_by=tuple(name for name, _ in turns),
        reasons=tuple(reason for _, reason in turns),
        scores=ascending(_as_neighbours(np.where(is_audit, np.nan, confidence[order])), n_served),
    )


def scores_of_new(
    confidence: NDArray[np.float64], audit: NDArray[np.int64], *, share: float, seed: int
) -> NDArray[np.float64]:
    """Scores (n,) of tasks that came after the version: each by its confidence, audit tasks among them by their share.

    Where there are only audit tasks, they stand last until the next version gives them their turns.

    Args:
        confidence: (n,), 0..1.
        audit: int64 (m,), the rows of audit tasks, in the order in which they are wanted.
        share: of all tasks that are audit tasks, 0..1.
        seed: of the draw of places.
    """
    others = np.setdiff1d(np.arange(len(confidence)), audit)
    is_audit = _places(len(others), len(audit), share, seed)
    order = np.empty(len(confidence), dtype=np.int64)
    order[is_audit], order[~is_audit] = audit, others[np.argsort(confidence[others], kind="stable")]
    scores = np.empty(len(confidence))
    scores[order] = ascending(_as_neighbours(np.where(is_audit, np.nan, confidence[order])), n_served=0)
    return scores


def _places(n_others: int, n_audit: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Which places of the queue are audit tasks': bool (n_others + n_audit,).

    Systematic sampling: each 1 / share-th place, from a random beginning, so that versions which follow one another
    after a few labels have audit tasks in front at the same rate as long ones. The last places make up for the rest.
    """
    steps = np.arange(n_others + n_audit + 1) * share + np.random.default_rng(seed).random()
    is_audit: NDArray[np.bool_] = np.diff(np.floor(steps)) > 0
    is_audit[np.flatnonzero(is_audit)[n_audit:]] = False
    missing = n_audit - int(is_audit.sum())
    if missing:
        is_audit[np.flatnonzero(~is_audit)[-missing:]] = True
    return is_audit


def _as_neighbours(confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Confidences (n,) with each NaN replaced by the next one that is known, else by the last one; 1 where none is."""
    known = np.flatnonzero(~np.isnan(confidence))
    if not known.size:
        return np.ones(len(confidence))
    following = np.minimum(np.searchsorted(known, np.arange(len(confidence))), len(known) - 1)
    return np.asarray(confidence[known[following]])
