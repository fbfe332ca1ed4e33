"""The opening of every job: is the project still there, and what changed in it since we looked?"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backend.errors import ProjectMissing
from backend.ports import Deps, Progress, ProjectInfo, ProjectRecord

OVERLAP_S = 5
"""Read again what changed so shortly before the newest change we saw: Label Studio's writes may end out of order."""
FULL_SYNC_EACH_S = 6 * 3600
"""Changes that no `updated_at` shows (another overlap setting, an edited database) are found by a full sync."""


@dataclass(frozen=True, slots=True)
class OpenedProject:
    """A project whose mirror is up to date. `changed`: something in it is new since the last look."""

    record: ProjectRecord
    info: ProjectInfo
    changed: bool


def open_project(deps: Deps, key: str, progress: Progress) -> OpenedProject | None:
    """The project with an up-to-date mirror; None, and it is forgotten, when it was deleted or never had this uid.

    Ids are used again by a Label Studio that starts anew, and anyone may send a uid: only a whole uid names a project.

    Raises:
        LabelStudioError: Label Studio refused or did not answer.
    """
    record = known_project(deps, key)
    try:
        info = deps.label_studio.project(record.project_id)
    except ProjectMissing:
        info = None
    if info is None or not key.startswith(f"{info.uid}-"):
        deps.database.forget_project(key)
        return None
    return _sync(deps, record, info, progress)


def known_project(deps: Deps, key: str) -> ProjectRecord:
    """What we remember of a project; a new record when it is seen for the first time."""
    found = deps.database.project(key)
    if found is not None:
        return found
    record = ProjectRecord(key, project_id=int(key.split(".", 1)[0]))
    deps.database.save_project(record)
    return record


def _sync(deps: Deps, record: ProjectRecord, info: ProjectInfo, progress: Progress) -> OpenedProject:
    """Bring the mirror up to date.

    All tasks the first time and every few hours, else those that changed since the newest change we saw. Deleted tasks
    leave no trace, so ids are compared when the numbers of tasks differ. A task that was written before the newest one,
    but committed after it, shows up there too: then all are read.
    """
    full = record.cursor is None or deps.now() - record.full_sync_at > FULL_SYNC_EACH_S
    newest, changed = _read(deps, record, info, progress, full=full)
    if not full and deps.database.count_tasks(record.key) != info.n_tasks:
        alive = deps.label_studio.task_ids(record.project_id)
        changed += deps.database.keep_tasks(record.key, alive)
        if deps.database.count_tasks(record.key) < len(alive):
            full = True
            newest, _ = _read(deps, record, info, progress, full=True)
            changed += 1
    new = replace(
        record,
        title=info.title,
        label_config=info.label_config,
        cursor=newest or None,
        full_sync_at=deps.now() if full else record.full_sync_at,
    )
    deps.database.save_project(new)
    return OpenedProject(new, info, changed > 0 or new.label_config != record.label_config)


def _read(deps: Deps, record: ProjectRecord, info: ProjectInfo, progress: Progress, *, full: bool) -> tuple[str, int]:
    """Read all tasks or those that changed; returns the newest change seen and the number of changes."""
    since = None if full or record.cursor is None else _minus_overlap(record.cursor)
    newest, seen, changed = record.cursor or "", set[int](), 0
    for page in deps.label_studio.tasks(record.project_id, since):
        deps.database.save_tasks(record.key, page)
        seen |= {item.task.id for item in page}
        # The overlap shows tasks again that were seen before: only later ones are news.
        changed += sum(item.task.updated_at > (record.cursor or "") for item in page)
        newest = max([newest, *(item.task.updated_at for item in page)])
        progress("reading tasks", len(seen), info.n_tasks)
    if full:
        changed += deps.database.keep_tasks(record.key, seen)
    return newest, changed


def _minus_overlap(cursor: str) -> str:
    moment = datetime.fromisoformat(cursor) - timedelta(seconds=OVERLAP_S)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
