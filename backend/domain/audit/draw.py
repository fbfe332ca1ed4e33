"""The draw: which tasks are audit tasks, and in which order they are asked for."""

import hashlib

AUDIT_SHARE = 0.05
ENOUGH = 20
"""Labeled audit tasks from which their accuracy is worth more than that of all labeled ones, of which most are hard."""


def is_audit(key: str, task_id: int, share: float = AUDIT_SHARE) -> bool:
    """Whether a task is an audit task of a project: the same answer at any time and in any process.

    A larger share adds tasks and takes none away.

    Args:
        key: the project's key, so that projects with the same ids have other ones.
        task_id: Label Studio's id.
        share: of all tasks, 0..1.
    """
    return _drawn("audit", key, task_id) < share


def turn(key: str, task_id: int) -> float:
    """The place of an audit task among the others, 0..1, lowest first: a second draw, independent of our confidence.

    The labeled audit tasks must at any time be a random sample, and not the hardest ones.
    """
    return _drawn("turn", key, task_id)


def _drawn(purpose: str, key: str, task_id: int) -> float:
    """A number of [0, 1), as good as drawn at random."""
    digest = hashlib.sha256(f"{purpose} {key} {task_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
