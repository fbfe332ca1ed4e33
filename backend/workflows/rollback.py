"""Rollback: an older version is shown again, and the project is held at it until a person lets go."""

from backend.errors import ModelMissing
from backend.ports import Deps, Hold, Job, Progress, version_name
from backend.workflows.mirror import open_project
from backend.workflows.publish import publish
from backend.workflows.trained import trained_versions


def rollback(deps: Deps, key: str, number: int, progress: Progress) -> None:
    """Make an older version current again, and hold the project at it. Its suggestions come from its folder.

    Automatic trainings wait; new tasks get suggestions of this version. `LET_GO` ends that, and so does a training that
    a person asks for. Where the version can't be shown, what held before holds on.

    Raises:
        ModelMissing: there is no such version, or its folder can't be read.
        LabelStudioError: Label Studio refused or did not answer.
    """
    if not number:
        deps.database.save_hold(key, None)
        # It asks for a training if one is due.
        deps.queue.request(Job.RECONCILE, key)
        return
    opened = open_project(deps, key, progress)
    if opened is None:
        return
    record, info = opened.record, opened.info
    if number not in {item.number for item in trained_versions(deps, record)}:
        raise ModelMissing(f"{version_name(number)} doesn't exist: `prelabel versions {record.project_id}` lists them.")
    # Before it is shown: what is asked for meanwhile must not replace it.
    former = deps.database.hold(key)
    deps.database.save_hold(key, Hold(number, deps.now()))
    try:
        publish(deps, record, info, number, progress)
    except Exception:
        if not _is_shown(deps, key, number):
            deps.database.save_hold(key, former)
        raise


def _is_shown(deps: Deps, key: str, number: int) -> bool:
    try:
        return deps.versions.current(key) == number
    except ModelMissing:
        return False
