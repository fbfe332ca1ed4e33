"""Gains: what the tasks that each strategy chose have brought, from version to version."""

from collections import Counter

import numpy as np

from backend.domain.audit.draw import AUDIT_SHARE, is_audit
from backend.domain.corpus import Corpus
from backend.domain.frame import Frame
from backend.domain.priorities.bandit import reward
from backend.domain.questions import decisions
from backend.domain.reports.version import Round
from backend.errors import ModelMissing
from backend.ports import Deps, VersionRecord
from backend.workflows.measure.before import held_out_before
from backend.workflows.trained import TRAINED

REMEMBERED = 50
"""Versions whose rounds count: what taught a year ago may teach nothing now."""


def what_labels_brought(deps: Deps, corpus: Corpus, frame: Frame) -> tuple[Round | None, list[Round]]:
    """What the labels since the current version brought (None: too little to tell); and the history of the project,
    that included.

    Args:
        deps: to read the versions.
        corpus: all tasks.
        frame: of the new model, with held-out posteriors and gold.
    """
    key = corpus.key
    versions = [item for item in deps.database.versions(key) if item.status in TRAINED]
    current = deps.versions.current(key)
    before = next((item for item in versions if item.number == current), None)
    measured = None if before is None else _measured(deps, before, corpus, frame)
    history = []
    for version in versions[-REMEMBERED:]:
        try:
            history.append(deps.versions.metrics(key, version.number).taught)
        except ModelMissing:
            continue
    history.append(measured)
    return measured, [item for item in history if item is not None]


def _measured(deps: Deps, before: VersionRecord, corpus: Corpus, frame: Frame) -> Round | None:
    key = corpus.key
    try:
        chosen_by = {item.task_id: item.chosen_by for item in deps.versions.predictions(key, before.number)}
        old = held_out_before(deps, before, corpus)
    except ModelMissing:
        return None
    new = [item.task.id for item in corpus.items if any(entry.updated_at > before.seen_until for entry in item.labels)]
    chosen = Counter(name for task_id in new if (name := chosen_by.get(task_id, "")))
    if not chosen:
        return None
    # Without audit tasks, the slice that would be them is the best there is to measure on.
    share = deps.policy(key).audit_share or AUDIT_SHARE
    audit = np.array([is_audit(key, task_id, share) for task_id in corpus.ids.tolist()], dtype=np.bool_)
    then, now, gold = {}, {}, {}
    for question in frame.questions:
        places = old.places[question.name]
        rows = np.flatnonzero(frame.units[question.name].spread(audit) & (places >= 0))
        for name in (decision.key for decision in decisions(question) if decision.key in old.posteriors):
            then[name], now[name] = old.posteriors[name][places[rows]], frame.held_out[name][rows]
            gold[name] = frame.gold[name][rows]
    gained = reward(then, now, gold, len(new))
    if gained is None:
        return None
    shares = {name: count / chosen.total() for name, count in chosen.items()}
    return Round(shares, gained, before.n_labels)
