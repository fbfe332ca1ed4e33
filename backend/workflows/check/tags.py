"""Tags: what Label Studio shows of suspects and data issues in our own keys of the task data, and the suspects' tab."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from backend.domain.outside import is_word
from backend.domain.questions.marks import readable
from backend.domain.tasks import OWN_PREFIX
from backend.ports import Deps, Progress, ProjectRecord, SuspectRecord, SuspectStatus, Tab, TagPlace, TagValue

QUALITY_KEY = f"{OWN_PREFIX}quality"
EXPECTED_KEY = f"{OWN_PREFIX}expected"
REASON_KEY = f"{OWN_PREFIX}reason"
CHECK_KEY = f"{OWN_PREFIX}check"
KEEP = "keep"
"""What a person sets `CHECK_KEY` to, in any case, to say that the label is right."""
ISSUE_KEY = f"{OWN_PREFIX}issue"
NAMES = (QUALITY_KEY, EXPECTED_KEY, REASON_KEY, ISSUE_KEY, CHECK_KEY)
"""In the order of writing: the one that the tab filters by is the last. A task appears there with everything else."""
CHECK_TAB = "Prelabel: check"


def write_suspects(deps: Deps, record: ProjectRecord, progress: Progress) -> None:
    """Make Label Studio's tags say what the records of suspects say. Suspects that were never shown have no tags."""
    every = deps.database.suspects(record.key)
    worst: dict[int, SuspectRecord] = {}
    # All suspects of a task count: it stays in the tab while one of them is open.
    for item in sorted(filter(_is_shown, every), key=_most_urgent, reverse=True):
        worst[item.task_id] = item
    wanted: dict[TagPlace, TagValue] = {}
    for task_id, name in deps.database.tags(record.key):
        # Of a suspect that we know nothing of: taken over from another installation, or from a database that was lost.
        if name == CHECK_KEY:
            wanted[task_id, name] = SuspectStatus.CLEARED.value
        elif name in {EXPECTED_KEY, REASON_KEY}:
            wanted[task_id, name] = ""
    for task_id, item in worst.items():
        wanted[task_id, QUALITY_KEY] = round(item.quality, 4)
        wanted[task_id, EXPECTED_KEY] = _if_open(item, _expected(item))
        wanted[task_id, REASON_KEY] = _if_open(item, item.reason)
        wanted[task_id, CHECK_KEY] = item.status.value
    write(deps, record, wanted, partial(progress, "tagging suspects"))
    stale = [item for item in every if not item.tagged]
    written = [replace(item, tagged=True, shown=_is_shown(item)) for item in stale]
    deps.database.save_suspects(record.key, written)


def write(
    deps: Deps, record: ProjectRecord, wanted: Mapping[TagPlace, TagValue], progress: Callable[[int, int], None]
) -> None:
    """Make tags say what is wanted; only what changed is written, and nothing over what somebody else wrote.

    Written one key at a time by an action that leaves the rest of the task's data alone. Label Studio has none that
    takes a key away: its way is to replace the data as a whole, and what somebody writes at that moment would be lost.
    So tags that are wanted no more are emptied.
    """
    known = deps.database.tags(record.key)
    # Where nothing stands, nothing needs to be emptied.
    changed = {place: value for place, value in wanted.items() if known.get(place, "") != value}
    alive = deps.database.task_ids(record.key) & {task_id for task_id, _ in changed}
    changed = {place: value for place, value in changed.items() if place[0] in alive}
    if not changed:
        return
    foreign = foreign_tags(deps, record)
    ours = {place: value for place, value in changed.items() if place not in foreign}
    # While they are written, nobody knows what they say: after a crash they are written again.
    deps.database.save_tags(record.key, dict.fromkeys(ours))
    groups: dict[tuple[str, TagValue], list[int]] = {}
    for name in NAMES:
        for (task_id, of_task), value in ours.items():
            if of_task == name:
                groups.setdefault((name, value), []).append(task_id)
    for done, ((name, value), task_ids) in enumerate(groups.items(), start=1):
        deps.label_studio.tag(record.project_id, name, value, task_ids)
        progress(done, len(groups))
    deps.database.save_tags(record.key, ours)


def foreign_tags(deps: Deps, record: ProjectRecord) -> set[TagPlace]:
    """Where a key of ours says something that isn't what we wrote last: a field of the user's own, a tag of another
    installation that came with an import, or of a database that was lost. A person's `KEEP` is for us."""
    known = deps.database.tags(record.key)
    there = deps.label_studio.tags(record.project_id, NAMES)
    return {
        place
        for place, value in there.items()
        if not (place in known and known[place] in (None, value))
        and not (place[1] == CHECK_KEY and is_word(value, KEEP))
    }


def adopt_tags(deps: Deps, record: ProjectRecord) -> dict[str, int]:
    """Take all foreign tags for ours: the next check clears or overwrites them. Returns how many of each key."""
    foreign = foreign_tags(deps, record)
    deps.database.save_tags(record.key, dict.fromkeys(foreign))
    return by_name(foreign)


def by_name(places: Iterable[TagPlace]) -> dict[str, int]:
    """How many of each key."""
    return dict(sorted(Counter(name for _, name in places).items()))


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
    return f"{item.question}: {readable(item.expected)}"
