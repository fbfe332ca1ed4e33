"""Train: learn a new version from what people said, rank what is open, publish it. Each step is safe to run twice."""

import math
import re
from dataclasses import replace
from functools import partial

from scipy.sparse import csr_matrix

from backend.domain.corpus import Corpus
from backend.domain.features.vectors import Vectors, VectorSpace
from backend.domain.model.project import ProjectModel, joined
from backend.domain.model.training import Features, Known, TrainingSettings, train
from backend.domain.reports.version import RuleFault
from backend.errors import ModelMissing
from backend.ports import (
    Deps,
    Job,
    Progress,
    ProjectInfo,
    ProjectRecord,
    VersionContents,
    VersionRecord,
    VersionStatus,
)
from backend.workflows.config_notes import warn_of_unmatched
from backend.workflows.content import warn_of_content
from backend.workflows.embed import vectors_of
from backend.workflows.label_weights import weighed
from backend.workflows.labels import without_old_evidence
from backend.workflows.llm.contents import Contents
from backend.workflows.llm.view import llm_disabled_reason
from backend.workflows.marking import learned_spans, with_marking
from backend.workflows.measure.audit import remember_suggestions, what_the_audit_tells
from backend.workflows.measure.gains import what_labels_brought
from backend.workflows.measure.progress import progress_so_far
from backend.workflows.mirror import open_project
from backend.workflows.publish import publish
from backend.workflows.rank import ranked_predictions
from backend.workflows.reconcile import basis_of, has_news
from backend.workflows.trained import UNPUBLISHED, is_unchecked, trained_versions
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
    if not _asks_anything(deps, record, info):
        # A version of nothing would only hide the one before it.
        return
    hold = deps.database.hold(key)
    if hold is not None:
        if not (by_person and asked_at >= hold.since):
            return
        deps.database.save_hold(key, None)
    for version in deps.database.versions(key):
        if version.status in UNPUBLISHED:
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


def _corpus(deps: Deps, record: ProjectRecord, info: ProjectInfo) -> Corpus:
    config = deps.parse_label_config(info.label_config)
    return Corpus(record.key, config, deps.database.tasks(record.key)).fitted()


def _asks_anything(deps: Deps, record: ProjectRecord, info: ProjectInfo) -> bool:
    config = deps.parse_label_config(info.label_config)
    return bool(config.answered or (config.unlisted and _corpus(deps, record, info).questions))


def _follow(deps: Deps, key: str) -> None:
    deps.queue.request(Job.CHECK, key)
    # What is uncertain now is worth an LLM's vote; without an LLM that is no job.
    if not llm_disabled_reason(deps, key):
        deps.queue.request(Job.ASK, key)


def build(deps: Deps, record: ProjectRecord, info: ProjectInfo, progress: Progress) -> int:
    """Train on the mirror and write the version's folder; returns its number."""
    key = record.key
    unfinished = [item for item in deps.database.versions(key) if item.status is VersionStatus.TRAINING]
    # We hold the project's lock, so the worker that began this number is gone and left nothing outside.
    version = unfinished[0] if unfinished else deps.database.new_version(key, above=_highest(deps, record))
    corpus = _corpus(deps, record, info)
    config = corpus.config
    warn_of_unmatched(corpus)
    rules = tried_rules(deps)
    progress("collecting votes", 0, len(corpus.items))
    policy = deps.policy(key)
    contents = Contents(deps, key, config, corpus.data)
    frame, faults = cast_votes(deps, weighed(deps, corpus), contents, rules.of(policy.rules), corpus.history)
    features = deps.versions.features(key, corpus.data, corpus.compared, corpus.hashes)
    vectors = vectors_of(deps, key, contents, progress)
    known = Known(features=features, hashes=corpus.hashes, vectors=vectors, previous=_previous(deps, key))
    frame = without_old_evidence(deps, corpus, frame, partial(_inputs, features, vectors, version.number))
    progress("training", 0, 1)
    settings = TrainingSettings(policy.label_smoothing, policy.choice_s)
    trained = train(frame, corpus.data, known, settings, seed=version.number)
    # From here on gold is all that people said: what was left out of training is labeled all the same.
    trained = replace(trained, frame=replace(trained.frame, gold=corpus.gold))
    marking, faults_of_spans = learned_spans(deps, corpus, contents, rules.of(policy.rules), seed=version.number)
    faults.merge(faults_of_spans)
    trained = with_marking(trained, marking)
    warn_of_content(key, trained.metrics)
    remember_suggestions(deps, corpus)
    taught, history = what_labels_brought(deps, corpus, trained.frame)
    audit = what_the_audit_tells(deps, corpus, trained.frame)
    progressed = progress_so_far(deps, corpus, trained.frame)
    progress("choosing what to label next", 0, 1)
    built = VersionContents(
        trained=trained,
        task_ids=corpus.ids,
        predictions=ranked_predictions(corpus, policy, trained, marking, number=version.number, history=history),
        metrics=replace(
            trained.metrics,
            rule_faults={name: RuleFault(count, faults.reasons[name]) for name, count in faults.counts.items()},
            rules_set_aside=rules.set_aside,
            taught=taught,
            audit=audit,
            progress=progressed,
        ),
    )
    deps.versions.write(key, version.number, built)
    _save_built(deps, version, corpus)
    return version.number


def _inputs(features: Features, vectors: Vectors | None, seed: int) -> csr_matrix:
    """What is known of each task as features (n_tasks, d), embeddings included."""
    return joined(features.matrix, VectorSpace.fit(vectors, seed=seed), vectors)


def _save_built(deps: Deps, version: VersionRecord, corpus: Corpus) -> None:
    """Remember that a version's folder is complete, and what it was trained on."""
    deps.database.save_version(
        replace(
            version,
            status=VersionStatus.BUILT,
            created_at=deps.now(),
            seen_until=corpus.seen_until,
            n_labels=corpus.n_labels,
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
