"""Reconcile: what does Label Studio hold, what do we hold? Brings the mirror up to date and asks for what follows.

Webhooks only say that something may have changed; this is where it is read. It runs after each of them, and on a
schedule because they get lost.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from backend.domain.priorities import rank
from backend.domain.suggestions import suggest
from backend.domain.votes import apply_rules
from backend.errors import LabelStudioError, ModelMissing
from backend.ports import (
    Deps,
    Job,
    MirroredTask,
    Prediction,
    Progress,
    ProjectInfo,
    ProjectRecord,
    VersionRecord,
    VersionStatus,
    version_name,
)
from backend.workflows.check import settle
from backend.workflows.suggest import history_of, posteriors_of

OVERLAP_S = 5
"""Read again what changed so shortly before the newest change we saw: Label Studio's writes may end out of order."""
FULL_SYNC_EACH_S = 6 * 3600
"""Changes that no `updated_at` shows (another overlap setting, an edited database) are found by a full sync."""
ONE_BY_ONE_MAX = 100
"""In a large project, so many single predictions are faster than one bulk request, which recounts the project."""
TRAINED = {VersionStatus.BUILT, VersionStatus.LIVE, VersionStatus.RETIRED}


def reconcile(deps: Deps, key: str, progress: Progress) -> None:
    """Sync a project's mirror, settle suspects, suggest for new tasks, and ask for training when it is due.

    Raises:
        LabelStudioError: Label Studio refused or did not answer.
    """
    record = known_project(deps, key)
    info = existing_project(deps, record)
    if info is None:
        return
    record, changed = sync(deps, record, info, progress)
    settle(deps, record)
    suggest_new_tasks(deps, record, info, progress)
    ask_for_training(deps, record, something_changed=changed)


def known_project(deps: Deps, key: str) -> ProjectRecord:
    """What we remember of a project; a new record when it is seen for the first time."""
    found = deps.database.project(key)
    if found is not None:
        return found
    record = ProjectRecord(key, project_id=int(key.split(".", 1)[0]))
    deps.database.save_project(record)
    return record


def existing_project(deps: Deps, record: ProjectRecord) -> ProjectInfo | None:
    """The project as it is now; None, and it is forgotten, when it was deleted or never had this uid.

    Ids are used again by a Label Studio that starts anew, and anyone may send a uid: only a whole uid names a project.
    """
    try:
        info = deps.label_studio.project(record.project_id)
    except LabelStudioError as error:
        if error.status != 404:
            raise
        info = None
    if info is None or not record.key.startswith(f"{info.uid}-"):
        deps.database.forget_project(record.key)
        return None
    return info


def sync(deps: Deps, record: ProjectRecord, info: ProjectInfo, progress: Progress) -> tuple[ProjectRecord, bool]:
    """Bring the mirror up to date; returns the new record and whether anything changed.

    All tasks the first time and every few hours, else those that changed since the newest change we saw. Deleted tasks
    leave no trace, so ids are compared when the numbers of tasks differ.
    """
    full = record.cursor is None or deps.now() - record.full_sync_at > FULL_SYNC_EACH_S
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
    elif deps.database.count_tasks(record.key) != info.n_tasks:
        changed += deps.database.keep_tasks(record.key, deps.label_studio.task_ids(record.project_id))
    new = replace(
        record,
        title=info.title,
        label_config=info.label_config,
        cursor=newest or None,
        full_sync_at=deps.now() if full else record.full_sync_at,
    )
    deps.database.save_project(new)
    return new, changed > 0 or new.label_config != record.label_config


def suggest_new_tasks(deps: Deps, record: ProjectRecord, info: ProjectInfo, progress: Progress) -> None:
    """Give open tasks that came after the current version its suggestion, without waiting for the next one."""
    number = deps.versions.current(record.key)
    live = {item.number for item in deps.database.versions(record.key) if item.status is VersionStatus.LIVE}
    if number not in live:
        return
    missing = deps.database.not_suggested(record.key, number)
    if not missing:
        return
    known = deps.database.tasks(record.key)
    places = [place for place, item in enumerate(known) if item.task.id in missing]
    items = [known[place] for place in places]
    questions = deps.parse_label_config(info.label_config).questions
    data = [item.task.data for item in items]
    votes, _ = apply_rules(deps.rules.load().rules, data, questions, history_of(known, places))
    posteriors = posteriors_of(deps.versions.model(record.key, number), questions, data, votes)
    suggestions = suggest(questions, posteriors, votes)
    uncertainty = rank(questions, posteriors, strategy=deps.policy.query_strategy, seed=number).uncertainty
    predictions = [
        Prediction(item.task.id, suggestion, score=1.0 - float(unsure))
        for item, suggestion, unsure in zip(items, suggestions, uncertainty, strict=True)
    ]
    predictions = deps.label_studio.acceptable(info.label_config, predictions, questions)
    name = version_name(number)
    if len(predictions) <= ONE_BY_ONE_MAX:
        for done, prediction in enumerate(predictions):
            progress("suggesting for new tasks", done, len(predictions))
            deps.label_studio.push_one(name, prediction, questions)
            deps.database.mark_suggested(record.key, [prediction.task_id], number)
    else:
        progress("suggesting for new tasks", 0, len(predictions))
        # A worker killed after this request, but before it could remember it, would otherwise send all of them twice.
        present = deps.label_studio.predicted_tasks(record.project_id, name)
        unsent = [item for item in predictions if item.task_id not in present]
        deps.label_studio.push_all(record.project_id, name, unsent, questions)
        deps.database.mark_suggested(record.key, [item.task_id for item in predictions], number)
    if predictions:
        show_version(deps, info, name)


def show_version(deps: Deps, info: ProjectInfo, name: str) -> None:
    """Make the project show a version's predictions. Nothing is sent when it does: each change comes back as event."""
    if info.model_version != name or not info.shows_predictions:
        deps.label_studio.update_project(info.id, {"model_version": name, "show_collab_predictions": True})


def ask_for_training(deps: Deps, record: ProjectRecord, *, something_changed: bool) -> None:
    """Ask for training now when the questions changed or enough labels are new, later when some are, else not."""
    trained = _trained(deps, record)
    unfinished = any(item.status is VersionStatus.BUILT for item in trained)
    if not trained or unfinished or _questions_changed(deps, record, trained[-1]):
        deps.queue.request(Job.TRAIN, record.key)
        return
    new = new_labels(deps.database.tasks(record.key), trained[-1])
    if new >= deps.policy.train_each_n_updates:
        deps.queue.request(Job.TRAIN, record.key)
    elif new:
        deps.queue.request(Job.TRAIN, record.key, delay_s=deps.policy.training_quiet_s, postpone=something_changed)


def has_news(deps: Deps, record: ProjectRecord) -> bool:
    """Whether training now would learn anything that the newest version doesn't know."""
    trained = _trained(deps, record)
    if not trained or _questions_changed(deps, record, trained[-1]):
        return True
    return new_labels(deps.database.tasks(record.key), trained[-1]) > 0


def new_labels(tasks: Sequence[MirroredTask], version: VersionRecord) -> int:
    """Annotations that are new, changed or gone since a version was trained. Skipped and empty ones don't count."""
    teaching = [entry for item in tasks for entry in item.annotations if entry.teaches]
    newer = sum(entry.updated_at > version.seen_until for entry in teaching)
    return newer + max(0, version.n_labels - (len(teaching) - newer))


def _trained(deps: Deps, record: ProjectRecord) -> list[VersionRecord]:
    return [item for item in deps.database.versions(record.key) if item.status in TRAINED]


def _questions_changed(deps: Deps, record: ProjectRecord, version: VersionRecord) -> bool:
    try:
        trained_on = deps.versions.model(record.key, version.number).questions
    except ModelMissing:
        # Its folder is gone: only a new training brings a model back.
        return True
    return trained_on != deps.parse_label_config(record.label_config).questions


def _minus_overlap(cursor: str) -> str:
    moment = datetime.fromisoformat(cursor) - timedelta(seconds=OVERLAP_S)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
