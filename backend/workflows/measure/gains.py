"""Gains: what the tasks that each strategy chose have brought, from version to version."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from backend.domain.audit.draw import AUDIT_SHARE, is_audit
from backend.domain.corpus import Corpus
from backend.domain.priorities.bandit import reward
from backend.domain.reports.version import Round
from backend.errors import ModelMissing
from backend.ports import Deps, VersionRecord
from backend.workflows.trained import TRAINED

REMEMBERED = 50
"""Versions whose rounds count: what taught a year ago may teach nothing now."""


def what_labels_brought(
    deps: Deps, corpus: Corpus, held_out: Mapping[str, NDArray[np.float64]]
) -> tuple[Round | None, list[Round]]:
    """What the labels since the current version brought (None: too little to tell); and the history of the project,
    that included.

    Args:
        deps: to read the versions.
        corpus: all tasks.
        held_out: the new model's posteriors without the rows' own labels, same rows.
    """
    key = corpus.key
    versions = [item for item in deps.database.versions(key) if item.status in TRAINED]
    current = deps.versions.current(key)
    before = next((item for item in versions if item.number == current), None)
    measured = None if before is None else _measured(deps, before, corpus, held_out)
    history = []
    for version in versions[-REMEMBERED:]:
        try:
            history.append(deps.versions.metrics(key, version.number).taught)
        except ModelMissing:
            continue
    history.append(measured)
    return measured, [item for item in history if item is not None]


def _measured(
    deps: Deps,
    before: VersionRecord,
    corpus: Corpus,
    held_out: Mapping[str, NDArray[np.float64]],
) -> Round | None:
    key = corpus.key
    try:
        chosen_by = {item.task_id: item.chosen_by for item in deps.versions.predictions(key, before.number)}
        ids, old = deps.versions.held_out(key, before.number)
    except ModelMissing:
        return None
    new = [item.task.id for item in corpus.items if any(entry.updated_at > before.seen_until for entry in item.labels)]
    chosen = Counter(name for task_id in new if (name := chosen_by.get(task_id, "")))
    if not chosen:
        return None
    place = {int(task_id): row for row, task_id in enumerate(ids)}
    # Without audit tasks, the slice that would be them is the best there is to measure on.
    share = deps.policy(key).audit_share or AUDIT_SHARE
    audit = [
        (row, place[item.task.id])
        for row, item in enumerate(corpus.items)
        if item.task.id in place and is_audit(key, item.task.id, share)
    ]
    now, then = np.array(audit, dtype=np.int64).reshape(-1, 2).T
    gained = reward(
        {name: posterior[then] for name, posterior in old.items()},
        {name: posterior[now] for name, posterior in held_out.items()},
        {name: truth[now] for name, truth in corpus.gold.items()},
        len(new),
    )
    if gained is None:
        return None
    shares = {name: count / chosen.total() for name, count in chosen.items()}
    return Round(shares, gained, before.n_labels)
