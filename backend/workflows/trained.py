"""Versions that were trained, and what came after them."""

from collections.abc import Sequence

from backend.domain.tasks import Annotation
from backend.ports import Deps, ProjectRecord, VersionRecord, VersionStatus

TRAINED = {VersionStatus.BUILT, VersionStatus.LIVE, VersionStatus.RETIRED}
"""Versions whose folder is complete."""


def new_labels(annotations: Sequence[Annotation], version: VersionRecord) -> int:
    """Annotations that are new, changed or gone since a version was trained. Skipped and empty ones don't count."""
    teaching = [entry for entry in annotations if entry.teaches]
    newer = sum(entry.updated_at > version.seen_until for entry in teaching)
    return newer + max(0, version.n_labels - (len(teaching) - newer))


def trained_versions(deps: Deps, record: ProjectRecord) -> list[VersionRecord]:
    """Versions whose folder is complete, by number."""
    return [item for item in deps.database.versions(record.key) if item.status in TRAINED]


def is_unchecked(deps: Deps, record: ProjectRecord) -> bool:
    """Whether labels were not looked at since the newest version was trained."""
    trained = trained_versions(deps, record)
    return bool(trained) and record.checked_at < trained[-1].created_at
