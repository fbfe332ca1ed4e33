"""The validation gate: how far people agree with an LLM source, and whether its votes may count."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from backend.domain.llm.confidence import (
    Bin,
    apply,
    calibrate,
    calibration_error,
    confidences_of,
    out_of_fold,
    reliability,
)
from backend.domain.llm.records import Calibration, LlmAnswer
from backend.domain.llm.votes import choose_split
from backend.domain.questions import Question
from backend.domain.statistics import cohen_kappa, wilson
from backend.domain.tasks import Answer

MIN_COMPARED = 50
"""Answers that people judged, below which no source passes."""


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """One label: of the answers that give it, the share that people gave too (precision); of those that people gave,
    the share that the source gave (recall). Intervals are Wilson's (1927), 95 %; None without any."""

    n_precision: int
    precision: float | None
    precision_interval: list[float] | None
    n_recall: int
    recall: float | None
    recall_interval: list[float] | None


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What is known of one source.

    Compared are answers with a label to tasks that people labeled: `agreement` on the whole answer with Wilson's
    interval, and Cohen's kappa with its own. kappa of a multiple question is the mean over its labels' yes or no.
    calibrated_error: the expected calibration error after calibration, out of fold. usd: what all answers cost.
    """

    n_answers: int
    n_abstained: int
    problems: Mapping[str, int]
    usd: float
    n_compared: int
    agreement: float | None
    agreement_interval: list[float] | None
    kappa: float | None
    kappa_interval: list[float] | None
    labels: Mapping[str, LabelFigures]
    confidence_kinds: Mapping[str, int]
    reliability: Sequence[Bin]
    calibration_error: float | None
    calibrated_error: float | None
    calibration: Calibration
    split: float | None

    def passes(self, gate_kappa: float) -> bool:
        """Whether the source's votes may count: enough answers compared, and enough agreement beyond chance."""
        return self.n_compared >= MIN_COMPARED and self.kappa is not None and self.kappa >= gate_kappa

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `calibration` is its method only."""
        return asdict(self) | {"calibration": self.calibration.method}


def report_source(question: Question, answers: Mapping[int, LlmAnswer], human: Mapping[int, Answer]) -> SourceReport:
    """Compare a source's answers with people's.

    Args:
        question: the question.
        answers: by task (any number that names it).
        human: what people chose, by task; tasks that people haven't labeled, or disagree on, are left out. So are
            those with a label that the question doesn't have (any more).
    """
    compared = [
        task
        for task, answer in answers.items()
        if _fits(question, answer.labels) and _fits(question, human.get(task, ()))
    ]
    ours = [frozenset(answers[task].labels) for task in compared]
    theirs = [frozenset(human[task]) for task in compared]
    right = np.array([mine == other for mine, other in zip(ours, theirs, strict=True)], dtype=np.bool_)
    confidence = confidences_of([answers[task] for task in compared])
    calibration = calibrate(confidence, right)
    bins = reliability(confidence, right)
    kappa, kappa_interval = _kappa(question, ours, theirs)
    return SourceReport(
        n_answers=len(answers),
        n_abstained=sum(not answer.labels for answer in answers.values()),
        problems=dict(Counter(answer.problem.value for answer in answers.values() if answer.problem)),
        usd=sum(answer.price_usd for answer in answers.values()),
        n_compared=len(compared),
        agreement=float(right.mean()) if compared else None,
        agreement_interval=wilson(int(right.sum()), len(compared)),
        kappa=kappa,
        kappa_interval=kappa_interval,
        labels={label: _label_figures(label, ours, theirs) for label in question.labels},
        confidence_kinds=dict(
            Counter(answer.confidence_kind.value for answer in answers.values() if answer.confidence_kind)
        ),
        reliability=bins,
        calibration_error=calibration_error(bins),
        calibrated_error=calibration_error(reliability(out_of_fold(confidence, right), right)),
        calibration=calibration,
        split=choose_split(apply(calibration, confidence), right),
    )


def _fits(question: Question, labels: Answer) -> bool:
    """Whether this is an answer to the question as it is now."""
    return bool(labels) and set(labels) <= set(question.labels) and question.accepts(labels)


def _kappa(
    question: Question, ours: Sequence[frozenset[str]], theirs: Sequence[frozenset[str]]
) -> tuple[float | None, list[float] | None]:
    if not ours:
        return None, None
    codes = {label: index for index, label in enumerate(question.labels)}
    mine, other = (
        np.array([question.form.classes([codes[label] for label in item]) for item in said]) for said in (ours, theirs)
    )
    each = [
        cohen_kappa(mine[:, place], other[:, place])
        for place, decision in enumerate(question.form.decisions)
        # Of a label that neither ever gave, nothing can be said.
        if decision.label is None or mine[:, place].any() or other[:, place].any()
    ]
    mean = np.mean([kappa for kappa, _ in each])
    return float(mean), np.mean([interval for _, interval in each], axis=0).tolist()


def _label_figures(label: str, ours: Sequence[frozenset[str]], theirs: Sequence[frozenset[str]]) -> LabelFigures:
    both = sum(label in mine and label in other for mine, other in zip(ours, theirs, strict=True))
    given, wanted = (sum(label in item for item in said) for said in (ours, theirs))
    return LabelFigures(
        n_precision=given,
        precision=both / given if given else None,
        precision_interval=wilson(both, given),
        n_recall=wanted,
        recall=both / wanted if wanted else None,
        recall_interval=wilson(both, wanted),
    )
