"""Annotators: how good each is, and what they agree on where several labeled a task; for the report of a check.

Annotators appear by user id only, in no place that they can see: their names are looked up for whoever may know them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.domain.label_errors.multi_annotator import NOBODY, shared
from backend.domain.label_errors.records import Findings
from backend.domain.questions import Question, decisions
from backend.workflows.check.evidence import Crowd

CONSENSUS, EVIDENCE = "consensus", "evidence"
"""What a quality was measured on: labels of the same tasks by others, or what the search for wrong labels says."""


def about_crowd(question: Question, crowd: Crowd, findings: Findings, task_ids: Sequence[int]) -> dict[str, Any]:
    """For JSON: `annotators`, the best first, and `consensus`, of tasks that several people labeled."""
    return {
        "annotators": _annotators(question, crowd, findings),
        "consensus": _consensus(question, crowd, task_ids),
    }


def overall(questions: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Annotators over all questions of a check report, the best first; each with n_labels, n_shared, quality (mean over
    his or her labels; None when nothing is known) and the figures by question."""
    found: dict[int, dict[str, Any]] = {}
    for name, about in questions.items():
        for item in about.get("annotators", []):
            mine = found.setdefault(item["id"], {"id": item["id"], "questions": {}})
            mine["questions"][name] = {key: value for key, value in item.items() if key != "id"}
    for mine in found.values():
        figures = list(mine["questions"].values())
        known = [item for item in figures if item["quality"] is not None]
        n_known = sum(item["n_labels"] for item in known)
        mine["n_labels"] = sum(item["n_labels"] for item in figures)
        mine["n_shared"] = sum(item["n_shared"] for item in figures)
        mine["quality"] = (
            round(sum(item["quality"] * item["n_labels"] for item in known) / n_known, 4) if known else None
        )
    return sorted(found.values(), key=_best_first)


def _annotators(question: Question, crowd: Crowd, findings: Findings) -> list[dict[str, Any]]:
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
            {
                "id": who if who != NOBODY else None,
                "n_labels": int(n_labels[index]),
                "n_shared": int(n_shared[index]),
                "quality": None if quality is None else round(quality, 4),
                "measured_on": measured_on,
                "expected_wrong": None if rate is None else round(rate, 4),
            }
        )
    return sorted(found, key=_best_first)


def _consensus(question: Question, crowd: Crowd, task_ids: Sequence[int]) -> dict[str, Any]:
    asked = [decision.key for decision in decisions(question)]
    first = crowd.labels[asked[0]]
    rows = np.flatnonzero(shared(first))
    n_labels = np.bincount(first.tasks, minlength=first.n_tasks)[rows]
    agree: NDArray[np.bool_] = np.all([crowd.labels[key].counts[rows].max(axis=1) == n_labels for key in asked], axis=0)
    classes = np.column_stack([crowd.consensus[key].classes[rows] for key in asked])
    # Of a set of labels, as good as its least certain one.
    quality = np.min([crowd.consensus[key].quality[rows] for key in asked], axis=0)
    return {
        "methods": {key: crowd.consensus[key].method for key in asked},
        "reasons": {key: crowd.consensus[key].reason for key in asked},
        "n_shared": len(rows),
        "n_agree": int(agree.sum()),
        "tasks": [int(task_ids[int(row)]) for row in rows],
        "answers": [list(question.form.answer(of_task)) for of_task in classes.tolist()],
        "quality": [round(value, 4) for value in quality.tolist()],
        "n_labels": n_labels.tolist(),
    }


def _best_first(item: Mapping[str, Any]) -> tuple[bool, float]:
    return item["quality"] is None, -(item["quality"] or 0.0)
