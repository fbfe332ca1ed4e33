"""Check: find annotations that are probably wrong, tag them in the project, and remember what people say of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from backend.domain.label_errors import Suspect, find_label_errors
from backend.domain.model import gold_of
from backend.domain.questions import Question, decisions
from backend.domain.tasks import OWN_PREFIX, Annotation
from backend.ports import Deps, MirroredTask, Progress, ProjectRecord, SuspectRecord, SuspectStatus, Tab
from backend.workflows.mirror import open_project

QUALITY_KEY = f"{OWN_PREFIX}quality"
EXPECTED_KEY = f"{OWN_PREFIX}expected"
CHECK_KEY = f"{OWN_PREFIX}check"
CHECK_TAB = "Prelabel: check"

T = TypeVar("T", str, float)


def check(deps: Deps, key: str, progress: Progress) -> None:
    """Find label errors with the held-out posteriors of the current version, and tag them.

    A person's verdict stands: what was confirmed is not flagged again with the same label. Verdicts given since the
    last look are taken first, so that none is overwritten.

    Raises:
        LabelStudioError: Label Studio refused or did not answer.
        ModelMissing: the current version can't be read.
    """
    number = deps.versions.current(key)
    opened = open_project(deps, key, progress) if number else None
    if opened is None:
        return
    record = opened.record
    settle(deps, record)
    progress("looking for wrong labels", 0, 1)
    questions = deps.parse_label_config(record.label_config).questions
    items = deps.database.tasks(key)
    found = find_suspects(questions, items, *deps.versions.held_out(key, number))
    known = {(item.task_id, item.question): item for item in deps.database.suspects(key)}
    deps.database.save_suspects(key, _merge(found, known, items))
    write_tags(deps, record, progress)
    ensure_check_tab(deps, key)
    latest = deps.database.project(key) or record
    deps.database.save_project(replace(latest, checked_at=deps.now()))


def find_suspects(
    questions: Sequence[Question],
    items: Sequence[MirroredTask],
    task_ids: NDArray[np.int64],
    held_out: Mapping[str, NDArray[np.float64]],
) -> dict[tuple[int, str], Suspect]:
    """Suspects by (task id, question). Labels are today's; the posteriors were made without them, row by row."""
    by_id = {item.task.id: item for item in items}
    rows = [row for row, task_id in enumerate(task_ids.tolist()) if task_id in by_id]
    ids = [int(task_ids[row]) for row in rows]
    answers = [[entry.answers for entry in by_id[task_id].annotations if entry.teaches] for task_id in ids]
    gold = gold_of(questions, answers)
    found = {}
    for question in questions:
        keys = [decision.key for decision in decisions(question)]
        if any(name not in held_out for name in keys):
            # The label config changed; the training that follows will know this question.
            continue
        posteriors = {name: held_out[name][rows] for name in keys}
        if any(posteriors[decision.key].shape[1] != len(decision.classes) for decision in decisions(question)):
            continue
        for suspect in find_label_errors(question, posteriors, {name: gold[name] for name in keys}):
            found[ids[suspect.row], question.name] = suspect
    return found


def settle(deps: Deps, record: ProjectRecord) -> None:
    """Take verdicts from what people did since: a changed or deleted label: fixed; one saved unchanged: confirmed."""
    open_suspects = [item for item in deps.database.suspects(record.key) if item.status is SuspectStatus.OPEN]
    untold = any(not item.tagged for item in deps.database.suspects(record.key))
    if not open_suspects and not untold:
        return
    by_id = {item.task.id: item for item in deps.database.tasks(record.key)}
    settled = []
    for suspect in open_suspects:
        status = _verdict(suspect, by_id.get(suspect.task_id))
        if status is not SuspectStatus.OPEN:
            settled.append(replace(suspect, status=status, tagged=False))
    deps.database.save_suspects(record.key, settled)
    if settled or untold:
        write_tags(deps, record, lambda *_: None)


def write_tags(deps: Deps, record: ProjectRecord, progress: Progress) -> None:
    """Make Label Studio's tags say what the records say; only what changed is written.

    Written one key at a time by an action that leaves the rest of the task's data alone.
    """
    stale = [item for item in deps.database.suspects(record.key) if not item.tagged]
    alive = {item.task.id for item in deps.database.tasks(record.key)}
    changed = {item.task_id for item in stale} & alive
    worst: dict[int, SuspectRecord] = {}
    # All suspects of a task count, not only those that changed: it stays in the tab while one of them is open.
    of_changed = [item for item in deps.database.suspects(record.key) if item.task_id in changed]
    for item in sorted(of_changed, key=_most_urgent, reverse=True):
        worst[item.task_id] = item
    numbers = _grouped({task_id: round(item.quality, 4) for task_id, item in worst.items()})
    texts = [(EXPECTED_KEY, _grouped({task_id: _expected(item) for task_id, item in worst.items()}))]
    # The key that the tab filters by comes last: a task appears there with everything else in place.
    texts.append((CHECK_KEY, _grouped({task_id: item.status.value for task_id, item in worst.items()})))
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
    deps.database.save_suspects(record.key, [replace(item, tagged=True) for item in stale])


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


def _merge(
    found: Mapping[tuple[int, str], Suspect],
    known: Mapping[tuple[int, str], SuspectRecord],
    items: Sequence[MirroredTask],
) -> list[SuspectRecord]:
    """Records that change: new suspects, and open ones that later evidence clears."""
    teaching = {item.task.id: tuple(entry for entry in item.annotations if entry.teaches) for item in items}
    changed = []
    for (task_id, question), suspect in found.items():
        before = known.get((task_id, question))
        settled_by_person = before is not None and before.status is SuspectStatus.CONFIRMED
        if before is not None and settled_by_person and set(before.given) == set(suspect.given):
            continue
        record = SuspectRecord(
            task_id=task_id,
            question=question,
            given=suspect.given,
            expected=suspect.expected,
            quality=round(suspect.quality, 4),
            status=SuspectStatus.OPEN,
            seen=teaching[task_id],
        )
        if before is None or replace(before, seen=record.seen, tagged=False) != record:
            changed.append(record)
        elif before.seen != record.seen:
            # The tags still say it all, but the next verdict is about what the annotations say now.
            changed.append(replace(record, tagged=before.tagged))
    changed += [
        replace(before, status=SuspectStatus.CLEARED, tagged=False)
        for place, before in known.items()
        if place not in found and before.status is SuspectStatus.OPEN
    ]
    return changed


def _verdict(suspect: SuspectRecord, item: MirroredTask | None) -> SuspectStatus:
    """What people have said since of the annotations that gave the doubtful answer.

    Fixed: all of them answer otherwise now, or are gone or skipped. Confirmed: one was saved again exactly as it was,
    or another annotator gave the same answer. A save that changes the answer to another question says nothing of this
    one, nor does an annotator who disagrees.
    """
    now = {entry.id: entry for entry in item.annotations if entry.teaches} if item is not None else {}
    given = frozenset(suspect.given)
    # The majority of several sets of labels may be a set that nobody gave: then it takes all of them to fix it.
    culprits = [entry for entry in suspect.seen if _answer(entry, suspect.question) == given] or suspect.seen
    unchanged = [
        entry
        for entry in culprits
        if entry.id in now and _answer(now[entry.id], suspect.question) == _answer(entry, suspect.question)
    ]
    if not unchanged:
        return SuspectStatus.FIXED
    seen = {entry.id for entry in suspect.seen}
    seconded = any(entry.id not in seen and _answer(entry, suspect.question) == given for entry in now.values())
    saved_again = any(
        now[entry.id].updated_at > entry.updated_at and now[entry.id].answers == entry.answers for entry in unchanged
    )
    return SuspectStatus.CONFIRMED if seconded or saved_again else SuspectStatus.OPEN


def _answer(annotation: Annotation, question: str) -> frozenset[str]:
    return frozenset(annotation.answers.get(question, ()))


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
