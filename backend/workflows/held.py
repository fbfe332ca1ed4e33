"""Held projects: a person rolled them back, and no automatic training replaces what is shown."""

from backend.domain.reports.status import Held
from backend.errors import BadRequest, ModelMissing
from backend.ports import Deps, ProjectRecord
from backend.workflows.asked import config_of
from backend.workflows.trained import new_labels, trained_versions


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
        asked = config_of(deps, record.key, record.label_config, number).answered
        return deps.versions.questions(record.key, number) != asked
    except (ModelMissing, BadRequest):
        # Others say so.
        return False
