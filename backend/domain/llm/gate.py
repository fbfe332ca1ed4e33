"""The validation gate: how far people agree with an LLM source, and whether its votes may count."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from backend.domain.llm.confidence import (
    apply,
    auroc,
    calibrate,
    calibration_error,
    confidences_of,
    held_out_confidence,
    reliability,
)
from backend.domain.llm.records import Calibration, LlmAnswer
from backend.domain.llm.votes import choose_split
from backend.domain.questions import Question
from backend.domain.reports.llm import LabelFigures, SourceReport
from backend.domain.statistics import Interval, cohen_kappa, wilson
from backend.domain.tasks import Answer


def report_source(
    question: Question, answers: Mapping[int, LlmAnswer], human: Mapping[int, Answer]
) -> tuple[SourceReport, Calibration]:
    """Compare a source's answers with people's; what came of it, and how its confidences are to be read.

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
    report = SourceReport(
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
        auroc=auroc(confidence, right),
        calibrated_error=calibration_error(reliability(held_out_confidence(confidence, right), right)),
        calibration=calibration.method,
        split=choose_split(apply(calibration, confidence), right),
    )
    return report, calibration


def _fits(question: Question, labels: Answer) -> bool:
    """Whether this is an answer to the question as it is now."""
    return bool(labels) and set(labels) <= set(question.labels) and question.accepts(labels)


def _kappa(
    question: Question, ours: Sequence[frozenset[str]], theirs: Sequence[frozenset[str]]
) -> tuple[float | None, Interval | None]:
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
    low, high = np.mean([interval for _, interval in each], axis=0).tolist()
    return float(np.mean([kappa for kappa, _ in each])), (low, high)


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
