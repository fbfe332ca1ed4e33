"""Train: learn a new version from what people said, rank what is open, publish it. Each step is safe to run twice."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from backend.domain.model.gold import gold_of
from backend.domain.model.project import ProjectModel
from backend.domain.model.training import train
from backend.domain.tasks import Annotation
from backend.domain.votes import Faults
from backend.errors import ModelMissing
from backend.ports import (
    Built,
    Deps,
    Job,
    LoadedRules,
    Progress,
    ProjectInfo,
    ProjectRecord,
    VersionRecord,
    VersionStatus,
)
from backend.workflows.config_notes import warn_of_unmatched
from backend.workflows.content import warn_of_content
from backend.workflows.embed import vectors_of
from backend.workflows.label_weights import weights_of, without_suspects
from backend.workflows.llm.view import why_idle
from backend.workflows.measure.audit import remember_suggestions, what_the_audit_tells
from backend.workflows.measure.progress import progress_so_far
from backend.workflows.measure.taught import what_taught
from backend.workflows.mirror import open_project
from backend.workflows.publish import publish
from backend.workflows.rank import ranked_predictions
from backend.workflows.reconcile import basis_of, has_news, trained_versions
from backend.workflows.suggest import history_of
from backend.workflows.try_rules import tried_rules
from backend.workflows.votes import cast_votes


def learn(
    deps: Deps,
    key: str,
    progress: Progress,
    *,
    force: bool = False,
    by_person: bool = False,
    asked_at: float = math.inf,
) -> None:
    """Sync, train a new version, publish it.

    A version that was built but not completely published (its worker was killed) is published first. A new one is then
    trained only if there is something new to learn, or with `force`. What was built since `asked_at` is what was asked
    for: a job that failed later, and is tried again, trains once. While a person holds the project at a version,
    nothing is trained, unless a person asked for it since (`by_person`), which lets go.

    Raises:
        LabelStudioError: Label Studio refused or did not answer.
    """
    opened = open_project(deps, key, progress)
    if opened is None:
        return
    record, info = opened.record, opened.info
    if not deps.parse_label_config(info.label_config).questions:
        # A version of nothing would only hide the one before it.
        return
    hold = deps.database.hold(key)
    if hold is not None:
        if not (by_person and asked_at >= hold.since):
            return
        deps.database.save_hold(key, None)
    for version in deps.database.versions(key):
        if version.status is VersionStatus.BUILT:
            publish(deps, record, info, version.number, progress)
            _follow(deps, key)
    force = force and not any(item.created_at >= asked_at for item in trained_versions(deps, record))
    if not force and not has_news(deps, record):
        if is_unchecked(deps, record):
            # Its worker was killed after it had published, and before it asked for what follows.
            _follow(deps, key)
        return
    number = build(deps, record, info, progress)
    publish(deps, record, info, number, progress)
    _follow(deps, key)


def _follow(deps: Deps, key: str) -> None:
    deps.queue.request(Job.CHECK, key)
    # What is uncertain now is worth an LLM's vote; without an LLM that is no job.
    if not why_idle(deps, key):
        deps.queue.request(Job.ASK, key)


def is_unchecked(deps: Deps, record: ProjectRecord) -> bool:
    """Whether labels were not looked at since the newest version was trained."""
    trained = trained_versions(deps, record)
    return bool(trained) and record.checked_at < trained[-1].created_at


def build(deps: Deps, record: ProjectRecord, info: ProjectInfo, progress: Progress) -> int:
    """Train on the mirror and write the version's folder; returns its number."""
    key = record.key
    unfinished = [item for item in deps.database.versions(key) if item.status is VersionStatus.TRAINING]
    # We hold the project's lock, so the worker that began this number is gone and left nothing outside.
    version = unfinished[0] if unfinished else deps.database.new_version(key, above=_highest(deps, record))
    config = deps.parse_label_config(info.label_config)
    items = deps.database.tasks(key)
    warn_of_unmatched(key, config, items)
    rules = tried_rules(deps)
    data = [item.task.data for item in items]
    progress("collecting votes", 0, len(items))
    policy = deps.policy(key)
    history = history_of(items, range(len(items)))
    votes, faults = cast_votes(deps, key, config, rules.of(policy.rules_folder), data, history)
    answers = [[entry.answers for entry in item.annotations if entry.teaches] for item in items]
    gold = gold_of(config.questions, answers)
    weights = weights_of(deps, key, items, config.questions, gold)
    features = deps.versions.features(key, data)
    vectors = vectors_of(deps, key, config, data, progress)
    progress("training", 0, 1)
    trained = train(
        config.questions,
        data,
        votes,
        without_suspects(config.questions, gold, weights),
        seed=version.number,
        previous=_previous(deps, key),
        features=features,
        vectors=vectors,
        weights=weights,
        smoothing=policy.label_smoothing,
        choice_s=policy.choice_s,
    )
    warn_of_content(key, trained.metrics)
    posteriors = trained.model.posteriors_of(trained.features, votes)
    teaching = [entry for item in items for entry in item.annotations if entry.teaches]
    remember_suggestions(deps, key, items)
    taught, history_so_far = what_taught(deps, key, items, gold, trained.out_of_fold)
    measured = what_the_audit_tells(deps, key, items, trained, votes, gold) | progress_so_far(
        deps, key, items, config.questions, gold, trained.out_of_fold, len(teaching)
    )
    progress("choosing what to label next", 0, 1)
    built = Built(
        trained=trained,
        task_ids=np.array([item.task.id for item in items], dtype=np.int64),
        votes=votes,
        held_out=trained.out_of_fold,
        predictions=ranked_predictions(
            key,
            policy,
            trained,
            items,
            posteriors,
            votes,
            gold,
            version.number,
            history_so_far,
            config,
        ),
        metrics=trained.metrics | _about_rules(rules, faults) | taught | measured,
    )
    deps.versions.write(key, version.number, built)
    _save_built(deps, version, teaching)
    return version.number


def _save_built(deps: Deps, version: VersionRecord, teaching: Sequence[Annotation]) -> None:
    """Remember that a version's folder is complete, and what it was trained on."""
    deps.database.save_version(
        replace(
            version,
            status=VersionStatus.BUILT,
            created_at=deps.now(),
            seen_until=max((entry.updated_at for entry in teaching), default=""),
            n_labels=len(teaching),
            rules=basis_of(deps, version.key),
        )
    )


def _previous(deps: Deps, key: str) -> ProjectModel | None:
    """The model in use; None when there is none, or none that can be read: training doesn't depend on it."""
    number = deps.versions.current(key)
    try:
        return deps.versions.model(key, number) if number else None
    except ModelMissing:
        return None


def _highest(deps: Deps, record: ProjectRecord) -> int:
    """The highest number among Label Studio's `v<number>`.

    One that isn't in our records is another backend's, or of a database we lost: its name must not be ours too.
    """
    names = (re.fullmatch(r"v([0-9]{1,9})", name) for name in deps.label_studio.versions(record.project_id))
    return max((int(match[1]) for match in names if match), default=0)


def _about_rules(rules: LoadedRules, faults: Faults) -> dict[str, Any]:
    return {
        "rule_faults": {name: {"count": count, "first": faults.reasons[name]} for name, count in faults.counts.items()},
        "rules_set_aside": dict(rules.set_aside),
    }
