"""The opening of every job: is the project still there, and what changed in it since we looked?"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backend.errors import ProjectMissing
from backend.ports import Deps, Progress, ProjectInfo, ProjectRecord
from backend.workflows.labels import note_changes

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
    record = _record(deps, key)
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
    record = _record(deps, key)
    deps.database.save_project(record)
    return record


def _record(deps: Deps, key: str) -> ProjectRecord:
    """What we remember of a project, else what its key says. Nothing is kept of it: anyone may make a uid up."""
    return deps.database.project(key) or ProjectRecord(key, project_id=int(key.split(".", 1)[0]))


def _sync(deps: Deps, record: ProjectRecord, info: ProjectInfo, progress: Progress) -> OpenedProject:
    """Bring the mirror up to date.

    All tasks the first time and every few hours, else those that changed since the newest change we saw. Deleted tasks
    leave no trace, so ids are compared when the numbers of tasks differ. A task that was written before the newest one,
    but committed after it, shows up there too: then all are read.
    """
    if record.cursor is None or deps.now() - record.full_sync_at > FULL_SYNC_EACH_S:
        full, (newest, changed) = True, _read_all(deps, record, info, progress)
    else:
        full, (newest, changed) = False, _read_changed(deps, record, record.cursor, info, progress)
    if not full and deps.database.count_tasks(record.key) != info.n_tasks:
        alive = deps.label_studio.task_ids(record.project_id)
        changed += deps.database.keep_tasks(record.key, alive)
        if deps.database.count_tasks(record.key) < len(alive):
            full, (newest, _) = True, _read_all(deps, record, info, progress)
            changed += 1
    new = replace(
        record,
        title=info.title,
        label_config=info.label_config,
        cursor=newest or None,
        full_sync_at=deps.now() if full else record.full_sync_at,
    )
    # First: a crash in between must not lose them.
    note_changes(deps, record, new)
    deps.database.save_project(new)
    return OpenedProject(new, info, changed > 0 or new.label_config != record.label_config)


def _read_all(deps: Deps, record: ProjectRecord, info: ProjectInfo, progress: Progress) -> tuple[str, int]:
    """Read all tasks; returns up to which change nothing was missed, and the number of changes."""
    # They come by id: of what changes meanwhile, only some is seen. All of it is read again as news.
    newest = deps.label_studio.newest_change(record.project_id)
    seen, changed = set[int](), 0
    for page in deps.label_studio.tasks(record.project_id):
        deps.database.save_tasks(record.key, page)
        seen |= {item.task.id for item in page}
        changed += sum(item.task.updated_at > (record.cursor or "") for item in page)
        progress("reading tasks", len(seen), info.n_tasks)
    return newest, changed + deps.database.keep_tasks(record.key, seen)


def _read_changed(
    deps: Deps, record: ProjectRecord, cursor: str, info: ProjectInfo, progress: Progress
) -> tuple[str, int]:
    """Read the tasks that changed; returns up to which change nothing was missed, and the number of changes.

    They come by the time of their change. One that changes after its page was read goes to the end, and the first task
    of each page between moves to one that was read already, unseen. The one that went is seen twice, which shows it:
    then all is sure up to the end of the page where it was first.
    """
    newest, changed = cursor, 0
    page_ends: dict[int, str] = {}
    sure: list[str] = []
    for page in deps.label_studio.tasks(record.project_id, _minus_overlap(cursor)):
        deps.database.save_tasks(record.key, page)
        newest = max([newest, *(item.task.updated_at for item in page)])
        sure += [page_ends[item.task.id] for item in page if item.task.id in page_ends]
        page_ends |= {item.task.id: newest for item in page}
        # The overlap shows tasks again that were seen before: only later ones are news.
        changed += sum(item.task.updated_at > cursor for item in page)
        progress("reading tasks", len(page_ends), info.n_tasks)
    return min([newest, *sure]), changed


def _minus_overlap(cursor: str) -> str:
    moment = datetime.fromisoformat(cursor) - timedelta(seconds=OVERLAP_S)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
