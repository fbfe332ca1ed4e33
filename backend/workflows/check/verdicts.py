"""Verdicts: what people say of suspects, by what they do in Label Studio."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from backend.domain.label_changes import GONE
from backend.domain.label_errors.verdicts import Precision, precision_of, verdict_id
from backend.domain.questions import Question
from backend.domain.tasks import Annotation, MirroredTask
from backend.domain.words import counted
from backend.errors import BadRequest
from backend.ports import Deps, ProjectRecord, SuspectRecord, SuspectStatus, VerdictRecord
from backend.workflows.asked import config_of
from backend.workflows.check.tags import CHECK_KEY, KEEP, foreign_tags, write_suspects

UNDECIDED = {SuspectStatus.OPEN, SuspectStatus.WAITING}
"""Suspects of which nobody has said anything."""


def settle(deps: Deps, record: ProjectRecord, items: Sequence[MirroredTask] | None = None) -> None:
    """Take verdicts from what people did since, and show the suspects that waited for their place. `items`: all tasks,
    where they are at hand.

    A changed or deleted label: fixed. One saved unchanged, or tagged `KEEP`: confirmed. A suspect whose task was
    deleted, or whose label has another name by now, is cleared: that says nothing of its label.
    """
    every = deps.database.suspects(record.key)
    undecided = [item for item in every if item.status in UNDECIDED]
    untold = any(not item.tagged for item in every)
    if not undecided and not untold:
        return
    suspected = {item.task_id for item in undecided}
    questions = config_of(deps, record.key, record.label_config).answered if undecided else ()
    asked = {item.name: item for item in questions}
    by_id = {item.task.id: item for item in items or deps.database.tasks(record.key, suspected)}
    kept = deps.label_studio.tagged(record.project_id, CHECK_KEY, KEEP) if undecided else set()
    settled, verdicts, still = [], [], []
    for suspect in undecided:
        task = by_id.get(suspect.task_id)
        status = SuspectStatus.CONFIRMED if suspect.task_id in kept else _verdict(suspect, task, asked)
        if status is SuspectStatus.OPEN:
            still.append(suspect)
            continue
        settled.append(replace(suspect, status=status, tagged=False))
        if task is not None and status is not SuspectStatus.CLEARED:
            name, region = suspect.question, suspect.region
            remembered = verdict_id(task.task.data, name, suspect.given, region)
            verdicts.append(VerdictRecord(remembered, name, status, suspect.quality, deps.now(), region))
    # Verdicts first: a crash in between takes them twice, and the second time changes nothing.
    deps.database.save_verdicts(record.key, verdicts)
    moved_up = _next_ones(still, deps.policy(record.key).shown_suspects)
    deps.database.save_suspects(record.key, settled + moved_up)
    if settled or moved_up or untold:
        write_suspects(deps, record, lambda *_: None)


def keep_labels(deps: Deps, record: ProjectRecord, task_ids: Sequence[int]) -> None:
    """Say of suspects that their labels are right, as if a person had saved them unchanged: the next look settles them.

    Raises:
        BadRequest: one of the tasks is no suspect, or its `CHECK_KEY` is the user's own. Nothing is said then.
    """
    undecided = {item.task_id for item in deps.database.suspects(record.key) if item.status in UNDECIDED}
    others = sorted(set(task_ids) - undecided)
    if others:
        project = record.project_id
        raise BadRequest(
            f"No suspect without a verdict: {counted(len(others), 'task')} ({', '.join(map(str, others[:10]))}"
            f"{', ...' if len(others) > 10 else ''}). `prelabel check {project} --top 1000` lists the suspects."
        )
    taken = sorted(task_id for task_id, name in foreign_tags(deps, record) if name == CHECK_KEY and task_id in task_ids)
    if taken:
        raise BadRequest(f"Task {taken[0]} has a {CHECK_KEY} of its own: save its annotation unchanged instead.")
    deps.label_studio.tag(record.project_id, CHECK_KEY, KEEP, sorted(set(task_ids)))


def measured_precision(verdicts: Sequence[VerdictRecord]) -> Precision:
    """How often the search for wrong labels was right, by all verdicts."""
    n_fixed = sum(item.status is SuspectStatus.FIXED for item in verdicts)
    return precision_of(n_fixed, len(verdicts) - n_fixed)


def _next_ones(undecided: Sequence[SuspectRecord], budget: int) -> list[SuspectRecord]:
    """Those that wait and may be shown now, the worst first."""
    n_open = sum(item.status is SuspectStatus.OPEN for item in undecided)
    waiting = sorted(
        (item for item in undecided if item.status is SuspectStatus.WAITING), key=lambda item: item.quality
    )
    chosen = waiting[: max(0, budget - n_open)]
    return [replace(item, status=SuspectStatus.OPEN, tagged=False) for item in chosen]


def _verdict(suspect: SuspectRecord, item: MirroredTask | None, asked: Mapping[str, Question]) -> SuspectStatus:
    """What people have said since of the annotations that gave the doubtful answer; `OPEN`: nothing.

    Fixed: all of them answer otherwise now, or are gone or skipped. Confirmed: one was saved again exactly as it was,
    or another annotator gives the same answer now. A save that changes the answer to another question says nothing of
    this one, nor does an annotator who disagrees.
    """
    if item is None or _is_renamed(suspect, item, asked.get(suspect.question)):
        return SuspectStatus.CLEARED
    question = asked.get(suspect.question)
    now = {entry.id: entry for entry in (item.labels if question is None else question.said_in(item))}
    given = frozenset(suspect.given)

    def answer(entry: Annotation) -> frozenset[str]:
        said = entry.answers.get(suspect.question, ())
        if question is not None and suspect.region:
            said = question.of_region(said, suspect.region)
        # What no label of today is, as it stands: it may have been one.
        return frozenset((question.read(said) if question else ()) or said)

    # The majority of several sets of labels may be a set that nobody gave: then it takes all of them to fix it.
    culprits = [entry for entry in suspect.seen if answer(entry) == given] or suspect.seen
    unchanged = [entry for entry in culprits if entry.id in now and answer(now[entry.id]) == answer(entry)]
    if not unchanged:
        return SuspectStatus.FIXED
    said_so = {entry.id for entry in suspect.seen if answer(entry) == given}
    seconded = any(entry.id not in said_so and answer(entry) == given for entry in now.values())
    saved_again = any(
        now[entry.id].updated_at > entry.updated_at and now[entry.id].answers == entry.answers for entry in unchanged
    )
    return SuspectStatus.CONFIRMED if seconded or saved_again else SuspectStatus.OPEN


def _is_renamed(suspect: SuspectRecord, item: MirroredTask, question: Question | None) -> bool:
    """Whether the answers to a question are named otherwise than when a suspect was found: by the label config, or
    because this release reads them otherwise, which nobody's save brought about."""
    was_known = not suspect.reason.startswith(GONE)
    if question is not None and suspect.given and was_known and not question.read(suspect.given):
        return True
    seen = {entry.id: entry for entry in suspect.seen}
    unsaved = [
        entry for entry in item.annotations if entry.id in seen and entry.updated_at == seen[entry.id].updated_at
    ]
    return any(entry.answers.get(suspect.question) != seen[entry.id].answers.get(suspect.question) for entry in unsaved)
