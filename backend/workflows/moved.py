"""Find out whether the Label Studio at a new address is one that we know: state belongs to it, not to its address."""

from collections.abc import Iterator, Sequence

import structlog

from backend.errors import LabelStudioError, ProjectMissing
from backend.ports import LabelStudio, ProjectRecord

LOOKED_AT = 20
"""Projects of each known Label Studio that are looked for at the new address, those first that were checked last."""

log = structlog.get_logger()


def mark_at(label_studio: LabelStudio, projects: Sequence[ProjectRecord], fresh: str, secret: str) -> str | None:
    """The mark of the Label Studio at the current address, which nobody has settled yet; None where nothing proves it.

    That none of our projects is there proves nothing: the user of the API key may not see them, or the Label Studio may
    not have its database back yet. Only a project that became known at this address proves that it is a new one.

    A project of ours is there when one with its id was created in the same second, and sends events with our secret, or
    has the same title. Two installations that have nothing in common but a number don't pass for each other.

    Args:
        label_studio: the Label Studio at the current address.
        projects: all projects that we know, of whatever Label Studio.
        fresh: the mark of a Label Studio that we don't know.
        secret: what our webhooks send.

    Raises:
        LabelStudioError: Label Studio refused or did not answer, so nothing is known.
    """
    marks = dict.fromkeys(mark_of_key(project.key) for project in projects)
    if fresh in marks:
        return fresh
    for mark in marks:
        known = [project for project in projects if mark_of_key(project.key) == mark]
        latest = sorted(known, key=lambda project: project.checked_at, reverse=True)[:LOOKED_AT]
        found = next(_found(label_studio, latest, secret), None)
        if found is not None:
            log.warning("Label Studio has another address: its state is used on", projects=len(known), found=found.key)
            return mark
    if marks:
        log.warning("no project that is known is in this Label Studio: it is taken for a new one", others=len(marks))
    return None


def mark_of_key(key: str) -> str:
    """The end of a project's key that says in which Label Studio it is."""
    return key.rpartition("-")[2]


def _found(label_studio: LabelStudio, projects: Sequence[ProjectRecord], secret: str) -> Iterator[ProjectRecord]:
    for project in projects:
        try:
            info = label_studio.project(project.project_id)
            if project.key.startswith(f"{info.uid}-") and (
                info.title == project.title
                or any(item.has_secret for item in label_studio.webhooks(project.project_id, secret))
            ):
                yield project
        except ProjectMissing:
            continue
        except LabelStudioError as error:
            # Another user's project, say: others may tell.
            if error.status not in {403, 404}:
                raise
