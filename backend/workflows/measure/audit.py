"""Audit: what people said of tasks whose suggestion was withheld, put into a version's figures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.audit.anchoring import anchoring
from backend.domain.audit.draw import is_audit
from backend.domain.audit.measure import measure
from backend.domain.corpus import Corpus
from backend.domain.frame import Frame
from backend.domain.questions import Question
from backend.domain.reports.version import Anchoring, AuditReport
from backend.domain.tasks import Annotation, Origin
from backend.errors import ModelMissing
from backend.ports import Deps, PastSuggestion
from backend.workflows.trained import TRAINED


def remember_suggestions(deps: Deps, corpus: Corpus) -> None:
    """Remember what the current version suggested for tasks that were labeled since, before a new one replaces it.

    Only for tasks without any label before: a version that has learned from a task's label knows the answer.
    """
    key = corpus.key
    current = deps.versions.current(key)
    seen_until = {item.number: item.seen_until for item in deps.database.versions(key) if item.status in TRAINED}
    new = {
        item.task.id
        for item, entries in zip(corpus.items, corpus.labeled, strict=True)
        if entries and min(entry.updated_at for entry in entries) > seen_until.get(current, "")
    }
    if current not in seen_until or not new:
        return
    try:
        suggested = deps.versions.predictions(key, current)
    except ModelMissing:
        # Its folder is gone: these tasks are left out of the comparison.
        return
    deps.database.save_past_suggestions(
        key,
        [
            PastSuggestion(item.task_id, current, item.suggestion.answers, item.suggestion.per_question)
            for item in suggested
            if item.task_id in new
        ],
    )


def audited(corpus: Corpus, share: float, question: str) -> NDArray[np.bool_]:
    """Which tasks are audit tasks in which nobody saw a suggestion for a question: bool (n_tasks,).

    A task whose form was filled before the share was raised is none.
    """
    return np.array(
        [
            is_audit(corpus.key, item.task.id, share)
            and not any(question in entry.origins for entry in item.annotations)
            for item in corpus.items
        ],
        dtype=np.bool_,
    )


def what_the_audit_tells(deps: Deps, corpus: Corpus, frame: Frame) -> AuditReport:
    """Accuracy of suggestions and of sources on audit tasks, and anchoring, by question.

    Accuracy is the new version's, held out. Anchoring is of what was suggested when people labeled.
    """
    share = deps.policy(corpus.key).audit_share
    past = deps.database.past_suggestions(corpus.key)
    figures = {}
    for question in frame.questions:
        audit = audited(corpus, share, question.name)
        anchored = _anchoring(question, corpus, audit, past)
        figures[question.name] = replace(measure(question, frame, audit), anchoring=anchored)
    return AuditReport(share, figures)


def _anchoring(
    question: Question,
    corpus: Corpus,
    audit: NDArray[np.bool_],
    past: Mapping[int, PastSuggestion],
) -> Anchoring:
    """The first annotation of each task counts: later ones may be corrections."""
    name = question.name
    shown: list[tuple[float, bool]] = []
    withheld: list[tuple[float, bool]] = []
    for task_id, entries, is_audited in zip(corpus.ids.tolist(), corpus.labeled, audit.tolist(), strict=True):
        then = past.get(task_id)
        first = next((entry for entry in entries if entry.answers.get(name)), None)
        if then is None or first is None or not then.answers.get(name) or name not in then.per_question:
            continue
        same = set(question.read(first.answers[name])) == set(then.answers[name])
        if _saw(first, name):
            shown.append((then.per_question[name], same or first.origins[name] is Origin.ACCEPTED))
        elif is_audited:
            withheld.append((then.per_question[name], same))
    return anchoring(*_columns(shown), *_columns(withheld))


def _saw(annotation: Annotation, question: str) -> bool:
    return question in annotation.origins


def _columns(pairs: Sequence[tuple[float, bool]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.array([value for value, _ in pairs], np.float64), np.array([said for _, said in pairs], np.bool_)
