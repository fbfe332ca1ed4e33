"""Reconcile: what does Label Studio hold, what do we hold? Brings the mirror up to date and asks for what follows.

Webhooks only say that something may have changed; this is where it is read. It runs after each of them, and on a
schedule because they get lost.
"""

import hashlib
from dataclasses import replace
from functools import partial

import numpy as np

from backend.domain.audit.draw import is_audit, turn
from backend.domain.frame import frame_of
from backend.domain.label_config import LabelConfig
from backend.domain.priorities.audit_turns import scores_of_new
from backend.domain.suggestions import Suggestion, suggest
from backend.errors import ModelMissing
from backend.ports import (
    Deps,
    Job,
    Prediction,
    Progress,
    ProjectInfo,
    ProjectRecord,
    VersionRecord,
    VersionStatus,
    version_name,
)
from backend.workflows.asked import can_learn, config_of
from backend.workflows.check.verdicts import settle
from backend.workflows.embed import vectors_of
from backend.workflows.llm.contents import Contents
from backend.workflows.llm.view import llm_disabled_reason
from backend.workflows.marking import marked_too
from backend.workflows.mirror import open_project
from backend.workflows.push import Push
from backend.workflows.suggest import answered, history_of
from backend.workflows.trained import UNPUBLISHED, new_labels, trained_versions
from backend.workflows.try_rules import rules_signature, tried_rules
from backend.workflows.votes import cast_votes, voters

ONE_BY_ONE_MAX = 100
"""In a large project, so many single predictions are faster than one bulk request, which recounts the project."""


def reconcile(deps: Deps, key: str, progress: Progress) -> None:
    """Sync a project's mirror, settle suspects, suggest for new tasks, and ask for training when it is due.

    Raises:
        LabelStudioError: Label Studio refused or did not answer.
    """
    opened = open_project(deps, key, progress)
    if opened is None:
        return
    settle(deps, opened.record)
    tried_rules(deps)
    suggest_new_tasks(deps, opened.record, opened.info, progress)
    ask_for_training(deps, opened.record, something_changed=opened.changed)
    if opened.changed and not llm_disabled_reason(deps, key):
        # New tasks may be in the sample, new labels may let a source pass the gate.
        deps.queue.request(Job.ASK, key)


def suggest_new_tasks(deps: Deps, record: ProjectRecord, info: ProjectInfo, progress: Progress) -> None:
    """Give open tasks without a suggestion of the current version one, without waiting for the next version.

    They came after it was published, or Label Studio dropped theirs. What it refuses again is not tried once more.
    """
    number = deps.versions.current(record.key)
    live = [item for item in deps.database.versions(record.key) if item.status is VersionStatus.LIVE]
    config = config_of(deps, record.key, info.label_config, number)
    if not config.answered or number not in {item.number for item in live}:
        return
    missing = deps.database.not_suggested(record.key, number)
    if not missing:
        return
    # What a killed worker sent, or what was answered with an error although it was stored, is not sent twice.
    present = deps.label_studio.predicted_tasks(record.project_id, version_name(number), missing)
    push = Push(deps, record, info, number, config.answered, stored=present)
    unsent = missing - present
    predictions = push.fitting(_suggestions_for(deps, record, unsent, number, config, progress)) if unsent else []
    step = "suggesting for new tasks"
    if len(predictions) > ONE_BY_ONE_MAX:
        progress(step, 0, len(predictions))
        push.together(predictions, partial(progress, step))
    else:
        push.singly(predictions, partial(progress, step))
    # Also what was dropped again: the next version brings it a new chance.
    deps.database.mark_suggested(record.key, missing, number)
    push.show()
    for version in live:
        if push.note and version.number == number:
            deps.database.save_version(replace(version, note=push.note))


def _suggestions_for(
    deps: Deps, record: ProjectRecord, task_ids: set[int], number: int, config: LabelConfig, progress: Progress
) -> list[Prediction]:
    policy = deps.policy(record.key)
    rules = deps.rules.load().of(policy.rules)
    needs_history = any(rule.needs_history for rule in rules)
    known = deps.database.tasks(record.key, None if needs_history else task_ids)
    places = [place for place, item in enumerate(known) if item.task.id in task_ids]
    items = [known[place] for place in places]
    data = [item.task.data for item in items]
    contents = Contents(deps, record.key, config, data)
    frame, _ = cast_votes(deps, frame_of(config.questions, data), contents, rules, history_of(known, places))
    vectors = vectors_of(deps, record.key, contents, progress)
    model = deps.versions.model(record.key, number)
    suggestions = suggest(answered(model, data, frame, vectors)) if config.questions else [Suggestion() for _ in data]
    suggestions, _ = marked_too(suggestions, model, deps, contents, rules)
    # A new task stands behind the served ones by its confidence, until the next version ranks it with the others.
    key, share = record.key, policy.audit_share
    audit = [row for row, item in enumerate(items) if is_audit(key, item.task.id, share)]
    audit.sort(key=lambda row: turn(key, items[row].task.id))
    withheld = set(audit)
    confidence = np.array([item.score for item in suggestions])
    scores = scores_of_new(confidence, np.array(audit, dtype=np.int64), share=share, seed=number).tolist()
    return [
        Prediction(item.task.id, suggestion, score, withheld=row in withheld)
        for row, (item, suggestion, score) in enumerate(zip(items, suggestions, scores, strict=True))
    ]


def ask_for_training(deps: Deps, record: ProjectRecord, *, something_changed: bool) -> None:
    """Ask for training now when questions or sources changed or enough labels are new, later when some are.

    Where nothing can be suggested, nothing is trained; a project that a person holds at a version is left alone.
    """
    if deps.database.hold(record.key) is not None or not can_learn(deps, record.label_config):
        return
    trained = trained_versions(deps, record)
    unfinished = any(item.status in UNPUBLISHED for item in trained)
    if not trained or unfinished or _has_other_basis(deps, record, trained[-1]):
        deps.queue.request(Job.TRAIN, record.key)
        return
    new = new_labels(deps, trained[-1])
    policy = deps.policy(record.key)
    if new >= policy.start_training_each_n_updates:
        deps.queue.request(Job.TRAIN, record.key)
    elif new:
        deps.queue.request(Job.TRAIN, record.key, delay_s=policy.training_quiet_s, postpone=something_changed)


def has_news(deps: Deps, record: ProjectRecord) -> bool:
    """Whether training now would learn anything that the newest version doesn't know."""
    trained = trained_versions(deps, record)
    if not trained or _has_other_basis(deps, record, trained[-1]):
        return True
    return new_labels(deps, trained[-1]) > 0


def basis_of(deps: Deps, key: str) -> str:
    """Changes with what votes in a project and what is learned from: rules, LLM sources that count, renamed labels,
    embedding model."""
    basis = f"{rules_signature(deps, key)}\n{voters(deps, key)}"
    renames = deps.database.renamed_labels(key)
    if renames:
        basis += f"\n{sorted(renames.items())}"
    if deps.embeddings is not None:
        basis += f"\n{deps.embeddings.embedder.name}"
    return hashlib.sha256(basis.encode()).hexdigest()[:16]


def _has_other_basis(deps: Deps, record: ProjectRecord, version: VersionRecord) -> bool:
    """Whether questions or sources are others than those a version was trained on."""
    if basis_of(deps, record.key) != version.rules:
        return True
    try:
        trained_on = deps.versions.model(record.key, version.number).answered
    except ModelMissing:
        # Its folder is gone: only a new training brings a model back.
        return True
    return trained_on != config_of(deps, record.key, record.label_config, version.number).answered
