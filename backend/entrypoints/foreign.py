"""What commands say of our keys in task data that somebody else wrote."""

from collections.abc import Mapping

from backend.domain.words import counted


def foreign_sentence(counts: Mapping[str, int]) -> str:
    """Keys of ours that say what we didn't write; without a full stop. `counts`: as in the report of a check."""
    said = ", ".join(f"{name} of {counted(n, 'task')}" for name, n in counts.items())
    return (
        f"Left as somebody else wrote it: {said}. If these are tags of another installation or of a lost database, "
        "`prelabel check PROJECT --adopt-tags` takes them for ours, and the next check clears or overwrites them"
    )
