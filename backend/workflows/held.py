"""Held projects: a person rolled them back, and no automatic training replaces what is shown."""

from dataclasses import dataclass

from backend.errors import BadRequest, ModelMissing
from backend.ports import Deps, ProjectRecord
from backend.workflows.asked import config_of
from backend.workflows.trained import new_labels, trained_versions


@dataclass(frozen=True, slots=True)
class Held:
    """What a project is held at. n_new: labels that this version hasn't learned from. asks_otherwise: the label config
    has other questions now, which this version doesn't answer."""

    number: int
    since: float
    n_new: int
    asks_otherwise: bool = False


def held_at(deps: Deps, record: ProjectRecord) -> Held | None:
    """The version that a project is held at; None when nobody rolled it back, or somebody let go."""
    hold = deps.database.hold(record.key)
    if hold is None:
        return None
    versions = [item for item in trained_versions(deps, record) if item.number == hold.number]
    n_new = sum(new_labels(deps, item) for item in versions)
    return Held(hold.number, hold.since, n_new, _asks_otherwise(deps, record, hold.number))


def _asks_otherwise(deps: Deps, record: ProjectRecord, number: int) -> bool:
    try:
        asked = config_of(deps, record.key, record.label_config, number).questions
        return deps.versions.questions(record.key, number) != asked
    except (ModelMissing, BadRequest):
        # Others say so.
        return False
