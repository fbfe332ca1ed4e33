"""What commands say of a project that a person holds at a version."""

from datetime import datetime

from backend.domain.reports.status import Held
from backend.domain.words import counted
from backend.ports import version_name


def held_sentence(held: Held, project_id: int) -> str:
    """Since when, what waits, and how to let go; without a full stop."""
    since = f"{datetime.fromtimestamp(held.since).astimezone():%Y-%m-%d %H:%M}"
    otherwise = ", and the label config asks something else now" if held.asks_otherwise else ""
    new = counted(held.n_new, "label")
    return (
        f"held at {version_name(held.number)} since {since}, {new} that it hasn't learned from{otherwise}; "
        f"`prelabel retrain {project_id}` or `prelabel rollback {project_id} --release` lets go"
    )
