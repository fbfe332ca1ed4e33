"""Versions that were trained, and what came after them."""

from backend.ports import Deps, ProjectRecord, VersionRecord, VersionStatus

UNPUBLISHED = {VersionStatus.BUILT, VersionStatus.PUBLISHING}
"""Versions whose publication has not begun, or was cut off."""
TRAINED = UNPUBLISHED | {VersionStatus.LIVE, VersionStatus.RETIRED}
"""Versions whose folder is complete."""


def new_labels(deps: Deps, version: VersionRecord) -> int:
    """Annotations that are new, changed or gone since a version was trained. Skipped and empty ones don't count."""
    n_teaching, n_newer = deps.database.count_teaching(version.key, version.seen_until)
    return n_newer + max(0, version.n_labels - (n_teaching - n_newer))


def trained_versions(deps: Deps, record: ProjectRecord) -> list[VersionRecord]:
    """Versions whose folder is complete, by number."""
    return [item for item in deps.database.versions(record.key) if item.status in TRAINED]


def is_unchecked(deps: Deps, record: ProjectRecord) -> bool:
    """Whether labels were not looked at since the newest version was trained."""
    trained = trained_versions(deps, record)
    return bool(trained) and record.checked_at < trained[-1].created_at
