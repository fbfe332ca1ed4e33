"""Audit tasks: drawn at random, so that what is measured on them holds for all tasks."""

import hashlib

AUDIT_SHARE = 0.05


def is_audit(key: str, task_id: int, share: float = AUDIT_SHARE) -> bool:
    """Whether a task is an audit task of a project: the same answer at any time and in any process.

    Args:
        key: the project's key, so that projects with the same ids have other ones.
        task_id: Label Studio's id.
        share: of all tasks, 0..1.
    """
    digest = hashlib.sha256(f"audit {key} {task_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
