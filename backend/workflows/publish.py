"""Publish: a version's suggestions go to Label Studio, and the project shows them. Safe to run twice."""

from dataclasses import replace
from functools import partial

from backend.ports import (
    Deps,
    Progress,
    ProjectInfo,
    ProjectRecord,
    Tab,
    VersionStatus,
    version_name,
)
from backend.workflows.asked import config_of
from backend.workflows.check.tags import ensure_check_tab
from backend.workflows.push import Push
from backend.workflows.trained import UNPUBLISHED

NEXT_TAB = "Prelabel: next"


def publish(deps: Deps, record: ProjectRecord, info: ProjectInfo, number: int, progress: Progress) -> None:
    """Push a version's suggestions, most useful task first, and make the project show them.

    The most useful tasks go one by one, then the project is switched, then all the rest in one request; what Label
    Studio has already is not sent again. Last, versions before the previous one are removed.
    """
    name, known = version_name(number), deps.database.versions(record.key)
    # Not what is current: a worker that was killed on the way had changed that already.
    before = {item.name for item in known if item.status is VersionStatus.LIVE}
    stored = deps.label_studio.versions(record.project_id)
    present = set[int]()
    if name in stored:
        # Somebody was killed or refused on the way. In a large project this takes minutes.
        progress("looking up which tasks have a suggestion", 0, 1)
        present = deps.label_studio.predicted_tasks(record.project_id, name)
    missing = deps.database.task_ids(record.key, open_only=True) - present
    wanted = [item for item in deps.versions.predictions(record.key, number) if item.task_id in missing]
    questions = config_of(deps, record.key, info.label_config, number).answered
    push = Push(deps, record, info, number, questions, stored=present)
    deps.database.mark_suggested(record.key, present, number)
    predictions = push.fitting(wanted)
    top = [item for item in predictions if item.is_served]
    rest = [item for item in predictions if not item.is_served]
    push.singly(top, partial(progress, "pushing the most useful tasks"))
    deps.versions.set_current(record.key, number)
    push.show()
    progress("pushing all other tasks", 0, len(rest))
    push.together(rest, partial(progress, "pushing all other tasks"))
    push.show()
    # From here on nobody takes this up again when we are killed: only the removal may still be missing.
    ensure_next_tab(deps, record.key)
    ensure_check_tab(deps, record.key)
    _set_live(deps, record.key, number, push.note)
    progress("removing old versions", 0, 1)
    # A version that isn't in our records is somebody else's, whatever its name.
    ours = {item.name for item in known}
    for old in stored:
        if old in ours and old not in {name, *before}:
            deps.label_studio.remove_version(record.project_id, old)


def ensure_next_tab(deps: Deps, key: str) -> None:
    """Make the tab once; it is known by its id, so it may be renamed."""
    record = deps.database.project(key)
    if record is None:
        return
    tabs = deps.label_studio.tabs(record.project_id)
    if record.next_tab in {tab.id for tab in tabs}:
        return
    by_title = [tab.id for tab in tabs if tab.title == NEXT_TAB]
    tab = Tab(
        title=NEXT_TAB,
        # Empty until a task has all the annotations it needs, however many these are.
        filters=(("completed_at", "empty", "Datetime", True),),
        ordering=("tasks:predictions_score",),
        shown_columns=("id", "predictions_score", "predictions_results"),
    )
    tab_id = by_title[0] if by_title else deps.label_studio.create_tab(record.project_id, tab)
    deps.database.save_project(replace(record, next_tab=tab_id))


def _set_live(deps: Deps, key: str, number: int, note: str) -> None:
    known = deps.database.versions(key)
    # The current one last: it stays current when we are killed between.
    for version in known:
        if version.number != number and version.status in {*UNPUBLISHED, VersionStatus.LIVE}:
            deps.database.save_version(replace(version, status=VersionStatus.RETIRED))
    for version in known:
        if version.number == number:
            deps.database.save_version(replace(version, status=VersionStatus.LIVE, note=note))
