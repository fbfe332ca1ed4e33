"""Answers of an LLM as votes."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from backend.domain.llm import confidence as confidences
from backend.domain.llm.records import Calibration, LlmAnswer, LlmSource
from backend.domain.questions import Question, decisions
from backend.domain.questions.forms import ABSTAIN, Votes
from backend.domain.sources import UNSURE
from backend.domain.votes import VoteMatrix

MIN_FOR_SPLIT = 60
SIGNIFICANT = 0.05


def llm_columns(
    question: Question,
    source: LlmSource,
    answers: Sequence[LlmAnswer | None],
    calibration: Calibration,
    split: float | None,
) -> dict[str, VoteMatrix]:
    """Vote matrices by `Decision.key` of what one source answered, rows in the order of `answers`.

    One column; with `split` two, for the answers from that calibrated confidence on and for those below it, so that the
    label model can trust them differently. A set of labels is an answer to each of them: yes, or no. None, and answers
    without a label or with one that the question doesn't have any more, are abstentions.
    """
    sources = (source.name,) if split is None else (source.name, source.name + UNSURE)
    asked = decisions(question)
    matrices: list[Votes] = [np.full((len(answers), len(sources)), ABSTAIN, dtype=np.int16) for _ in asked]
    columns = _columns(answers, calibration, split)
    for row, answer in enumerate(answers):
        found = [question.index(label) for label in answer.labels] if answer else []
        picks = [index for index in found if index is not None]
        if not picks or len(picks) < len(found):
            continue
        for matrix, chosen in zip(matrices, question.form.classes(picks), strict=True):
            matrix[row, columns[row]] = chosen
    return {
        decision.key: VoteMatrix(decision, sources, matrix) for decision, matrix in zip(asked, matrices, strict=True)
    }


def join(votes: Mapping[str, VoteMatrix], more: Mapping[str, VoteMatrix]) -> dict[str, VoteMatrix]:
    """Votes with the columns of further sources after their own, by `Decision.key`; rows are the same tasks."""
    joined = dict(votes)
    for key, added in more.items():
        own = votes.get(key)
        joined[key] = added if own is None else _beside(own, added)
    return joined


def choose_split(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float | None:
    """The calibrated confidence that parts a source's sure answers from its unsure ones; None for one column.

    The median (if no answer is below it, the next confidence above), if the answers from it on are right more often
    than those below: by Fisher's exact test (1935, one-sided, 5 %), on 60 answers or more that people judged.

    Args:
        confidence: float64 (n,), calibrated; NaN where an answer has none.
        right: bool (n,), whether people agree.
    """
    known = np.isfinite(confidence)
    if known.sum() < MIN_FOR_SPLIT:
        return None
    values = np.sort(confidence[known])
    middle = float(values[values.size // 2])
    if middle == values[0]:
        # Many models say the same number most of the time: those who say more are the sure half then.
        above = values[values > middle]
        middle = float(above[0]) if above.size else middle
    sure = confidence[known] >= middle
    table = [[int((right[known] & half).sum()), int((~right[known] & half).sum())] for half in (sure, ~sure)]
    if not (~sure).any() or fisher_exact(table, alternative="greater").pvalue >= SIGNIFICANT:
        return None
    return middle


def _columns(answers: Sequence[LlmAnswer | None], calibration: Calibration, split: float | None) -> NDArray[np.int64]:
    """The column of each answer. One without a confidence is not a sure one."""
    if split is None:
        return np.zeros(len(answers), dtype=np.int64)
    return np.where(confidences.apply(calibration, confidences.confidences_of(answers)) >= split, 0, 1)


def _beside(left: VoteMatrix, right: VoteMatrix) -> VoteMatrix:
    excluded = None
    if left.excluded is not None or right.excluded is not None:
        excluded = np.hstack([_excluded(left), _excluded(right)])
    return VoteMatrix(left.decision, left.sources + right.sources, np.hstack([left.votes, right.votes]), excluded)


def _excluded(matrix: VoteMatrix) -> Votes:
    return matrix.excluded if matrix.excluded is not None else np.full_like(matrix.votes, ABSTAIN)
