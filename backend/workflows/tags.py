"""Tags: what Label Studio shows of suspects, in our own keys of the task data, and the tab that lists them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from backend.domain.tasks import OWN_PREFIX
from backend.ports import Deps, Progress, ProjectRecord, SuspectRecord, SuspectStatus, Tab

QUALITY_KEY = f"{OWN_PREFIX}quality"
EXPECTED_KEY = f"{OWN_PREFIX}expected"
REASON_KEY = f"{OWN_PREFIX}reason"
CHECK_KEY = f"{OWN_PREFIX}check"
KEEP = "keep"
"""What a person sets `CHECK_KEY` to, to say that the label is right."""
CHECK_TAB = "Prelabel: check"

T = TypeVar("T", str, float)


def write_tags(deps: Deps, record: ProjectRecord, progress: Progress) -> None:
    """Make Label Studio's tags say what the records say; only what changed is written.

    Written one key at a time by an action that leaves the rest of the task's data alone. Label Studio has none that
    takes a key away: its way is to replace the data as a whole, and what somebody writes at that moment would be lost.
    So the texts of a settled suspect are emptied, and its status leaves the tab. Suspects that were never shown have no
    tags.
    """
    every = deps.database.suspects(record.key)
    stale = [item for item in every if not item.tagged]
    alive = {item.task.id for item in deps.database.tasks(record.key)}
    changed = {item.task_id for item in stale if _is_shown(item)} & alive
    worst: dict[int, SuspectRecord] = {}
    # All suspects of a task count, not only those that changed: it stays in the tab while one of them is open.
    of_changed = [item for item in every if item.task_id in changed and _is_shown(item)]
    for item in sorted(of_changed, key=_most_urgent, reverse=True):
        worst[item.task_id] = item
    numbers = _grouped({task_id: round(item.quality, 4) for task_id, item in worst.items()})
    texts = [
        (EXPECTED_KEY, _grouped({task_id: _if_open(item, _expected(item)) for task_id, item in worst.items()})),
        (REASON_KEY, _grouped({task_id: _if_open(item, item.reason) for task_id, item in worst.items()})),
        # The key that the tab filters by comes last: a task appears there with everything else in place.
        (CHECK_KEY, _grouped({task_id: item.status.value for task_id, item in worst.items()})),
    ]
    total = len(numbers) + sum(len(groups) for _, groups in texts)
    done = 0
    for quality, task_ids in numbers.items():
        deps.label_studio.tag(record.project_id, QUALITY_KEY, quality, task_ids)
        done += 1
        progress("tagging suspects", done, total)
    for key, groups in texts:
        for text, task_ids in groups.items():
            deps.label_studio.tag(record.project_id, key, text, task_ids)
            done += 1
            progress("tagging suspects", done, total)
    written = [replace(item, tagged=True, shown=_is_shown(item)) for item in stale]
    deps.database.save_suspects(record.key, written)


def ensure_check_tab(deps: Deps, key: str) -> None:
    """Make the tab once; it is known by its id, so it may be renamed."""
    record = deps.database.project(key)
    if record is None:
        return
    tabs = deps.label_studio.tabs(record.project_id)
    by_title = [tab.id for tab in tabs if tab.title == CHECK_TAB]
    if record.check_tab in {tab.id for tab in tabs}:
        return
    tab = Tab(
        title=CHECK_TAB,
        filters=((f"data.{CHECK_KEY}", "equal", "String", SuspectStatus.OPEN.value),),
        ordering=(f"tasks:data.{QUALITY_KEY}",),
        shown_columns=("id", "annotations_results", "annotators"),
        column_types={f"data.{QUALITY_KEY}": "Number"},
    )
    tab_id = by_title[0] if by_title else deps.label_studio.create_tab(record.project_id, tab)
    deps.database.save_project(replace(record, check_tab=tab_id))


def _is_shown(item: SuspectRecord) -> bool:
    """Whether Label Studio has tags of it, or should have."""
    return item.shown or item.status is SuspectStatus.OPEN


def _if_open(item: SuspectRecord, text: str) -> str:
    return text if item.status is SuspectStatus.OPEN else ""


def _most_urgent(item: SuspectRecord) -> tuple[bool, float]:
    """Sort key, most urgent first: a task with several questions shows its open suspect of lowest quality."""
    return (item.status is not SuspectStatus.OPEN, item.quality)


def _expected(item: SuspectRecord) -> str:
    return f"{item.question}: {', '.join(item.expected) or 'none'}"


def _grouped(values: Mapping[int, T]) -> dict[T, list[int]]:
    groups: dict[T, list[int]] = {}
    for task_id, value in values.items():
        groups.setdefault(value, []).append(task_id)
    return groups
