"""Annotators: how good each is, and what they agree on where several labeled a task; for the report of a check.

Annotators appear by user id only, in no place that they can see: their names are looked up for whoever may know them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.label_errors.multi_annotator import NOBODY, shared
from backend.domain.label_errors.records import Findings
from backend.domain.questions import Question, decisions
from backend.domain.reports.check import (
    Annotator,
    AnnotatorFigures,
    ConsensusReport,
    LabelingFigures,
    QuestionCheck,
)
from backend.workflows.check.inputs import Crowd

CONSENSUS, EVIDENCE = "consensus", "evidence"
"""What a quality was measured on: labels of the same tasks by others, or what the search for wrong labels says."""


def about_crowd(
    question: Question, crowd: Crowd, findings: Findings, task_ids: Sequence[int]
) -> tuple[tuple[AnnotatorFigures, ...], ConsensusReport]:
    """Annotators, the best first, and what they agree on where several people labeled a task."""
    return _annotators(question, crowd, findings), _consensus(question, crowd, task_ids)


def overall(questions: Mapping[str, QuestionCheck]) -> list[Annotator]:
    """Annotators over all questions of a check report, the best first."""
    found: dict[int | None, dict[str, LabelingFigures]] = {}
    for name, about in questions.items():
        for item in about.annotators:
            figures = LabelingFigures(
                item.n_labels, item.n_shared, item.quality, item.measured_on, item.expected_wrong, item.overlapping
            )
            found.setdefault(item.id, {})[name] = figures
    return sorted((_over_all(who, mine) for who, mine in found.items()), key=best_first)


def _over_all(who: int | None, mine: Mapping[str, LabelingFigures]) -> Annotator:
    known = [(item.quality, item.n_labels) for item in mine.values() if item.quality is not None]
    n_known = sum(n for _, n in known)
    return Annotator(
        id=who,
        questions=mine,
        n_labels=sum(item.n_labels for item in mine.values()),
        n_shared=sum(item.n_shared for item in mine.values()),
        quality=round(sum(quality * n for quality, n in known) / n_known, 4) if known else None,
    )


def _annotators(question: Question, crowd: Crowd, findings: Findings) -> tuple[AnnotatorFigures, ...]:
    first = decisions(question)[0].key
    labels, m = crowd.labels[first], len(crowd.people)
    is_shared = shared(labels)[labels.tasks]
    n_labels = np.bincount(labels.annotators, minlength=m)
    n_shared = np.bincount(labels.annotators[is_shared], minlength=m)
    # All labels of a question are answered together, so each annotator has as many of one as of another.
    agreed = np.mean([item.annotator_quality for item in crowd.consensus.values()], axis=0)
    found = []
    for index, who in enumerate(crowd.people):
        rate = findings.error_rates.get(who)
        quality, measured_on = None, None
        if n_shared[index] and np.isfinite(agreed[index]):
            quality, measured_on = float(agreed[index]), CONSENSUS
        elif rate is not None:
            quality, measured_on = 1 - rate, EVIDENCE
        found.append(
            AnnotatorFigures(
                id=who if who != NOBODY else None,
                n_labels=int(n_labels[index]),
                n_shared=int(n_shared[index]),
                quality=None if quality is None else round(quality, 4),
                measured_on=measured_on,
                expected_wrong=None if rate is None else round(rate, 4),
            )
        )
    return tuple(sorted(found, key=best_first))


def _consensus(question: Question, crowd: Crowd, task_ids: Sequence[int]) -> ConsensusReport:
    asked = [decision.key for decision in decisions(question)]
    first = crowd.labels[asked[0]]
    tasks = np.flatnonzero(crowd.units.any(shared(first)))
    units, rows = crowd.units.part(tasks), crowd.units.of_tasks(tasks)
    n_labels = np.bincount(first.tasks, minlength=first.n_tasks)[rows]
    agree: NDArray[np.bool_] = np.all([crowd.labels[key].counts[rows].max(axis=1) == n_labels for key in asked], axis=0)
    classes = np.column_stack([crowd.consensus[key].classes[rows] for key in asked])
    # Of a set of labels, as good as its least certain one.
    quality = question.certainty(units, np.min([crowd.consensus[key].quality[rows] for key in asked], axis=0))
    # Of several units, some may have no label.
    said = [question.form.answer(of_unit) if min(of_unit) >= 0 else () for of_unit in classes.tolist()]
    return ConsensusReport(
        methods={key: crowd.consensus[key].method for key in asked},
        reasons={key: crowd.consensus[key].reason for key in asked},
        n_shared=len(tasks),
        n_agree=int(units.all(agree).sum()),
        tasks=tuple(int(task_ids[int(task)]) for task in tasks),
        answers=tuple(question.join(said, units)),
        quality=tuple(round(value, 4) for value in quality.tolist()),
        n_labels=tuple(units.most(n_labels).tolist()),
    )


def best_first(item: AnnotatorFigures | Annotator) -> tuple[bool, float]:
    """Sort key, the best first; those of whom nothing is known come last."""
    return item.quality is None, -(item.quality or 0.0)
