"""Learn: train a version, push its suggestions, switch the project to it. Every step is safe to run twice."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.domain.audit.draw import is_audit, turn
from backend.domain.label_errors.action import WEIGHTS
from backend.domain.model.gold import gold_of
from backend.domain.model.project import ProjectModel
from backend.domain.model.training import Trained, train
from backend.domain.next_tasks import evidence_of
from backend.domain.priorities.audit_turns import choose_with_audit
from backend.domain.priorities.bandit import Round
from backend.domain.questions import Question, decisions
from backend.domain.suggestions import answers_of, suggest
from backend.domain.tasks import Annotation, Answer
from backend.domain.visibility import hidden_rows
from backend.domain.votes import Faults, VoteMatrix
from backend.errors import ModelMissing
from backend.ports import (
    Built,
    Deps,
    Job,
    LabelConfig,
    LoadedRules,
    MirroredTask,
    Policy,
    Prediction,
    Progress,
    ProjectInfo,
    ProjectRecord,
    Tab,
    VersionRecord,
    VersionStatus,
    version_name,
)
from backend.workflows.check.tags import ensure_check_tab
from backend.workflows.check.verdicts import UNDECIDED
from backend.workflows.config_notes import warn_of_unmatched
from backend.workflows.content import warn_of_content
from backend.workflows.embed import vectors_of
from backend.workflows.llm.view import why_idle
from backend.workflows.measure.audit import remember_suggestions, what_the_audit_tells
from backend.workflows.measure.progress import progress_so_far
from backend.workflows.measure.taught import what_taught
from backend.workflows.mirror import open_project
from backend.workflows.opinions import opinions_on
from backend.workflows.push import Push
from backend.workflows.reconcile import basis_of, has_news, trained_versions
from backend.workflows.suggest import history_of
from backend.workflows.try_rules import tried_rules
from backend.workflows.votes import cast_votes

NEXT_TAB = "Prelabel: next"


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
    weights = _weights(deps, key, items, config.questions, gold)
    features = deps.versions.features(key, data)
    vectors = vectors_of(deps, key, config, data, progress)
    progress("training", 0, 1)
    trained = train(
        config.questions,
        data,
        votes,
        _taught(config.questions, gold, weights),
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
        predictions=_predictions(
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


def publish(deps: Deps, record: ProjectRecord, info: ProjectInfo, number: int, progress: Progress) -> None:
    """Push a version's suggestions, most useful task first, and make the project show them.

    The most useful tasks go one by one, then the project is switched, then all the rest in one request; what Label
    Studio has already is not sent again. Last, versions before the previous one are removed.
    """
    name, known = version_name(number), deps.database.versions(record.key)
    # Not the pointer: a worker that was killed on the way had moved it already.
    before = {item.name for item in known if item.status is VersionStatus.LIVE}
    stored = deps.label_studio.versions(record.project_id)
    present = set[int]()
    if name in stored:
        # Somebody was killed or refused on the way. In a large project this takes minutes.
        progress("looking up which tasks have a suggestion", 0, 1)
        present = deps.label_studio.predicted_tasks(record.project_id, name)
    missing = {item.task.id for item in deps.database.tasks(record.key) if item.task.is_open} - present
    wanted = [item for item in deps.versions.predictions(record.key, number) if item.task_id in missing]
    push = Push(deps, record, info, number, deps.parse_label_config(info.label_config).questions, stored=present)
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


def _previous(deps: Deps, key: str) -> ProjectModel | None:
    """The model in use; None when there is none, or none that can be read: training doesn't depend on it."""
    number = deps.versions.current(key)
    try:
        return deps.versions.model(key, number) if number else None
    except ModelMissing:
        return None


def _weights(
    deps: Deps,
    key: str,
    items: Sequence[MirroredTask],
    questions: Sequence[Question],
    gold: Mapping[str, NDArray[np.int64]],
) -> dict[str, NDArray[np.float64]]:
    """How much each task's human answer counts, by question: less while it is suspect and nobody has ruled.

    See `Action` for how much less. An answer that others of the task have outvoted teaches nothing anyway: what the
    others say counts in full.
    """
    weight = WEIGHTS[deps.policy(key).check_action]
    rows = {item.task.id: row for row, item in enumerate(items)}
    by_name = {question.name: question for question in questions}
    weights: dict[str, NDArray[np.float64]] = {}
    for suspect in deps.database.suspects(key):
        question, row = by_name.get(suspect.question), rows.get(suspect.task_id)
        if suspect.status not in UNDECIDED or question is None or row is None:
            continue
        if len(items[row].annotations) > 1 and not _teaches(question, suspect.given, gold, row):
            continue
        weights.setdefault(suspect.question, np.ones(len(items)))[row] = weight
    return weights


def _teaches(question: Question, given: Answer, gold: Mapping[str, NDArray[np.int64]], row: int) -> bool:
    """Whether a task's gold is a given answer."""
    chosen = set(question.places(given))
    if question.multiple:
        taught = {place for place, item in enumerate(decisions(question)) if gold[item.key][row] == 1}
    else:
        taught = {int(gold[decisions(question)[0].key][row])}
    return chosen == taught


def _taught(
    questions: Sequence[Question], gold: Mapping[str, NDArray[np.int64]], weights: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.int64]]:
    """Gold without answers that don't count at all: label models and figures, too, are made without them."""
    return {
        decision.key: np.where(weights[question.name] > 0, gold[decision.key], -1)
        if question.name in weights
        else gold[decision.key]
        for question in questions
        for decision in decisions(question)
    }


def _highest(deps: Deps, record: ProjectRecord) -> int:
    """The highest number among Label Studio's `v<number>`.

    One that isn't in our records is another backend's, or of a database we lost: its name must not be ours too.
    """
    names = (re.fullmatch(r"v([0-9]{1,9})", name) for name in deps.label_studio.versions(record.project_id))
    return max((int(match[1]) for match in names if match), default=0)


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


def _predictions(
    key: str,
    policy: Policy,
    trained: Trained,
    items: Sequence[MirroredTask],
    posteriors: Mapping[str, NDArray[np.float64]],
    votes: Mapping[str, VoteMatrix],
    gold: Mapping[str, NDArray[np.int64]],
    number: int,
    history: Sequence[Round],
    config: LabelConfig,
) -> list[Prediction]:
    """Suggestions for the open tasks, most useful first; the first `top_tasks` have a strategy and a reason.

    Their scores make Label Studio's ascending order ours; behind them the score is the calibrated confidence. The
    suggestions of audit tasks are withheld.
    """
    questions = trained.model.questions
    is_open = np.array([item.task.is_open for item in items], dtype=np.bool_)
    rows = np.flatnonzero(is_open)
    if not rows.size or not questions:
        return []
    of_open = {name: posterior[rows] for name, posterior in posteriors.items()}
    open_votes = {name: matrix.rows(rows) for name, matrix in votes.items()}
    suggestions = dict(zip(rows.tolist(), suggest(questions, of_open, open_votes), strict=True))
    confidence: NDArray[np.float64] = np.zeros(len(items))
    confidence[rows] = [suggestions[row].score for row in rows.tolist()]
    # Labeled by several people, a task is an audit task for the last of them too.
    audit = [row for row in rows.tolist() if is_audit(key, items[row].task.id, policy.audit_share)]
    audit.sort(key=lambda row: turn(key, items[row].task.id))
    askable = is_open.copy()
    askable[audit] = False
    hidden = hidden_rows(questions, {question.name: answers_of(question, posteriors) for question in questions})
    opinions = opinions_on(config, items, trained, hidden)
    evidence = evidence_of(trained.model, posteriors, votes, gold, askable, trained.features, opinions, hidden=hidden)
    if opinions is not None:
        confidence = opinions.as_sure(confidence, evidence.open_rows)
    queue = choose_with_audit(
        evidence,
        confidence,
        np.array(audit, dtype=np.int64),
        share=policy.audit_share,
        strategy=policy.query_strategy,
        n=policy.top_tasks,
        seed=number,
        history=history,
    )
    served = list(zip(queue.chosen_by, queue.reasons, strict=True))
    behind = [("", "")] * (len(queue.order) - len(served))
    places = zip(queue.order.tolist(), queue.scores.tolist(), [*served, *behind], strict=True)
    return [
        Prediction(items[row].task.id, suggestions[row], score, *about, withheld=not askable[row])
        for row, score, about in places
    ]


def _set_live(deps: Deps, key: str, number: int, note: str) -> None:
    for version in deps.database.versions(key):
        if version.number == number:
            deps.database.save_version(replace(version, status=VersionStatus.LIVE, note=note))
        elif version.status in {VersionStatus.LIVE, VersionStatus.BUILT}:
            deps.database.save_version(replace(version, status=VersionStatus.RETIRED))


def _about_rules(rules: LoadedRules, faults: Faults) -> dict[str, Any]:
    return {
        "rule_faults": {name: {"count": count, "first": faults.reasons[name]} for name, count in faults.counts.items()},
        "rules_set_aside": dict(rules.set_aside),
    }
