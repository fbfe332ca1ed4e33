"""Held projects: a person rolled them back, and no automatic training replaces what is shown."""

from dataclasses import dataclass

from backend.ports import Deps, ProjectRecord
from backend.workflows.trained import new_labels, trained_versions


@dataclass(frozen=True, slots=True)
class Held:
    """What a project is held at. n_new: labels that this version hasn't learned from."""

    number: int
    since: float
    n_new: int


def held_at(deps: Deps, record: ProjectRecord) -> Held | None:
    """The version that a project is held at; None when nobody rolled it back, or somebody let go."""
    hold = deps.database.hold(record.key)
    if hold is None:
        return None
    versions = [item for item in trained_versions(deps, record) if item.number == hold.number]
    return Held(hold.number, hold.since, sum(new_labels(deps, item) for item in versions))
