"""Label errors: which human labels are probably wrong, and what we would have expected instead."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray

from backend.domain.posterior import is_known
from backend.domain.questions import Question, decisions
from backend.domain.suggestions import answers_of
from backend.domain.tasks import Answer

MIN_LABELS = 10
"""With fewer labels nothing can be said about any of them."""
HARDLY = 0.15
RATHER = 0.6
"""A label is suspect, whatever cleanlab's estimate of their number, if its probability is below the first while
another one's is above the second: among a few dozen labels the estimate is off by a few."""


@dataclass(frozen=True)
class Suspect:
    """A human answer that is probably wrong.

    row: the task's place in the arrays that were searched.
    quality: 0..1, the probability of what was given; for a set, of the label that is most likely wrong.
    """

    row: int
    question: str
    given: Answer
    expected: Answer
    quality: float


def find_label_errors(
    question: Question, posteriors: Mapping[str, NDArray[np.float64]], gold: Mapping[str, NDArray[np.int64]]
) -> list[Suspect]:
    """Suspects of one question, the worst first.

    Confident learning (Northcutt et al. 2021, through cleanlab) estimates how many labels are wrong and takes those of
    lowest probability; clear contradictions (`HARDLY`, `RATHER`) are added. A set of labels is suspect if the yes or no
    of any of its labels is, and as good as the worst of them. A rating is taken for classes without an order.

    Args:
        question: the question.
        posteriors: (n, k) by `Decision.key`, made without the row's own label; NaN rows where nothing is known.
        gold: int64 (n,) by `Decision.key`, class index or -1 = unknown.
    """
    n = len(gold[decisions(question)[0].key])
    suspect, quality = np.zeros(n, dtype=np.bool_), np.ones(n)
    for decision in decisions(question):
        posterior, given = posteriors[decision.key], gold[decision.key]
        judged = np.flatnonzero((given >= 0) & is_known(posterior))
        if judged.size < MIN_LABELS or np.unique(given[judged]).size < 2:
            continue
        issues, scores = _judge(given[judged], posterior[judged])
        suspect[judged] |= issues
        quality[judged] = np.minimum(quality[judged], scores)
    expected = answers_of(question, posteriors)
    given_answers = answers_of(
        question, {key: _certain(known, posteriors[key].shape[1]) for key, known in gold.items()}
    )
    rows = sorted(np.flatnonzero(suspect).tolist(), key=lambda row: (quality[row], row))
    return [
        Suspect(row, question.name, given_answers[row], expected[row], float(quality[row]))
        for row in rows
        if expected[row] != given_answers[row]
    ]


def _judge(given: NDArray[np.int64], posterior: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which labels are suspect, and the quality of each, from finite posteriors."""
    # cleanlab wants every class to be given at least once, so the others are left out for it.
    present, labels = np.unique(given, return_inverse=True)
    proba = np.maximum(posterior[:, present], np.finfo(np.float64).tiny)
    proba = proba / proba.sum(axis=1, keepdims=True)
    # On simulated sets of 40 to 500 labels `low_self_confidence` was right most often of cleanlab's seven filters.
    issues = find_label_issues(labels, proba, filter_by="low_self_confidence", n_jobs=1)
    contradicted = (posterior[np.arange(given.size), given] < HARDLY) & (posterior.max(axis=1) > RATHER)
    differs = posterior.argmax(axis=1) != given
    return (issues | contradicted) & differs, get_label_quality_scores(labels, proba, method="self_confidence")


def _certain(gold: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Human labels as posteriors (n, k): all on the chosen class, NaN where unknown."""
    return np.where((gold >= 0)[:, None], np.eye(n_classes)[gold], np.nan)
